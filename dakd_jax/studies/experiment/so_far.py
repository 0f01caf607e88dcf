"""What there is to look at while an experiment is still running: each network's score and its predictions."""

import functools
import io
import itertools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.text import Text

from dakd_jax.basics import atomic_files
from dakd_jax.basics.palette import colourise
from dakd_jax.studies.experiment.results import one_line
from dakd_jax.studies.kit.result_types import short_name

FILE = "predictions_so_far.png"
_PICTURES = 3
_MOST_LINES = 16  # of a picture in a terminal; a line is two pixels high
_GAP = 2  # columns between two pictures there
_CELL, _MARGIN = 360, 110  # px: of a picture's width about, and for the names of the rows
_LEAST_WIDTH = 30  # of a terminal in which they are shown


class SoFar:
    """Shows the stages of a stages.Experiment as they become finished.

    Args:
      experiment: with an evaluator.
      folder: where FILE is kept up to date.
    """

    def __init__(self, experiment, folder: pathlib.Path):
        self._experiment, self._folder = experiment, folder
        self._maps: dict[str, dict[str, np.ndarray]] = {}

    @functools.cached_property
    def _references(self) -> list[tuple]:
        return self._experiment.evaluator.reference_pictures()[:_PICTURES]

    def add(self, name: str) -> None:
        """A stage that is finished and evaluated: a line, its predictions in a terminal, and the picture of all."""
        e, planned = self._experiment, self._experiment.plan[name]
        for earlier in itertools.takewhile(lambda one: one != name, e.plan):  # of an earlier command too
            if earlier not in self._maps and e.evaluator.done(e.plan[earlier]):
                self._maps[earlier] = e.evaluator.stored(e.plan[earlier])[1]
        confusion, self._maps[name] = e.evaluator.stored(planned)
        e.console.print(f"{planned.stage.title}: {one_line(confusion)}", highlight=False, soft_wrap=True)
        if not self._references:
            return
        if _shows_colours(e.console):
            picture, image, label = self._references[0]
            maps = [colourise(of, e.feed.palette) for of in (self._maps[name][picture], label)]
            e.console.print(f"The picture, {short_name(name)}, the truth:", highlight=False, soft_wrap=True)
            e.console.print(terminal_row([image, *maps], e.console))
        path = self._folder / FILE
        self._folder.mkdir(parents=True, exist_ok=True)
        atomic_files.write_bytes(path, self._drawn())
        e.console.print(f"{planned.stage.title}: predictions in {path}", highlight=False, soft_wrap=True)

    def _drawn(self) -> bytes:
        e, names = self._experiment, [name for name, _, _ in self._references]
        rows = {"image": [image for _, image, _ in self._references]}
        maps = {"truth": [label for _, _, label in self._references]}
        maps |= {short_name(stage): [self._maps[stage][n] for n in names] for stage in e.plan if stage in self._maps}
        rows |= {name: [colourise(one, e.feed.palette) for one in of_all] for name, of_all in maps.items()}
        return grid_png(rows)


def grid_png(rows: Mapping[str, Sequence[np.ndarray]]) -> bytes:
    """PNG of pictures uint8 [H, W, 3] in rows with their names; by Pillow, since it is drawn after every stage."""
    widest = max(picture.shape[1] for of_all in rows.values() for picture in of_all)
    factor = max(1, _CELL // widest)
    cells = {name: [_enlarged(picture, factor, widest) for picture in of_all] for name, of_all in rows.items()}
    heights = [max(cell.height for cell in of_all) for of_all in cells.values()]
    columns = max(map(len, cells.values()))
    size = (_MARGIN + columns * (factor * widest + _GAP), sum(heights) + _GAP * len(heights))
    sheet, top = Image.new("RGB", size, "white"), 0
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for (name, of_all), height in zip(cells.items(), heights, strict=True):
        pen.text((4, top + height // 2), name, fill="black", font=font, anchor="lm")
        for column, cell in enumerate(of_all):
            sheet.paste(cell, (_MARGIN + column * (factor * widest + _GAP), top))
        top += height + _GAP
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return file.getvalue()


def _enlarged(picture: np.ndarray, factor: int, width: int) -> Image.Image:
    """To a common width, times a whole factor; every pixel stays one colour."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return Image.fromarray(picture).resize((factor * width, factor * height), Image.Resampling.NEAREST)


def _shows_colours(console: Console) -> bool:
    room = console.width >= _LEAST_WIDTH
    return room and console.is_terminal and bool(console.color_system) and not console.options.ascii_only


def terminal_row(pictures: list[np.ndarray], console: Console) -> Text:
    """Pictures uint8 [H, W, 3] beside each other as coloured half blocks, as wide as the terminal lets them be."""
    width = (console.width - 1 - _GAP * (len(pictures) - 1)) // len(pictures)
    height = max(2, min(2 * _MOST_LINES, round(width * pictures[0].shape[0] / pictures[0].shape[1]) // 2 * 2))
    width = max(1, min(width, round(height * pictures[0].shape[1] / pictures[0].shape[0])))
    found = Text(no_wrap=True, overflow="crop")
    small = [_nearest(picture, height, width) for picture in pictures]
    for line in range(0, height, 2):
        for number, picture in enumerate(small):
            found.append(" " * _GAP * bool(number))
            for upper, lower in zip(picture[line], picture[line + 1], strict=True):
                found.append("▀", style="rgb({},{},{}) on rgb({},{},{})".format(*upper, *lower))
        found.append("\n")
    return found


def _nearest(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Every pixel the nearest one: blended colours of classes would be other classes."""
    rows = (np.arange(height) + 0.5) * picture.shape[0] / height
    columns = (np.arange(width) + 0.5) * picture.shape[1] / width
    return picture[rows.astype(int)[:, None], columns.astype(int)]
