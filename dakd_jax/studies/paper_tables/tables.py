"""A table of the paper beside ours over several seeds: scores, classes, and all of it as CSV."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from dakd_jax.evaluation.metrics import Scores
from dakd_jax.studies.experiment.seeds import SPREAD_PARTS, Spread
from dakd_jax.studies.kit.paper_numbers import CERTAIN, UNSURE, PaperNumber
from dakd_jax.studies.kit.result_types import MEANS, METRIC_NAMES
from dakd_jax.studies.kit.text_table import MISSING, Cell, TextTable, csv_text, exact, number, number_cells

SECOND_HAND_MARK, UNSURE_MARK = "~", "?"
_DECIMALS = 2  # of means, as in the paper
_CLASS_DECIMALS = 1


@dataclasses.dataclass(frozen=True, eq=False)
class PaperRow:
    """One row.

    Attributes:
      name: for people, unique in the table.
      labels: its cells under the label headers.
      contest: rows with the same one compete for the bold face; '' for a reference.
      scores: seed -> ours, of the seeds that are finished.
      reference: seed -> of the network that gains are measured from; {} for none.
      paper: what was published; None for nothing.
      comparable: whether that was on this benchmark, so that a difference means something.
      given: whether it is a file's network, the same under all seeds.
      missing: why seeds are missing, '' for "not finished yet".
    """

    name: str
    labels: tuple[str, ...]
    contest: str
    scores: Mapping[int, Scores]
    reference: Mapping[int, Scores] = dataclasses.field(default_factory=dict)
    paper: PaperNumber | None = None
    comparable: bool = False
    given: bool = False
    missing: str = ""

    @property
    def _networks(self) -> list[Scores]:
        """One for each network: a single one where it is given."""
        return list(self.scores.values())[: 1 if self.given else None]

    def spread(self, metric: str) -> Spread:
        """Of one metric in per cent, over the finished seeds."""
        return Spread.of([100 * getattr(scores, metric) for scores in self._networks])

    def class_spread(self, index: int) -> Spread:
        """Of the IoU of one class in per cent."""
        return Spread.of([100 * scores.iou[index] for scores in self._networks])

    def gain(self, metric: str) -> Spread:
        """Of the differences to the reference within each seed, in points."""
        pairs = [(self.scores[seed], self.reference[seed]) for seed in self.scores if seed in self.reference]
        return Spread.of([100 * (getattr(ours, metric) - getattr(theirs, metric)) for ours, theirs in pairs])


@dataclasses.dataclass(frozen=True, eq=False)
class PaperTable:
    """A table that is filled, or in part.

    Attributes:
      title, command: what it is, and how to make it again.
      headers: of the label columns.
      rows: in order.
      seeds: that were asked for.
      class_names: C names.
      metric: "miou" or "miou_present": the benchmark's number.
      reference: what gains are measured from, for people.
      notes: what a reader must know, one sentence each.
      record: versions, hardware, hashes, ...; may be nested.
    """

    title: str
    command: str
    headers: tuple[str, ...]
    rows: Sequence[PaperRow]
    seeds: tuple[int, ...]
    class_names: Sequence[str]
    metric: str = "miou"
    reference: str = "student"
    notes: Sequence[str] = ()
    record: Mapping = dataclasses.field(default_factory=dict)

    @property
    def finished(self) -> int:
        """Results that are there, of rows times seeds."""
        return sum(len(row.scores) for row in self.rows)


def score_table(table: PaperTable) -> TextTable:
    """Rows x (paper, ours as mean ± deviation, difference) of mIoU and pixel accuracy, gain, finished seeds."""
    rows = table.rows
    columns = [
        *_label_columns(table),
        ("paper mIoU", _paper_column(rows, "miou")),
        (METRIC_NAMES[table.metric], _our_column(rows, [row.spread(table.metric) for row in rows])),
        ("vs paper", _difference_column(rows, "miou")),
        (f"vs {table.reference}", [signed(row.gain(table.metric)) for row in rows]),
        ("paper acc.", _paper_column(rows, "pixel_accuracy")),
        ("pixel acc.", _our_column(rows, [row.spread("pixel_accuracy") for row in rows])),
        ("vs paper", _difference_column(rows, "pixel_accuracy")),
        ("seeds", [_seeds_text(table, row) for row in rows]),
    ]
    return TextTable.of_columns(columns, _caption(table))


def class_table(table: PaperTable) -> TextTable:
    """Rows x classes: our IoU, mean over seeds."""
    columns = _label_columns(table)
    for index, name in enumerate(table.class_names):
        means = [row.class_spread(index).mean for row in table.rows]
        columns.append((name, _contests(table.rows, means, _CLASS_DECIMALS)))
    caption = "IoU of each class in per cent, mean over seeds. Bold: best of its column."
    return TextTable.of_columns(columns, caption)


def paper_class_table(table: PaperTable) -> TextTable | None:
    """The paper's IoU of each class; None where it published none."""
    if not any(row.paper and row.paper.iou for row in table.rows):
        return None
    columns = _label_columns(table)
    for index, name in enumerate(table.class_names):
        columns.append((name, _paper_column(table.rows, name, index, _CLASS_DECIMALS)))
    caption = f"The paper's IoU of each class, BDD100K to Cityscapes. {UNSURE_MARK}: hard to read in the source."
    return TextTable.of_columns(columns, caption)


def difference(row: PaperRow, field: str) -> float | None:
    """Our mean minus the paper's in points; None where one is missing or the two are of different benchmarks."""
    published = _published(row, field)
    return row.spread(field).mean - published if row.comparable and published is not None and row.scores else None


def rank_correlation(table: PaperTable) -> tuple[float, int] | None:
    """(Spearman's correlation of ours and the paper's mIoU, rows that it is of), without references and unsure rows.

    None for fewer than three rows, or where all are equal.
    """
    both = [row for row in table.rows if row.contest and row.paper and row.scores]
    both = [row for row in both if _mark(row.paper, "miou") != UNSURE_MARK]
    if len(both) < 3:
        return None
    ranks = [_ranks([row.paper.miou for row in both]), _ranks([row.spread(table.metric).mean for row in both])]
    if not all(np.ptp(one) for one in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1]), len(both)


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of theirs."""
    values = np.asarray(values, np.float64)
    below, equal = (values[None] < values[:, None]).sum(axis=1), (values[None] == values[:, None]).sum(axis=1)
    return below + (equal + 1) / 2


def csv_table(table: PaperTable) -> str:
    """One line per row with everything, in per cent to four decimals; what is missing is empty."""
    headers = [*(header.lower() for header in table.headers), "seeds", "missing"]
    headers += ["paper_miou", "paper_pixel_accuracy", "paper_certainty", "paper_unsure_cells", "paper_note"]
    headers += ["difference_miou", "difference_pixel_accuracy"]
    spreads = (*MEANS, f"vs_{table.reference}_{table.metric}")
    headers += [f"{name}_{part}" for name in spreads for part in SPREAD_PARTS]
    for name in table.class_names:
        headers += [f"iou/{name}", f"iou_std/{name}", f"paper_iou/{name}", f"difference_iou/{name}"]
    return csv_text([headers, *(_csv_line(table, row) for row in table.rows)])


def _csv_line(table: PaperTable, row: PaperRow) -> list[str]:
    line = [*row.labels, " ".join(map(str, sorted(row.scores))), _missing(table, row)]
    published = row.paper
    line += [exact(_published(row, field)) for field in ("miou", "pixel_accuracy")]
    line += [published.certainty, " ".join(sorted(published.unsure)), published.note] if published else [""] * 3
    line += [exact(difference(row, field)) for field in ("miou", "pixel_accuracy")]
    for spread in (*(row.spread(metric) for metric in MEANS), row.gain(table.metric)):
        line += spread.csv_cells()
    for index in range(len(table.class_names)):
        ours, theirs = row.class_spread(index), published.iou[index] if published and published.iou else None
        apart = ours.mean - theirs if row.comparable and theirs is not None else None
        line += map(exact, (ours.mean, ours.std, theirs, apart))
    return line


def markdown(table: PaperTable) -> str:
    """All tables and the notes."""
    parts = [f"## {table.title}", score_table(table).to_markdown(), class_table(table).to_markdown()]
    if published := paper_class_table(table):
        parts.append(published.to_markdown())
    return "\n\n".join([*parts, *(f"- {note}" for note in table.notes), f"`{table.command}`"]) + "\n"


def latex(table: PaperTable) -> str:
    """All tables for a document."""
    tables = [score_table(table), class_table(table), paper_class_table(table)]
    named = [dataclasses.replace(one, title=table.title) for one in tables if one]
    return "\n".join(one.to_latex(labels=len(table.headers)) for one in named)


def _label_columns(table: PaperTable) -> list[tuple[str, list[str]]]:
    columns = [list(column) for column in zip(*(row.labels for row in table.rows), strict=True)]
    mark = [UNSURE_MARK if row.paper and row.paper.certainty == UNSURE else "" for row in table.rows]
    columns[0] = [text + sign for text, sign in zip(columns[0], mark, strict=True)]
    return list(zip(table.headers, columns, strict=True))


def _our_column(rows: Sequence[PaperRow], spreads: Sequence[Spread]) -> list[Cell]:
    """A column of means with their deviations; the best of each contest is bold."""
    cells = _contests(rows, [spread.mean for spread in spreads], _DECIMALS)
    return [Cell(spread.text(_DECIMALS), cell.best) for spread, cell in zip(spreads, cells, strict=True)]


def _contests(rows: Sequence[PaperRow], values: Sequence[float | None], decimals: int) -> list[Cell]:
    """A column of numbers; the best of each contest is bold."""
    cells = [Cell(number(value, decimals)) for value in values]
    for contest in {row.contest for row in rows} - {""}:
        of_contest = number_cells(values, [row.contest == contest for row in rows], decimals)
        cells = [new if new.best else cell for cell, new in zip(cells, of_contest, strict=True)]
    return cells


def _paper_column(rows: Sequence[PaperRow], field: str, index: int | None = None, decimals: int = _DECIMALS):
    """A column of published numbers; unsure ones are marked and compete with none."""
    values = [_published(row, field, index) for row in rows]
    marks = [_mark(row.paper, field) for row in rows]
    sure = _contests(rows, [None if mark else value for value, mark in zip(values, marks, strict=True)], decimals)
    return [
        Cell(MISSING if value is None else mark + number(value, decimals), cell.best)
        for value, mark, cell in zip(values, marks, sure, strict=True)
    ]


def _difference_column(rows: Sequence[PaperRow], field: str) -> list[str]:
    """A column of differences to the paper; one to an unsure number is marked as that number is."""
    values = [difference(row, field) for row in rows]
    return [
        MISSING if value is None else _mark(row.paper, field) + number(value, signed=True)
        for row, value in zip(rows, values, strict=True)
    ]


def _published(row: PaperRow, field: str, index: int | None = None) -> float | None:
    if row.paper is None:
        return None
    if index is None:
        return getattr(row.paper, field)
    return row.paper.iou[index] if index < len(row.paper.iou) else None


def _mark(paper: PaperNumber | None, field: str) -> str:
    """What stands before a published number: nothing if it was read for certain."""
    if paper is None:
        return ""
    if field in paper.unsure or paper.certainty == UNSURE:
        return UNSURE_MARK
    return "" if paper.certainty == CERTAIN else SECOND_HAND_MARK


def signed(spread: Spread) -> str:
    """Mean and deviation of a difference."""
    return spread.text(_DECIMALS, signed=True)


def _seeds_text(table: PaperTable, row: PaperRow) -> str:
    there, wanted = len(row.scores), len(table.seeds)
    if row.given and there:
        return "given"
    return str(there) if there == wanted else f"{there} of {wanted}"


def _missing(table: PaperTable, row: PaperRow) -> str:
    return "" if len(row.scores) == len(table.seeds) else row.missing or "not finished"


def _caption(table: PaperTable) -> str:
    parts = [
        "Per cent: mean ± sample standard deviation over seeds. Bold: best of its column, references left out. "
        f"vs {table.reference}: points within each seed, then their mean ± deviation. "
        f"{MISSING}: not finished, or not published."
    ]
    papers = [row.paper for row in table.rows if row.paper]
    if any(_mark(paper, field) == UNSURE_MARK for paper in papers for field in ("miou", "pixel_accuracy")):
        parts.append(f"{UNSURE_MARK}: hard to read in the source, advisory only.")
    if any(_mark(paper, "miou") == SECOND_HAND_MARK for paper in papers):
        parts.append(f"{SECOND_HAND_MARK}: quoted second-hand, not read in the paper.")
    if papers and not any(row.comparable for row in table.rows if row.paper):
        parts.append("The paper's numbers are of BDD100K to Cityscapes: no difference to them is taken here.")
    return " ".join(parts)
