"""Figures of chosen pictures as a paper prints them, and the numbers behind them."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from dakd_jax.studies.kit import error_maps
from dakd_jax.studies.kit.picture_grid import PRINT, GridRow, class_rows, draw, palette_handles
from dakd_jax.studies.kit.style import INK, new_figure
from dakd_jax.studies.kit.text_table import TextTable, csv_text, exact, number
from dakd_jax.studies.pictures import Comparison, Shown

# As the supplement's figures call the networks, in two lines at most.
NAMES = {
    "case_a": "(a) Source\ndistillation",
    "case_b": "(b) Target\ndistillation",
    "case_c": "(c) Source +\ntarget",
    "case_d": "(d) Target,\ninit. from (c)",
    "teacher": "Teacher",
    "student": "Student",
    "student_continued": "Student,\ntrained on",
}
TITLES = {
    "most_improved": "Most improved",
    "least_improved": "Least improved",
    "random": "At random",
    "chosen": "Chosen by name",
}
_NAME_WIDTH = 13  # letters


def _name(found: Comparison, network: str) -> str:
    return NAMES.get(network) or "\n".join(textwrap.wrap(found.titles[network], _NAME_WIDTH)[:2])


def _fit(array: np.ndarray, label: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """A picture or map as large as the label's shape allows in a cell of (width, height) pixels.

    Maps keep their classes: each pixel is one of them.
    """
    height, width = label.shape
    scale = min(cell[0] / width, cell[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.LANCZOS if array.ndim == 3 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(array).resize(size, how))


def fitted(pictures: Sequence[Shown]) -> tuple[list[Shown], float]:
    """Pictures at the pixels that they are drawn in, beside each other in one figure; and their height to width."""
    ratio = max(picture.label.shape[0] / picture.label.shape[1] for picture in pictures)
    width = PRINT.picture_width(len(pictures))
    cell = width, round(width * ratio)
    return [
        Shown(
            p.name,
            _fit(p.image, p.label, cell),
            _fit(p.label, p.label, cell),
            {network: _fit(m, p.label, cell) for network, m in p.predictions.items()},
        )
        for p in pictures
    ], ratio


def method_grid(found: Comparison, pictures: Sequence[Shown]) -> Figure:
    """Pictures as columns; as rows image, ground truth, (a) to (d), teacher and undistilled student.

    Over each picture: its own mIoU in per cent, of the undistilled student and of the case.
    """
    pictures, ratio = fitted(pictures)
    maps = _maps(found, pictures, found.networks)
    handles = palette_handles(found.class_names, found.palette, [m for _, of_all in maps for m in of_all])
    rows = [_images(pictures), *class_rows(maps, found.palette)]
    return draw(rows, _titles(found, pictures), handles, PRINT, ratio=ratio)


def error_map_grid(found: Comparison, pictures: Sequence[Shown]) -> Figure:
    """Pictures as columns; as rows image, ground truth, undistilled student, then each case's error map beside it."""
    pictures, ratio = fitted(pictures)
    truth_and_reference = _maps(found, pictures, [found.reference])
    rows = [_images(pictures), *class_rows(truth_and_reference, found.palette)]
    all_maps: list[np.ndarray] = []
    for case in found.cases:
        maps = [
            error_maps.error_map(p.label, p.predictions[found.reference], p.predictions[case], len(found.class_names))
            for p in pictures
        ]
        all_maps += maps
        rows.append(GridRow(_name(found, case), maps))
    shown = [m for _, of_all in truth_and_reference for m in of_all]
    classes = palette_handles(found.class_names, found.palette, shown, void="")
    handles = [handle for handle in classes if handle.get_label()]  # black is told by the error maps' own legend
    handles += [
        Patch(facecolor=np.array(kind.rgb) / 255, edgecolor="#888888", lw=0.6, label=kind.name)
        for kind in error_maps.LEGEND
        if any((m == kind.rgb).all(axis=-1).any() for m in all_maps)
    ]
    return draw(rows, _titles(found, pictures), handles, PRINT, ratio=ratio)


def _images(pictures: Sequence[Shown]) -> GridRow:
    return GridRow("Image", [p.image for p in pictures], photographs=True)


def _maps(found: Comparison, pictures: Sequence[Shown], networks: Sequence[str]) -> list[tuple[str, list[np.ndarray]]]:
    """(name of the row, maps of classes): the labels, and what networks predict."""
    of_networks = [(_name(found, network), [p.predictions[network] for p in pictures]) for network in networks]
    return [("Ground truth", [p.label for p in pictures]), *of_networks]


def _titles(found: Comparison, pictures: Sequence[Shown]) -> list[str]:
    return [f"{before} \N{RIGHTWARDS ARROW} {after}" for before, after in (_mious(found, p.name) for p in pictures)]


def _mious(found: Comparison, name: str) -> tuple[str, str]:
    """A picture's own mIoU in per cent of the reference and of the case, as texts."""
    before, after = (100 * found.scores.miou(network, [name])[0] for network in (found.reference, found.case))
    return number(before, 1), number(after, 1)


def _labelled_changes(found: Comparison) -> np.ndarray:
    """The change of each picture that has a label, in points."""
    changes = 100 * found.changes()
    return changes[~np.isnan(changes)]


def changes_figure(found: Comparison) -> Figure | None:
    """The change of every picture, the largest first; None where no picture has a label."""
    changes = np.sort(_labelled_changes(found))[::-1]
    if not len(changes):
        return None
    figure, axes = new_figure(9, 2.2)
    axis = axes[0, 0]
    repaired, broken = (np.array(colour.rgb) / 255 for colour in (error_maps.REPAIRED, error_maps.BROKEN))
    axis.bar(np.arange(1, len(changes) + 1), changes, 1.0, color=[repaired if x > 0 else broken for x in changes])
    axis.axhline(0, color=INK, lw=0.8)
    axis.grid(False, axis="x")
    axis.set(xlim=(0.5, len(changes) + 0.5), xlabel="pictures, the most improved first", ylabel="change (points)")
    return figure


def pictures_table(found: Comparison, selection: str) -> TextTable:
    """The pictures of one selection with their own scores."""
    by_name = dict(zip(found.scores.names, 100 * found.changes(), strict=True))
    rows = []
    for name in found.selections[selection]:
        rows.append((name, *_mious(found, name), number(by_name[name], 1, signed=True)))
    headers = ("picture", found.titles[found.reference], found.titles[found.case], "change")
    return TextTable(TITLES[selection], headers, rows, "Per cent: mIoU of a picture's own pixels and classes.")


def verdict(found: Comparison) -> str:
    """How many pictures the case improved, in a sentence."""
    changes = _labelled_changes(found)
    title, better, worse = found.titles[found.case], int((changes > 0).sum()), int((changes < 0).sum())
    if not len(changes):
        return f"{title}: no picture of target val has a label."
    mean = number(float(changes.mean()), 1, signed=True)
    return (
        f"{title} improves {better} of {len(changes)} pictures over the undistilled student and makes {worse} worse; "
        f"on average {mean} points of a picture's own mIoU."
    )


def scores_csv(found: Comparison) -> str:
    """One line per picture: own mIoU of every network and the change, in per cent, and the figures that show it."""
    networks = tuple(found.scores.confusions)
    columns = [100 * found.scores.miou(network) for network in networks] + [100 * found.changes()]
    lines = [["picture", *(f"miou_{network}" for network in networks), "change", "figures"]]
    for index, name in enumerate(found.scores.names):
        numbers = [exact(column[index]) for column in columns]
        lines.append([name, *numbers, " ".join(s for s, names in found.selections.items() if name in names)])
    return csv_text(lines)
