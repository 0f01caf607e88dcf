"""Train and evaluate: python run.py --config=configs/bdd_case_d.py [--workdir=DIR] [--config.FIELD=VALUE ...]

Prints the plan, trains what is missing, evaluates, prints the tables, writes WORKDIR/report_NAME/index.html. Finished
stages are reused; after a stop the same command goes on. --seeds=0,1,2 does that under each of these seeds, and reports
mean, spread and interval.

With a table of the paper (--config=configs/table1.py or configs/main_tables.py, see docs/tables.md) every row is a
stage and a process of its own: --jobs=N at a time, --rows="KL 0.4,vi" for a part of them.

Several processes, on one machine or several, make one run where each gets the same command and --coordinator=auto
(Slurm, Open MPI, Kubernetes), or --coordinator=HOST:PORT --processes=N --process=0 to N-1 (docs/SCALE.md).
"""

import re

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, DONE, TRAIN, Command, Context, Flag, Invocation, table
from dakd_jax.commands.kit import workdirs

AUTO = "auto"
COORDINATOR = Flag(
    "coordinator", "", "HOST:PORT of the first of several processes of one run; auto: of the cluster's job"
)
PROCESSES = Flag("processes", 0, "of the run, all in all", minimum=0)
PROCESS = Flag("process", -1, "number of this one, from 0")


def run(context: Context) -> int | None:
    """Trains an experiment, once or with several seeds, or a table."""
    if table.is_named(context.config):
        return table.fill(context)
    if context.flags["coordinator"] and (code := _together(context)) is not None:
        return code
    workdirs.settle(context)
    with workdirs.working_in(context.workdir):
        if context.flags["seeds"]:
            _with_seeds(context)
        else:
            _once(context, context.name)
    return None


def _check(invocation: Invocation) -> None:
    """Raises a UserError for flags that do not go together."""
    table.refuse_without(invocation)
    coordinator, count, index = (invocation.flags[flag.name] for flag in (COORDINATOR, PROCESSES, PROCESS))
    if not coordinator:
        if count or index != PROCESS.default:
            raise UserError("--processes and --process go with --coordinator=HOST:PORT of the first process")
        return
    if table.is_named(invocation.config):
        raise UserError("--coordinator: the stages of a table are jobs of their own, see docs/tables.md; leave it out")
    if coordinator != AUTO and not re.fullmatch(r"\S+:\d+", coordinator):
        raise UserError(f"--coordinator={coordinator}: expected HOST:PORT of the first process, or auto")
    if (count or index >= 0 or coordinator != AUTO) and not 0 <= index < count:
        raise UserError(
            f"--processes={count} --process={index}: expected how many there are, and the number of this one, from 0; "
            "with --coordinator=auto neither"
        )


def _together(context: Context) -> int | None:
    """The exit code where this process only waits for the one that works, or does its part of the first one's run."""
    from dakd_jax.training.runtime import processes, supervision

    if (code := supervision.split()) is not None:
        return code
    processes.join(*(context.flags[flag.name] for flag in (COORDINATOR, PROCESS, PROCESSES)))
    if processes.is_first():
        return None
    from dakd_jax.stages.experiment import Experiment
    from dakd_jax.training.runtime import compilation_cache

    workdirs.settle(context)
    compilation_cache.enable(context.workdir)
    for seed in context.flags["seeds"] or (context.config.seed,):
        context.config.seed = seed
        processes.hear()  # the first one has made what its data need
        Experiment(context.config, context.feed, context.workdir, context.console).follow()
    return DONE


def _with_seeds(context: Context) -> None:
    """All once for each seed, and then a report over the seeds."""
    from dakd_jax.studies.experiment import page
    from dakd_jax.studies.experiment.seeds import seeds_table

    console, found, pages = context.console, [], {}
    for seed in context.flags["seeds"]:
        console.rule(f"seed {seed}", align="left")
        context.config.seed = seed
        experiment, pages[seed] = _once(context, f"{context.name}_seed{seed}")
        found.append(experiment)
    if None in found:  # nothing to score on
        return
    folder = context.workdir / f"report_{context.name}_seeds"
    written = page.write_seeds_report(found, folder, command=context.typed, pages=pages)
    console.rule("over the seeds", align="left")
    console.print(seeds_table(found).to_rich())
    console.print(f"Report: {written}", highlight=False, soft_wrap=True)


def _once(context: Context, name: str):
    """(what the report `name` shows, its page) of one seed; (None, None) without pictures to score on."""
    from dakd_jax.studies.experiment import checkpoints, headline, results, so_far, tables
    from dakd_jax.studies.kit import stamp

    console = context.console
    experiment = workdirs.planned(context)
    workdirs.check(context, experiment)
    if not experiment.evaluator:
        experiment.run()
        _say_where(context, experiment)
        return None, None
    report = workdirs.report(context.workdir, name)
    worked = experiment.run(so_far.SoFar(experiment, report.parent).add)
    found, of = results.collect(experiment, name, context.typed), results.identity(experiment)
    if worked or not stamp.is_of(report, of):
        from dakd_jax.studies.experiment import page

        with stamp.writing(report, of):
            page.write_report(found, report.parent)
    console.print(tables.score_table(found).to_rich())
    console.print(tables.class_table(found).to_rich())
    if table_of_candidates := checkpoints.checkpoint_table(found):
        console.print(table_of_candidates.to_rich())
    console.print(headline.headline(found).verdict, highlight=False)
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)
    return found, report


def _say_where(context: Context, experiment) -> None:
    """The end of a run on a city without any labels."""
    from dakd_jax.stages import weights

    context.console.print("No labelled target pictures to score on. The finished networks:", highlight=False)
    for name, planned in experiment.plan.items():
        path = planned.replaced_by or planned.folder / weights.FILE
        context.console.print(f"  {name}: {path}", highlight=False, soft_wrap=True)


COMMANDS.register(
    "train",
    Command(
        __doc__,
        run,
        TRAIN,
        place=0,
        flags=(*table.FLAGS, COORDINATOR, PROCESSES, PROCESS),
        fields=("goal", "seed", "train.steps", "train.select", "replace.teacher", "student.pretrained"),
        check=_check,
    ),
)
