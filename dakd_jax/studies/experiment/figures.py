"""Pictures of one experiment's results: bars per class, confusion matrices, and predictions beside labels."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from dakd_jax.studies.kit.picture_grid import SCREEN, GridRow, class_rows, draw, palette_handles
from dakd_jax.studies.kit.result_types import PICTURE_ORDER, ExperimentResults, Picture, StageResult
from dakd_jax.studies.kit.style import INK, legend_below, new_figure, stage_colour, write_percentages

_CLASSES_PER_LINE = 10
_TEXT_FROM = 0.5  # per cent; smaller shares would print as 0


def class_iou_bars(experiment: ExperimentResults) -> Figure:
    """IoU of each class as one bar per network; classes that no network has a number for are left out."""
    results = experiment.ordered()
    ious = 100 * np.array([result.scores.iou for result in results]).reshape(len(results), -1)
    shown = np.flatnonzero(np.isfinite(ious).any(axis=0))
    lines = np.array_split(shown, max(1, math.ceil(len(shown) / _CLASSES_PER_LINE)))
    figure, axes = new_figure(12, 2.9 * len(lines) + 0.5, rows=len(lines))
    width = 0.84 / max(1, len(results))
    for axis, classes in zip(axes[:, 0], lines, strict=True):
        for position, result in enumerate(results):
            place = np.arange(len(classes)) + (position - (len(results) - 1) / 2) * width
            heights = np.nan_to_num(ious[position, classes])
            axis.bar(place, heights, width, color=stage_colour(result.name), label=result.short_name)
        axis.set_xticks(range(len(classes)), [experiment.class_names[index] for index in classes])
        # All lines have the places of the longest, so that bars keep one width.
        axis.set(ylabel="IoU (%)", ylim=(0, 100), xlim=(-0.6, max(map(len, lines)) - 0.4))
        axis.tick_params(axis="x", length=0)
        axis.grid(False, axis="x")
    legend_below(figure, *axes[0, 0].get_legend_handles_labels())
    return figure


def confusion_figure(result: StageResult, class_names: Sequence[str]) -> Figure:
    """Row-normalised confusion matrix in per cent: of a class's labelled pixels, which share was called what.

    Classes that are neither labelled nor predicted are left out; the row of a class without labels is empty.
    """
    shown = np.flatnonzero(result.confusion.sum(axis=0) + result.confusion.sum(axis=1))
    matrix = result.confusion[np.ix_(shown, shown)].astype(np.float64)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(100 * matrix, totals, out=np.full_like(matrix, np.nan), where=totals > 0)
    side = 2.2 + 0.38 * len(shown)
    figure, axes = new_figure(side + 1.3, side)
    axis = axes[0, 0]
    names = [class_names[index] for index in shown]
    axis.set(xlabel="predicted", ylabel="labelled")
    axis.set_title(result.title, fontsize=11, color=INK)
    axis.grid(False)
    if not len(shown):
        axis.text(0.5, 0.5, "nothing was counted", ha="center", va="center", transform=axis.transAxes)
        return figure
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axis.set_xticks(range(len(shown)), names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(shown)), names)
    write_percentages(axis, shares, fontsize=7.5, smallest=_TEXT_FROM)
    figure.colorbar(image, ax=axis, fraction=0.04, pad=0.02).set_label("% of the labelled pixels")
    return figure


def picture_grid(experiment: ExperimentResults, pictures: Sequence[Picture]) -> Figure:
    """Pictures as columns; as rows the supplement's order: image, ground truth, teacher, student, (a) to (d).

    The source-only student comes before the teacher where there is one. Ignored pixels of the ground truth
    are black. A network without a prediction of a picture leaves its place empty.

    Args:
      experiment: whose networks and palette are shown.
      pictures: at least one; four in a row are still well seen.
    """
    networks = experiment.ordered(PICTURE_ORDER)
    networks = [result for result in networks if any(p.name in result.predictions for p in pictures)]
    maps = [("ground truth", [picture.label for picture in pictures])]
    maps += [(result.short_name, [result.predictions.get(p.name) for p in pictures]) for result in networks]
    rows = [GridRow("image", [picture.image for picture in pictures], photographs=True)]
    rows += class_rows(maps, experiment.palette)
    all_maps = [m for _, of_all in maps for m in of_all]
    handles = palette_handles(experiment.class_names, experiment.palette, all_maps)
    ratio = max(picture.label.shape[0] / picture.label.shape[1] for picture in pictures)
    return draw(rows, [picture.name for picture in pictures], handles, SCREEN, ratio=ratio)
