"""From what is finished of a table to the report's input."""

import pathlib

from ml_collections import ConfigDict

from dakd_jax.basics import records
from dakd_jax.evaluation import metrics
from dakd_jax.evaluation.metrics import Scores
from dakd_jax.studies.kit.result_types import SHORT_NAMES
from dakd_jax.studies.paper_tables import rows as rows_of_tables
from dakd_jax.studies.paper_tables.planning import TablePlan, Task
from dakd_jax.studies.paper_tables.tables import PaperRow, PaperTable

# Of the records of the stages: what all of them should have in common.
_ENVIRONMENT = ("versions", "hardware", "git_commit")


def paper_table(plan: TablePlan, config: ConfigDict, command: str) -> PaperTable:
    """The table as far as it is finished.

    Args:
      command: that makes the same again.
    """
    table = plan.table
    done = {key: scores_of(task) for key, task in plan.tasks.items() if task.done}
    found = {
        row.name: {s: done[plan.cells[row.name, s]] for s in plan.seeds if plan.cells.get((row.name, s)) in done}
        for row in table.rows
    }
    given = {key for key, task in plan.tasks.items() if task.planned.replaced_by}
    rows = [
        PaperRow(
            name=row.name,
            labels=row.labels,
            contest=row.contest,
            scores=found[row.name],
            reference=found.get(row.reference, {}),
            paper=row.paper,
            comparable=row.comparable,
            given=any(plan.cells.get((row.name, seed)) in given for seed in plan.seeds),
            missing=f"skipped: {plan.missing[row.name]}" if row.name in plan.missing else "",
        )
        for row in table.rows
    ]
    task = next(iter(plan.tasks.values()))
    pair = config.data
    benchmark = task.experiment.feed.benchmark if pair.get("source") or pair.get("target") else pair.name
    return PaperTable(
        title=f"{table.title} ({benchmark})",
        command=command,
        headers=table.headers,
        rows=rows,
        seeds=plan.seeds,
        class_names=task.experiment.feed.class_names,
        metric=config.eval.metric,
        reference=SHORT_NAMES[rows_of_tables.REFERENCES[config.student.init_from]],
        notes=_notes(plan, config) + _skipped(plan),
        record=_record(plan, task.experiment.config),
    )


def scores_of(task: Task) -> Scores:
    """Of a task that is done."""
    return metrics.scores(task.experiment.evaluator.confusion(task.planned))


def _notes(plan: TablePlan, config: ConfigDict) -> list[str]:
    notes = [f"Evaluated on target val under the protocol '{config.eval.protocol}'.", _which_weights(plan, config)]
    notes += [f"{row.name}: {row.paper.note}." for row in plan.table.rows if row.paper and row.paper.note]
    reasons = dict.fromkeys(plan.missing.values())
    return notes + [f"Skipped: {', '.join(n for n, why in plan.missing.items() if why == r)}: {r}" for r in reasons]


def _skipped(plan: TablePlan) -> list[str]:
    """One sentence for each stage that was trained with less than all of its steps."""
    counts = {task.title: _told(task.planned.folder).get("skipped_steps") for task in plan.tasks.values() if task.done}
    return [f"{title}: {n} steps left out, since a value was not finite." for title, n in counts.items() if n]


def _which_weights(plan: TablePlan, config: ConfigDict) -> str:
    """Which checkpoint of a stage the table is of, see selection.rule."""
    if any(task.planned.identity.get("selection") for task in plan.tasks.values()):
        return (
            f"Weights: of each stage's evaluations, the best by '{config.train.select}', which needs no target labels."
        )
    return "Weights: those of the last step."


def _record(plan: TablePlan, config: ConfigDict) -> dict:
    """Settings, and where the finished stages were trained."""
    told = [_told(task.planned.folder) for task in plan.tasks.values() if task.done]
    different = {field: list(dict.fromkeys(str(one[field]) for one in told if field in one)) for field in _ENVIRONMENT}
    return {
        "trained with": {field: "; ".join(texts) for field, texts in different.items()},
        "config": records.plain(config),
        "stages": {task.title: task.planned.hash for task in plan.tasks.values()},
    }


def _told(folder: pathlib.Path) -> dict:
    return records.read_json(folder / "record.json") or {}
