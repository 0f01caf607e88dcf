"""Tables of one experiment: networks x scores, classes x networks, cost; and all of it as CSV."""

import dataclasses

import rich.table

from dakd_jax.evaluation.metrics import Scores
from dakd_jax.studies.kit.paper_numbers import SECOND_HAND
from dakd_jax.studies.kit.result_types import NOT_COMPARED, ExperimentResults
from dakd_jax.studies.kit.text_table import Cell, TextTable, csv_text, number, number_cells

BEST_CAPTION = "Per cent. Bold: best student that saw no target labels."


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkRow:
    """One network beside the paper.

    Attributes:
      name, title, short_name, scores: of the network; scores are fractions.
      paper: (mIoU %, pixel accuracy % or None, certainty), or None where nothing was published.
      difference: our mIoU minus the paper's, in points; None without a number of the paper.
      compared: False for the teacher and the network that saw target labels.
    """

    name: str
    title: str
    short_name: str
    scores: Scores
    paper: tuple[float, float | None, str] | None
    difference: float | None
    compared: bool


def network_rows(experiment: ExperimentResults) -> list[NetworkRow]:
    """One row per network, each after the networks it builds on."""
    rows = []
    for result in experiment.ordered():
        paper = experiment.paper.get(result.name)
        difference = None if paper is None else 100 * result.scores.miou - paper[0]
        compared = result.name not in NOT_COMPARED
        rows.append(
            NetworkRow(result.name, result.title, result.short_name, result.scores, paper, difference, compared)
        )
    return rows


def score_table(experiment: ExperimentResults) -> TextTable:
    """Networks x (mIoU, mIoU of present classes, accuracies, the paper's numbers where there are any)."""
    rows = network_rows(experiment)
    compared = [row.compared for row in rows]
    columns = [
        number_cells([100 * getattr(row.scores, name) for row in rows], compared)
        for name in ("miou", "miou_present", "pixel_accuracy", "mean_class_accuracy")
    ]
    headers = ["network", "mIoU", "present mIoU", "pixel acc.", "class acc."]
    caption = BEST_CAPTION
    if any(row.paper for row in rows):
        headers += ["paper mIoU", "vs paper", "paper acc."]
        columns += _paper_columns(rows)
        if any(row.paper and row.paper[2] == SECOND_HAND for row in rows):
            caption += " ~: quoted second-hand, not read in the paper."
    names = [Cell(row.title) for row in rows]
    return TextTable("", tuple(headers), tuple(zip(names, *columns, strict=True)), caption + _skipped(experiment))


def _skipped(experiment: ExperimentResults) -> str:
    """A sentence about the networks that were trained with less than all of their steps; '' without any."""
    counts = [
        f"{result.title} {result.info['skipped_steps']} of {result.info['steps']}"
        for result in experiment.ordered()
        if result.info.get("skipped_steps")
    ]
    return f" Steps left out, since a value was not finite: {', '.join(counts)}." if counts else ""


def _paper_columns(rows: list[NetworkRow]) -> list[list[Cell]]:
    """The paper's mIoU, our difference to it, the paper's pixel accuracy."""

    def mark(row):
        return "~" if row.paper and row.paper[2] == SECOND_HAND else ""

    return [
        [Cell(mark(row) + number(row.paper and row.paper[0])) for row in rows],
        [Cell(number(row.difference, signed=True)) for row in rows],
        [Cell(number(row.paper and row.paper[1])) for row in rows],
    ]


def class_table(experiment: ExperimentResults) -> TextTable:
    """Classes x networks: IoU in per cent, a dash for a class that neither occurs nor is predicted."""
    rows = network_rows(experiment)
    compared = [row.compared for row in rows]
    body = [
        (Cell(class_name), *number_cells([100 * row.scores.iou[index] for row in rows], compared, 1))
        for index, class_name in enumerate(experiment.class_names)
    ]
    headers = ("IoU of class", *(row.short_name for row in rows))
    return TextTable("", headers, tuple(body), BEST_CAPTION)


def cost_table(experiment: ExperimentResults) -> TextTable:
    """Networks x whatever their `info` holds (steps, parameters, minutes, images per second)."""
    results = experiment.ordered()
    keys = list(dict.fromkeys(key for result in results for key in result.info))
    body = [(Cell(result.title), *(Cell(_info_text(result.info.get(key))) for key in keys)) for result in results]
    return TextTable("", ("network", *(key.replace("_", " ") for key in keys)), tuple(body))


def _info_text(value) -> str:
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value is None or isinstance(value, float):
        return number(value)
    return str(value)


def console_table(experiment: ExperimentResults) -> rich.table.Table:
    """The main table for the terminal, at most 100 columns wide for titles of up to 30 letters."""
    return score_table(experiment).to_rich()


def console_class_table(experiment: ExperimentResults) -> rich.table.Table:
    """IoU of each class for the terminal."""
    return class_table(experiment).to_rich()


def markdown_table(experiment: ExperimentResults) -> str:
    """The main table and the class table in Markdown."""
    return f"{score_table(experiment).to_markdown()}\n{class_table(experiment).to_markdown()}"


def csv_table(experiment: ExperimentResults) -> str:
    """One line per network with everything, in per cent to four decimals; NaN and unknown are empty."""
    means = ("miou", "miou_present", "pixel_accuracy", "mean_class_accuracy")
    headers = ["benchmark", "seed", "stage", *means]
    headers += ["paper_miou", "paper_pixel_accuracy", "paper_certainty", "difference"]
    headers += [f"iou/{name}" for name in experiment.class_names]
    lines = [headers]
    for row in network_rows(experiment):
        line = [experiment.benchmark, experiment.seed, row.name]
        line += [_csv_number(100 * getattr(row.scores, name)) for name in means]
        line += [_csv_number(value) for value in row.paper[:2]] + [row.paper[2]] if row.paper else [""] * 3
        line += [_csv_number(row.difference), *(_csv_number(100 * value) for value in row.scores.iou)]
        lines.append(line)
    return csv_text(lines)


def _csv_number(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4f}"
