"""The common look of the figures, and how one becomes a PNG. matplotlib's object interface: no display, no
global state. It is imported by what draws, when it draws: a run that is reused as a whole is spared it."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#222222"

# Okabe and Ito's colours, told apart with every common colour vision; references are grey or black.
_STAGE_COLOURS = {
    "source_only": "#9a9a9a",
    "student": "#0072b2",
    "student_continued": "#56b4e9",
    "teacher": "#1a1a1a",
    "case_a": "#e69f00",
    "case_b": "#009e73",
    "case_c": "#cc79a7",
    "case_d": "#d55e00",
    "target_supervised": "#6b5b95",
}
_OTHER_COLOUR = "#8d6e1f"


def stage_colour(name: str) -> str:
    """The colour of a network, the same in every figure."""
    return _STAGE_COLOURS.get(name, _OTHER_COLOUR)


def new_figure(width: float, height: float, *, rows: int = 1, columns: int = 1, dpi: int = 110):
    """A white figure of width x height inches and its axes, an array [rows, columns]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white", layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color("#888888")
        axis.tick_params(labelsize=9, color="#888888", labelcolor=INK)
        axis.grid(True, color="#dddddd", lw=0.7)
        axis.set_axisbelow(True)
    return figure, axes


def write_percentages(axis, values: np.ndarray, *, fontsize: float, smallest: float = 0) -> None:
    """Numbers on the cells [rows, columns] of a picture in the colour map "Blues" of 0 to 100; none on a NaN."""
    for (row, column), value in np.ndenumerate(values):
        if value >= smallest:
            colour = "white" if value > 55 else INK
            axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=fontsize, color=colour)


def score_dots(axis, rows: Sequence[tuple[str, str, Sequence[float], float]], size: float) -> None:
    """A line for each (name, colour, scores, mean), the first at the top: dots for the scores, a bar for the mean."""
    for place, (_, colour, scores, mean) in enumerate(rows):
        axis.scatter(scores, [place] * len(scores), color=colour, s=size, zorder=3)
        axis.plot([mean] * 2, [place - 0.3, place + 0.3], color=colour, lw=3)
    axis.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axis.invert_yaxis()


def legend_below(figure: "Figure", handles, labels, width: float = 1.1) -> None:
    """One legend under all axes, in as many columns as the width holds, of so many inches each."""
    columns = max(1, min(len(labels), int(figure.get_figwidth() / width)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def png_bytes(figure: "Figure", dpi: int | None = None) -> bytes:
    """The figure as a PNG file, at its own pixels per inch or at others; equal figures give equal bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi or "figure", metadata={"Software": None})
    return stream.getvalue()


def pdf_bytes(figure: "Figure") -> bytes:
    """The figure as a PDF file with embedded TrueType letters; equal figures give equal bytes."""
    from matplotlib import rc_context

    stream = io.BytesIO()
    with rc_context({"pdf.fonttype": 42}):  # printers of proceedings refuse Type 3
        figure.savefig(stream, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return stream.getvalue()
