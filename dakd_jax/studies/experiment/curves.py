"""Learning curves: validation scores and losses over the steps."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dakd_jax.objectives.adaptation import METHODS
from dakd_jax.objectives.context import SOURCE
from dakd_jax.objectives.terms import TERMS
from dakd_jax.studies.kit.result_types import METRIC_NAMES, ExperimentResults
from dakd_jax.studies.kit.style import INK, legend_below, new_figure, stage_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OTHER = "other"
_COLUMNS = 4
_SMOOTHED_FROM = 24  # points; a shorter curve is shown as it is


def curve(rows: Sequence[Mapping], key: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """One logged number over the steps.

    Args:
      rows: of metrics.jsonl.
      key: for example "miou" or "loss/seg_main".
      kind: "train" or "eval".

    Returns:
      steps and values, float64 [n] each; rows without a finite value are left out.
    """
    points = [
        (row["step"], row[key])
        for row in rows
        if row.get("kind") == kind and row.get(key) is not None and math.isfinite(row[key])
    ]
    points = np.array(points, np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def loss_groups(experiment: ExperimentResults) -> dict[str, list[str]]:
    """Group -> sorted keys "loss/..." that any network logged in training; empty groups are left out."""
    keys = {
        key
        for result in experiment.results
        for row in result.curves
        for key in row
        if row.get("kind") == "train" and key.startswith("loss/")
    }
    known = curve_groups()
    groups = {name: [] for name in (*known, _OTHER)}
    for key in sorted(keys):
        groups[_group_of(key, known)].append(key)
    return {name: members for name, members in groups.items() if members}


def curve_groups() -> dict[str, tuple[str, ...]]:
    """Group -> beginnings of a part of the name after "loss/", of all loss terms and methods that are registered."""
    groups = {"segmentation": ()}
    for name, method in METHODS.items():
        groups |= method.CURVES or {name.replace("_", " "): (name,)}
    for term in TERMS.values():
        group = "segmentation" if term.group == SOURCE else term.group
        groups[group] = groups.get(group, ()) + term.curves
    return groups


def _group_of(key: str, groups: Mapping[str, Sequence[str]]) -> str:
    parts = key.removeprefix("loss/").split("/")
    for part in parts:  # "source/kl_main" belongs where "kl_main" does
        for name, beginnings in groups.items():
            if part.startswith(tuple(beginnings)):
                return name
    return _OTHER


def _panel_title(group: str, key: str) -> str:
    """ "loss/source/kl_main" of distillation -> "distillation: source, kl main"."""
    parts = [part for part in key.removeprefix("loss/").split("/") if part != group]
    return f"{group}: {', '.join(parts).replace('_', ' ')}"


def validation_curves(experiment: ExperimentResults) -> "Figure | None":
    """The benchmark's number on the validation pictures for each network; None where nothing was logged.

    A star marks the checkpoint that counts.
    """
    figure, axes = new_figure(10, 4.2)
    axis = axes[0, 0]
    for result in experiment.ordered():
        steps, values = curve(result.curves, experiment.metric, "eval")
        if len(steps):
            colour = stage_colour(result.name)
            axis.plot(steps, 100 * values, "o-", ms=4, lw=1.8, color=colour, label=result.short_name)
            chosen = steps == result.weights_of_step
            axis.scatter(steps[chosen], 100 * values[chosen], marker="*", s=150, color=colour, ec=INK, lw=0.8, zorder=4)
    if not axis.lines:
        return None
    axis.set(xlabel="step", ylabel=f"{METRIC_NAMES[experiment.metric]} (%)", ylim=(0, None))
    legend_below(figure, *axis.get_legend_handles_labels())
    return figure


def loss_curves(experiment: ExperimentResults) -> "Figure | None":
    """One panel per loss term, terms of a group in a row, one colour per network; None without any.

    Terms have a panel each because they are weighted differently: their sum would show only the largest.
    """
    terms = [(group, key) for group, keys in loss_groups(experiment).items() for key in keys]
    if not terms:
        return None
    rows = math.ceil(len(terms) / _COLUMNS)
    figure, axes = new_figure(3.1 * _COLUMNS, 2.2 * rows + 0.5, rows=rows, columns=_COLUMNS)
    legend = {}
    for axis, (group, key) in zip(axes.flat, terms, strict=False):
        legend |= _plot_loss(axis, experiment, key)
        axis.set_title(_panel_title(group, key), fontsize=8.5, color=INK)
    for axis in axes.flat[len(terms) :]:
        axis.set_visible(False)
    order = [result.short_name for result in experiment.ordered() if result.short_name in legend]
    legend_below(figure, [legend[name] for name in order], order)
    return figure


def _plot_loss(axis, experiment: ExperimentResults, key: str) -> dict:
    """Draws a term of every network that has it; returns legend text -> line."""
    lines = {}
    for result in experiment.ordered():
        steps, values = curve(result.curves, key, "train")
        if not len(steps):
            continue
        colour = stage_colour(result.name)
        if len(values) >= _SMOOTHED_FROM:
            axis.plot(steps, values, lw=0.6, alpha=0.22, color=colour)
            values = smooth(values, len(values) // 16)
        (lines[result.short_name],) = axis.plot(steps, values, lw=1.4, color=colour)
    axis.tick_params(labelsize=8)
    axis.locator_params(axis="x", nbins=4)
    return lines


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Centred running mean over 2 * width + 1 values, at the ends over those there are; float64 [n]."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first, last = np.maximum(index - width, 0), np.minimum(index + width + 1, len(values))
    return (total[last] - total[first]) / (last - first)
