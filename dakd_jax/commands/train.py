"""Train and evaluate: python run.py --config=configs/bdd_case_d.py [--workdir=DIR] [--config.FIELD=VALUE ...]

Prints the plan, trains what is missing, evaluates, prints the tables, writes WORKDIR/report_NAME/index.html. Finished
stages are reused; after a stop the same command goes on. --seeds=0,1,2 does that under each of these seeds, and reports
mean, spread and interval.

With a table of the paper (--config=configs/table1.py or configs/main_tables.py, see docs/tables.md) every row is a
stage and a process of its own: --jobs=N at a time, --rows="KL 0.4,vi" for a part of them.
"""

from dakd_jax.commands import COMMANDS, TRAIN, Command, Context, table
from dakd_jax.commands.kit import workdirs


def run(context: Context) -> int | None:
    """Trains an experiment, once or with several seeds, or a table."""
    if table.is_named(context.config):
        return table.fill(context)
    workdirs.settle(context)
    with workdirs.working_in(context.workdir):
        if context.flags["seeds"]:
            _with_seeds(context)
        else:
            _once(context, context.name)
    return None


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
        flags=table.FLAGS,
        fields=("goal", "seed", "train.steps", "train.select", "replace.teacher", "student.pretrained"),
        check=table.refuse_without,
    ),
)
