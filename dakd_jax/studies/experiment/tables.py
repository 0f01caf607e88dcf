"""Tables of one experiment: networks x scores, classes x networks, cost; and all of it as CSV."""

import dataclasses

from dakd_jax.evaluation.metrics import Scores
from dakd_jax.studies.kit.paper_numbers import SECOND_HAND
from dakd_jax.studies.kit.result_types import MEANS, NOT_COMPARED, ExperimentResults
from dakd_jax.studies.kit.text_table import TextTable, csv_text, exact, number, number_cells

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
        paper, compared = experiment.paper.get(result.name), result.name not in NOT_COMPARED
        difference = 100 * result.scores.miou - paper[0] if paper else None
        about = result.name, result.title, result.short_name, result.scores
        rows.append(NetworkRow(*about, paper, difference, compared))
    return rows


def score_table(experiment: ExperimentResults) -> TextTable:
    """Networks x (mIoU, mIoU of present classes, accuracies, the paper's numbers where there are any)."""
    rows, caption = network_rows(experiment), BEST_CAPTION
    compared = [row.compared for row in rows]
    columns = [("network", [row.title for row in rows])]
    for header, name in zip(("mIoU", "present mIoU", "pixel acc.", "class acc."), MEANS, strict=True):
        columns.append((header, number_cells([100 * getattr(row.scores, name) for row in rows], compared)))
    if any(row.paper for row in rows):
        marks = ["~" if row.paper and row.paper[2] == SECOND_HAND else "" for row in rows]
        columns += [
            ("paper mIoU", [mark + number(row.paper and row.paper[0]) for mark, row in zip(marks, rows, strict=True)]),
            ("vs paper", [number(row.difference, signed=True) for row in rows]),
            ("paper acc.", [number(row.paper and row.paper[1]) for row in rows]),
        ]
        if any(marks):
            caption += " ~: quoted second-hand, not read in the paper."
    return TextTable.of_columns(columns, caption + _skipped(experiment))


def _skipped(experiment: ExperimentResults) -> str:
    """A sentence about the networks that were trained with less than all of their steps; '' without any."""
    counts = [
        f"{result.title} {result.info['skipped_steps']} of {result.info['steps']}"
        for result in experiment.ordered()
        if result.info.get("skipped_steps")
    ]
    return f" Steps left out, since a value was not finite: {', '.join(counts)}." if counts else ""


def class_table(experiment: ExperimentResults) -> TextTable:
    """Classes x networks: IoU in per cent, a dash for a class that neither occurs nor is predicted."""
    rows = network_rows(experiment)
    compared = [row.compared for row in rows]
    body = [
        (class_name, *number_cells([100 * row.scores.iou[index] for row in rows], compared, 1))
        for index, class_name in enumerate(experiment.class_names)
    ]
    return TextTable("", ("IoU of class", *(row.short_name for row in rows)), body, BEST_CAPTION)


def cost_table(experiment: ExperimentResults) -> TextTable:
    """Networks x whatever their `info` holds (steps, parameters, minutes, images per second)."""
    results = experiment.ordered()
    keys = list(dict.fromkeys(key for result in results for key in result.info))
    body = [(result.title, *(_info_text(result.info.get(key)) for key in keys)) for result in results]
    return TextTable("", ("network", *(key.replace("_", " ") for key in keys)), body)


def _info_text(value) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return number(value) if value is None or isinstance(value, float) else str(value)


def markdown_table(experiment: ExperimentResults) -> str:
    """The main table and the class table in Markdown."""
    return f"{score_table(experiment).to_markdown()}\n{class_table(experiment).to_markdown()}"


def csv_table(experiment: ExperimentResults) -> str:
    """One line per network with everything, in per cent to four decimals; NaN and unknown are empty."""
    headers = ["benchmark", "seed", "stage", *MEANS]
    headers += ["paper_miou", "paper_pixel_accuracy", "paper_certainty", "difference"]
    lines = [headers + [f"iou/{name}" for name in experiment.class_names]]
    for row in network_rows(experiment):
        miou, accuracy, certainty, *_ = row.paper or (None, None, "")
        ours = [100 * getattr(row.scores, name) for name in MEANS]
        line = [experiment.benchmark, experiment.seed, row.name, *map(exact, (*ours, miou, accuracy)), certainty]
        lines.append([*line, *map(exact, (row.difference, *100 * row.scores.iou))])
    return csv_text(lines)
