"""Draws docs/rooms.png from the imports of today: python docs/draw_rooms.py

A bar is a room, the two halves side by side, the roof at the top. A lane starts in a room and has an arrow into each
room that it imports. The file says itself what it was drawn from (the text chunk 'Rooms', JSON of rooms.picture());
tests/architecture_test.py compares that with the imports.
"""

import io
import json
import pathlib
import sys
import textwrap

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
import rooms  # noqa: E402

FILE, CHUNK = HERE / "rooms.png", "Rooms"
WORDS, LANE, BAR, FLOOR = 232, 17, 58, 68  # px at the width of a README: text, lane, heights of a bar and of a floor
MARGIN, GAP, LETTERS, LINES = 8, 18, 41, 3
COLOURS = matplotlib.colormaps["tab10"].colors


def draw(path: pathlib.Path) -> None:
    """Writes the picture."""
    shown = rooms.picture()
    lanes = max(len(rows) for rows in shown.values()) - 1  # the lowest room has none
    width, height = WORDS + LANE * lanes + 14, max(len(rows) for rows in shown.values()) * FLOOR + 26
    total = len(shown) * width + GAP + 2 * MARGIN
    figure = Figure(figsize=(total / 100, (height + MARGIN) / 100), dpi=180)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, total), ylim=(-MARGIN, height))
    axes.axis("off")
    for number, (half, rows) in enumerate(shown.items()):
        left = MARGIN + number * (width + GAP)
        axes.text(left, height - 18, half, fontsize=11, weight="bold", color="0.35")
        _half(axes, rows, left, width)
    drawn, facts = io.BytesIO(), PngInfo()
    figure.savefig(drawn, format="png")
    facts.add_text(CHUNK, json.dumps(shown))
    Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, pnginfo=facts, optimize=True)


def _half(axes, rows, left: float, width: float) -> None:
    """Bars from the lowest room, at 0, up; then the lanes."""
    heights = {room: (len(rows) - 1 - number) * FLOOR for number, (room, _, _) in enumerate(rows)}
    for room, words, _ in rows:
        bar = FancyBboxPatch(
            (left, heights[room]), width, BAR, boxstyle="round,pad=0,rounding_size=6", facecolor="0.95", edgecolor="0.6"
        )
        axes.add_patch(bar)
        axes.text(left + 10, heights[room] + BAR - 9, room, fontsize=8.5, weight="bold", va="center")
        lines = textwrap.shorten(words.replace("`", ""), LINES * LETTERS - 8, placeholder=" ...")
        text = "\n".join(textwrap.wrap(lines, LETTERS))
        axes.text(left + 10, heights[room] + BAR - 17, text, fontsize=7, va="top", color="0.2", linespacing=1.15)
    for number, (room, _, below) in enumerate(rows):
        x = left + WORDS + LANE * (number + 0.5)
        _lane(axes, x, heights[room], [heights[name] for name in below], COLOURS[number % len(COLOURS)])


def _lane(axes, x: float, top: float, ends: list[float], colour) -> None:
    """From the middle of a bar down, with an arrow into each of `ends`."""
    if not ends:
        return
    start = top + BAR / 2
    axes.plot([x, x], [start, min(ends) + BAR / 2], color=colour, linewidth=1.3, zorder=3)
    axes.plot([x], [start], marker="o", markersize=5, color=colour, zorder=4)
    for end in ends:
        axes.plot([x], [end + BAR / 2 + 3], marker="v", markersize=7, color=colour, zorder=4)


if __name__ == "__main__":
    draw(FILE)
