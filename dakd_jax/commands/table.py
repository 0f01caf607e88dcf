"""One stage of a table of the paper, in a process of its own: python run.py --job=FILE

FILE is what the command of the table wrote: `train` with a config that names a table (docs/tables.md).
"""

import pathlib

from ml_collections import ConfigDict

from dakd_jax.basics import installation
from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, DONE, STAGES_FAILED, Command, Context, Flag, Invocation
from dakd_jax.commands.kit import workdirs


def _seeds(texts: tuple[str, ...]) -> tuple[int, ...]:
    seeds = tuple(int(text) for text in texts if text.isdecimal() and len(text) < 20)
    if len(set(seeds)) < len(texts):
        raise UserError(f"--seeds={','.join(texts)}: expected different numbers >= 0, e.g. --seeds=0,1,2")
    return seeds


SEEDS = Flag("seeds", (), "seeds to train one after the other", read=_seeds, instead="set --config.seed")
ROWS = Flag("rows", (), "of a table: rows to train", read=lambda texts: tuple(text.strip() for text in texts))
JOBS = Flag("jobs", 1, "of a table: stages to train at a time", minimum=1)
FLAGS = (SEEDS, ROWS, JOBS)  # of the commands that a table can be given to


def is_named(config: ConfigDict) -> bool:
    """Whether a config names a table."""
    return "table" in config


def refuse_without(invocation: Invocation) -> None:
    """Raises a UserError for flags of a table on a config that names none."""
    if not is_named(invocation.config) and (invocation.flags["rows"] or invocation.flags["jobs"] != JOBS.default):
        raise UserError("--rows and --jobs go with a table of the paper, as --config=configs/table1.py")


def fill(context: Context) -> int:
    """Trains what is missing of a table and writes it; the exit code."""
    _settle(context)
    with workdirs.working_in(context.workdir):
        return DONE if _run(_planned(context), context) else STAGES_FAILED


def plan(context: Context) -> None:
    """Prints the plan of a table."""
    _settle(context)
    _planned(context)


def _settle(context: Context) -> None:
    from dakd_jax.objectives import paradigms
    from dakd_jax.stages import own_records

    names, goal = context.feed.class_names, tuple(paradigms.STAGES)
    own_records.settle(context.config, checkpoint=False, class_names=names, given=context.given, goal=goal)


def _planned(context: Context):
    """The plan of a table, printed; what is planned touches no GPU, which the jobs need for themselves."""
    if context.config.train.batch_statistics == "device":
        raise UserError(
            "config.train.batch_statistics='device': the stages of a table may run where there are other devices than "
            "here; give the number of parts of a batch, as --config.train.batch_statistics=2"
        )
    import jax

    from dakd_jax.studies.paper_tables import planning, rows

    jax.config.update("jax_platforms", "cpu")
    config, console = context.config, context.console
    table = rows.table(config.table, context.open_feed(config.data).benchmark, config.student.init_from)
    chosen = rows.chosen(table.rows, context.flags["rows"])
    seeds = context.flags["seeds"] or (config.seed,)
    made = planning.make_plan(config, table, chosen, seeds, context.open_feed, context.workdir, console)
    for note in made.notes:
        _say(context, f"data: {note}")
    for reason in dict.fromkeys(made.missing.values()):
        skipped = [name for name, why in made.missing.items() if why == reason]
        _say(context, f"skipped: {', '.join(skipped)}: {reason}")
    console.print(made.to_rich(context.workdir))
    return made


def _run(made, context: Context) -> bool:
    """Runs what is missing, and writes the table after each stage and at the end; True when nothing failed."""
    from dakd_jax.studies.paper_tables import collect, tables
    from dakd_jax.studies.paper_tables.jobs import engines, jobs, schedule
    from dakd_jax.studies.paper_tables.page import verdict, write_paper_table

    config, folder, metric = context.config, context.workdir / f"table_{context.name}", context.config.eval.metric
    failures: list[schedule.Failure] = []

    def write() -> tables.PaperTable:
        found = collect.paper_table(made, config, context.typed)
        write_paper_table(found, folder)
        return found

    if to_do := made.to_do():
        failures = schedule.Schedule(
            to_do,
            lambda task: jobs.write(folder / "jobs", task, context.workdir, installation.PROGRAM),
            engines.make(config.cluster, folder / "jobs", context.flags["jobs"]),
            context.flags["jobs"],
            lambda line: _say(context, line),
            score=lambda task: f"{tables.METRIC_NAMES[metric]} {100 * getattr(collect.scores_of(task), metric):.2f}",
            after=write,
        ).run()
    found = write()
    context.console.print(tables.score_table(found).to_rich())
    _say(context, verdict(found))
    schedule.print_failures(failures, context.console)
    _say(context, f"Table: {folder / 'index.html'} (and table.csv, table.md, table.tex)")
    return not failures


def _say(context: Context, line: str) -> None:
    context.console.print(line, highlight=False, soft_wrap=True, markup=False)


def do_job(context: Context) -> None:
    """Trains and evaluates the stage of a job, whose config is in its file."""
    from dakd_jax.studies.paper_tables.jobs import processes
    from dakd_jax.training.runtime import deterministic

    (file,) = context.words
    deterministic.set_up(processes.deterministic(file))  # before jax looks for a device
    from dakd_jax.studies.paper_tables.jobs import jobs

    with workdirs.telling_disk_faults(pathlib.Path(jobs.workdir(file))):
        jobs.do(file, context.open_feed, context.console)


COMMANDS.register("job", Command(__doc__, do_job, "", words="a job of a table", num_words=1, by_flag=True))
