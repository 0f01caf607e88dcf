"""Pictures in columns under their titles: a row for each kind of picture, and a legend of colours below."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dakd_jax.basics.palette import colourise
from dakd_jax.studies.kit.style import INK, new_figure


@dataclasses.dataclass(frozen=True)
class Look:
    """Measures of a grid: lengths in inches, letters in points.

    Attributes:
      across: of all columns together, up to `fitting` of them; more make the figure wider.
      largest: width of one picture at most.
      left: margin for the names of the rows, which are written upwards or (`level`) from left to right.
      line: a line of the legend; `entry`: width of one of its names.
      name, title, legend: sizes of letters.
      dpi: pixels per inch.
    """

    across: float
    fitting: int
    largest: float
    left: float
    top: float
    gap: float
    line: float
    entry: float
    name: float
    title: float
    legend: float
    dpi: int
    level: bool = False

    def picture_width(self, columns: int) -> int:
        """Pixels of a picture's width."""
        return int(min(self.largest, self.across / min(columns, self.fitting)) * self.dpi)


# Of a report's page, for a screen.
SCREEN = Look(
    across=11.2, fitting=64, largest=3.4, left=0.3, top=0.28, gap=0.06, line=0.2, entry=1.23,
    name=10, title=8, legend=9, dpi=110,
)  # fmt: skip
# Of a printed figure: at the width of one column (3.5 inches), half of this one, letters are of 6 to 7 points.
PRINT = Look(
    across=5.8, fitting=4, largest=2.9, left=1.24, top=0.27, gap=0.04, line=0.23, entry=1.4,
    name=12.5, title=12, legend=12, dpi=300, level=True,
)  # fmt: skip


class GridRow(NamedTuple):
    """One line of a grid: its name, and for every column a picture uint8 [H, W, 3] RGB, None for an empty place.

    `photographs` are smoothed when they are scaled; blended class colours would be other classes.
    """

    name: str
    pictures: Sequence[np.ndarray | None]
    photographs: bool = False


def class_rows(maps: Iterable[tuple[str, Sequence[np.ndarray | None]]], palette: np.ndarray) -> list[GridRow]:
    """Rows in the colours of the classes, of (name, integer [H, W] of classes of every column, None where it lacks)."""
    return [GridRow(name, [None if m is None else colourise(m, palette) for m in of_all]) for name, of_all in maps]


def draw(
    rows: Sequence[GridRow], titles: Sequence[str], handles: Sequence[Patch], look: Look, *, ratio: float
) -> Figure:
    """Draws a grid.

    Args:
      rows: pictures whose width in pixels is look.picture_width() are drawn pixel by pixel.
      titles: one for each column.
      handles: of the legend.
      ratio: height of a picture to its width.
    """
    columns, width = len(titles), look.picture_width(len(titles))
    height, gap, left, top = round(width * ratio), *(round(x * look.dpi) for x in (look.gap, look.left, look.top))
    across = left + (width + gap) * columns
    entries = max(1, int(across / look.dpi / look.entry))
    bottom = round((0.15 + look.line * math.ceil(len(handles) / entries)) * look.dpi)
    down = top + (height + gap) * len(rows) + bottom
    figure, axes = new_figure(across / look.dpi, down / look.dpi, rows=len(rows), columns=columns, dpi=look.dpi)
    figure.set_layout_engine("none")  # every place is known here, and the solver is slow on many axes
    for (row, column), axis in np.ndenumerate(axes):
        x, y = left + (width + gap) * column, down - top - (height + gap) * row - height
        axis.set_position((x / across, y / down, width / across, height / down))
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
        if (picture := rows[row].pictures[column]) is not None:
            axis.imshow(picture, interpolation=None if rows[row].photographs else "nearest")
    level = {"rotation": 0, "ha": "right", "va": "center", "labelpad": 5} if look.level else {}
    for axis, row in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(row.name, fontsize=look.name, color=INK, **level)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=look.title, color=INK)
    tight = {"handlelength": 1.2, "handletextpad": 0.5, "columnspacing": 1.0} if look.level else {}
    figure.legend(handles=handles, loc="lower center", ncols=entries, frameon=False, fontsize=look.legend, **tight)
    return figure


def palette_handles(
    class_names: Sequence[str], palette: np.ndarray, maps: Iterable[np.ndarray | None], void: str = "ignored"
) -> list[Patch]:
    """Colours of the classes that occur in these maps, and black for what is none under the name `void`."""
    there = [m for m in maps if m is not None]
    seen = set().union(*(np.flatnonzero(np.bincount(m.ravel(), minlength=1)).tolist() for m in there))
    handles = [
        Patch(facecolor=np.asarray(palette[index]) / 255, label=name)
        for index, name in enumerate(class_names)
        if index in seen
    ]
    if seen - set(range(len(class_names))):
        handles.append(Patch(facecolor="black", label=void))
    return handles
