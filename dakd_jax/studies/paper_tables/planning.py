"""From the rows of a table and the seeds to stages that are to be trained, each once, each after what it needs."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping

import rich.box
import rich.table
from ml_collections import ConfigDict
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages import preflight
from dakd_jax.stages.experiment import Experiment, PlannedStage
from dakd_jax.studies.paper_tables.rows import Table, TableRow

# Fields of a table's config that are none of its stages'.
TABLE_FIELDS = ("table", "cluster")


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A stage to be trained and evaluated.

    Attributes:
      title: for people, unique in the plan.
      planned, experiment: the stage, and the experiment that has it in its plan.
      parents: keys of the stages that it needs.
    """

    title: str
    planned: PlannedStage
    experiment: Experiment
    parents: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name and hash: a teacher and a student of one architecture share the hash, and are not the same."""
        return self.planned.folder.name

    @property
    def done(self) -> bool:
        """Whether it is trained and evaluated."""
        return self.planned.finished and self.experiment.evaluator.done(self.planned)


@dataclasses.dataclass(frozen=True, eq=False)
class TablePlan:
    """What a table needs.

    Attributes:
      table, seeds: what is to be filled.
      tasks: by key, parents first.
      cells: (name of a row, seed) -> key of its stage; all rows but those whose data are missing.
      wanted: keys of the tasks that are to be done now; --rows may leave some out.
      missing: name of a row -> why its data cannot be had.
      notes: about the data.
    """

    table: Table
    seeds: tuple[int, ...]
    tasks: Mapping[str, Task]
    cells: Mapping[tuple[str, int], str]
    wanted: tuple[str, ...]
    missing: Mapping[str, str]
    notes: tuple[str, ...]

    def to_do(self) -> list[Task]:
        """The wanted tasks that are not done, parents first."""
        return [self.tasks[key] for key in self.wanted if not self.tasks[key].done]

    def to_rich(self, workdir: pathlib.Path) -> rich.table.Table:
        """Stages x seeds for people: what will happen; the hash too where there is room, with one seed."""
        shown = rich.table.Table(title=f"Plan, in {workdir}", title_justify="left", box=rich.box.SIMPLE_HEAD)
        for header in ("stage", "steps", *(f"seed {seed}" for seed in self.seeds)):
            shown.add_column(header, overflow="fold")
        lines: dict[str, list[str]] = {}
        for key in self.wanted:
            task = self.tasks[key]
            name, _ = task.title.rsplit(", seed ", 1)
            line = lines.setdefault(name, [str(task.planned.identity.get("steps", ""))])
            status = "finished, reused" if task.done else task.planned.status
            digest = f"  {task.planned.hash.removeprefix('file:')[:8]}" if len(self.seeds) == 1 else ""
            line.append(status + digest)
        for name, line in lines.items():
            shown.add_row(name, *line)
        return shown


def make_plan(
    config: ConfigDict,
    table: Table,
    chosen: Iterable[TableRow],
    seeds: tuple[int, ...],
    open_feed: Callable[[ConfigDict], TrainingData],
    workdir: pathlib.Path,
    console: Console,
) -> TablePlan:
    """Plans all rows of a table under all seeds; those of `chosen` are wanted now.

    Args:
      open_feed: from config.data to the data.

    Raises:
      UserError: a setting that cannot work, data of no row at hand, or nothing to score on.
    """
    feeds, missing = _feeds(config, table, open_feed)
    tasks: dict[str, Task] = {}
    cells: dict[tuple[str, int], str] = {}
    wanted: dict[str, None] = {}
    names = {row.name for row in chosen}
    for row in table.rows:
        for seed in seeds if row.name not in missing else ():
            made = row_config(config, row, seed)
            experiment = Experiment(made, feeds[_pair(row)], workdir, console)
            if experiment.evaluator is None:
                problem = experiment.feed.evaluation_problem()
                raise UserError(f"a table needs labelled pictures of target val to score on ({problem})")
            preflight.check_files(made, experiment.plan.values(), len(experiment.feed.class_names))
            keys = _add_tasks(tasks, experiment, row, seed)
            cells[row.name, seed] = keys[row.stage]
            if row.name in names:
                wanted |= dict.fromkeys(keys.values())
    ordered = sorted(wanted, key=list(tasks).index)
    to_come = [tasks[key].planned for key in ordered]
    preflight.check_disk(config, to_come, workdir, len(next(iter(feeds.values())).class_names))
    notes = [note for feed in feeds.values() for note in (*feed.domains.notes, *feed.audit({"source"}))]
    return TablePlan(table, seeds, tasks, cells, tuple(ordered), missing, tuple(dict.fromkeys(notes)))


def row_config(config: ConfigDict, row: TableRow, seed: int) -> ConfigDict:
    """The config of an ordinary run that has a row's stage as its goal."""
    made = config.copy_and_resolve_references()
    with made.unlocked():
        for field in TABLE_FIELDS:
            del made[field]
    made.update_from_flattened_dict({**row.changes, "seed": seed, "goal": (row.stage,)})
    return made


def _add_tasks(tasks: dict[str, Task], experiment: Experiment, row: TableRow, seed: int) -> dict[str, str]:
    """Adds the stages of a row's plan that are not there yet; returns the key of each by its name."""
    keys: dict[str, str] = {}
    for name, planned in experiment.plan.items():
        parents = tuple(keys[parent] for parent in planned.identity.get("parents", ()))
        title = row.name if name == row.stage else f"{name} of {row.name}"
        task = Task(f"{title}, seed {seed}", planned, experiment, parents)
        keys[name], known = task.key, tasks.get(task.key)
        # A stage that has a row of its own goes by the name of that row.
        if known is None or (name == row.stage and " of " in known.title):
            tasks[task.key] = task
    return keys


def _pair(row: TableRow) -> tuple:
    """What tells rows on one dataset from those on another."""
    return tuple(sorted((field, value) for field, value in row.changes.items() if field.startswith("data.")))


def _feeds(
    config: ConfigDict, table: Table, open_feed: Callable[[ConfigDict], TrainingData]
) -> tuple[dict[str, TrainingData], dict[str, str]]:
    """(by _pair, the data of the rows; name of a row -> why its data are missing)."""
    feeds, missing, problems = {}, {}, {}
    for row in table.rows:
        pair = _pair(row)
        if pair not in feeds and pair not in problems:
            feed = open_feed(row_config(config, row, config.seed).data)
            problem = feed.training_problem()
            (problems if problem else feeds)[pair] = problem or feed
        if pair in problems:
            missing[row.name] = problems[pair]
    if not feeds:
        raise UserError(next(iter(problems.values())))
    return feeds, missing
