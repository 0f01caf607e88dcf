"""The command of a table: plan, run what is missing, write what is there."""

import pathlib
from collections.abc import Callable

import jax
from rich.console import Console

from dakd_jax.commands.command_line import Command
from dakd_jax.studies.paper_tables import collect, planning, rows, tables
from dakd_jax.studies.paper_tables.jobs import engines, jobs
from dakd_jax.studies.paper_tables.jobs.schedule import Failure, Schedule, print_failures
from dakd_jax.studies.paper_tables.page import verdict, write_paper_table
from dakd_jax.studies.paper_tables.planning import TablePlan, Task


def make(command: Command, open_feed: Callable, console: Console) -> TablePlan:
    """Prints the plan of a table; what is planned touches no GPU, which the jobs need for themselves.

    Args:
      command: with a config that names a table, see configs/table1.py.
      open_feed: from config.data to the data.
    """
    jax.config.update("jax_platforms", "cpu")
    config = command.config
    table = rows.table(config.table, open_feed(config.data).benchmark, config.student.init_from)
    chosen = rows.chosen(table.rows, command.rows)
    seeds = command.seeds or (config.seed,)
    plan = planning.make_plan(config, table, chosen, seeds, open_feed, command.workdir, console)
    for note in plan.notes:
        _say(console, f"data: {note}")
    for reason in dict.fromkeys(plan.missing.values()):
        skipped = [name for name, why in plan.missing.items() if why == reason]
        _say(console, f"skipped: {', '.join(skipped)}: {reason}")
    console.print(plan.to_rich(command.workdir))
    return plan


def run(plan: TablePlan, command: Command, console: Console, *, program: pathlib.Path, typed: str) -> bool:
    """Runs what is missing, and writes the table after each stage and at the end; True when nothing failed.

    Args:
      program: path of run.py.
      typed: the command as it was given.
    """
    folder = command.workdir / f"table_{command.name}"
    to_do = plan.to_do()
    failures: list[Failure] = []

    def write() -> tables.PaperTable:
        found = collect.paper_table(plan, command.config, typed)
        write_paper_table(found, folder)
        return found

    def score(task: Task) -> str:
        metric = command.config.eval.metric
        return f"{tables.METRIC_NAMES[metric]} {100 * getattr(collect.scores_of(task), metric):.2f}"

    if to_do:
        engine = engines.make(command.config.cluster, folder / "jobs", command.jobs)
        schedule = Schedule(
            to_do,
            lambda task: jobs.write(folder / "jobs", task, command.workdir, program),
            engine,
            command.jobs,
            lambda line: _say(console, line),
            score=score,
            after=write,
        )
        failures = schedule.run()
    found = write()
    console.print(tables.score_table(found).to_rich())
    _say(console, verdict(found))
    print_failures(failures, console)
    _say(console, f"Table: {folder / 'index.html'} (and table.csv, table.md, table.tex)")
    return not failures


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)
