"""How much of each class there is, as a plot."""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from data_pipelines.reading.label_spaces import CITYSCAPES, LabelSpace

_INK, _SOFT, _NEVER = "#222222", "#666666", "#b3261e"
_LEAST = 1e-6  # share at the left edge


def class_shares(counts: Mapping[str, np.ndarray], space: LabelSpace = CITYSCAPES) -> bytes | None:
    """A PNG: one column of bars for each split, on a logarithmic scale, void last; None without any counts.

    Args:
      counts: split to int64 [N, 20], pixels of each class and, last, of void in N labels.
      space: of the classes.
    """
    classes = len(space.class_names)
    counts = {split: of_it[:, [*range(classes), -1]] for split, of_it in counts.items() if len(of_it)}
    if not counts:
        return None
    figure = Figure(figsize=(2 + 4.2 * len(counts), 5.6), dpi=110, facecolor="white", layout="constrained")
    axes = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for axis, (split, of_it) in zip(axes, counts.items(), strict=True):
        _bars(axis, of_it, space)
        axis.set_title(f"{split}, {len(of_it):,} label{'s' * (len(of_it) != 1)}", fontsize=10, loc="left", color=_INK)
    axes[0].set_yticks(range(classes + 1), (*space.class_names, "void"))
    axes[0].invert_yaxis()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _bars(axis, counts: np.ndarray, space: LabelSpace) -> None:
    total, void = counts.sum(axis=0), len(space.class_names)
    share = total / max(1, total[:void].sum())
    share[void] = total[void] / max(1, total.sum())
    pictures = (counts > 0).mean(axis=0)
    colours = [*(space.palette / 255), (0, 0, 0)]
    axis.barh(range(void + 1), np.maximum(share, _LEAST), color=colours, height=0.78, edgecolor="#999999", lw=0.4)
    axis.set_xscale("log")
    axis.set_xlim(_LEAST, 60)  # room for the texts
    axis.set_xticks([1e-6, 1e-4, 1e-2, 1], ["0.0001 %", "0.01 %", "1 %", "100 %"])
    for row, (of_pixels, of_pictures) in enumerate(zip(share, pictures, strict=True)):
        text = f"{_percent(of_pixels)}, in {_percent(of_pictures)} of labels" if of_pixels else "never"
        x, colour = max(of_pixels, _LEAST) * 1.25, _SOFT if of_pixels else _NEVER
        text += " (of all pixels)" if row == void and of_pixels else ""
        axis.text(x, row, text, va="center", fontsize=7.5, color=colour)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9, color="#888888", labelcolor=_INK)
    axis.grid(True, axis="x", color="#dddddd", lw=0.7)
    axis.set_axisbelow(True)
    axis.set_xlabel("share of the pixels that have a class; void: of all", fontsize=9, color=_INK)


def _percent(share: float) -> str:
    """'39 %', '0.9 %', '0.0002 %'."""
    percent = 100 * share
    digits = f"{percent:.0f}" if percent >= 1 else np.format_float_positional(percent, 1, fractional=False, trim="-")
    return f"{digits} %"
