"""On-disk layouts: where a dataset keeps its pictures and labels. One file per layout, one row each here."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import base, bdd100k, cityscapes, flat_folder, gta5
from data_pipelines.datasets.base import OnDisk, restrict_to_list
from data_pipelines.reading.examples import Example, Split

__all__ = ["LAYOUTS", "Example", "Layout", "Split", "list_examples", "restrict_split"]


class Layout(NamedTuple):
    """How to list a layout.

    Attributes:
      splits: names of its splits.
      on_disk: (root, split) to all that is there, complete or not.
      official_counts: pictures of each split as released; empty for a layout that nobody released.
      screen: examples to those that can be used and notes on the others; runs after the list file.
      has_labels: whether there can be labels.
      has_folders: whether on_disk takes `recursive`, for pictures in the folders below.
      licence: of the released data, in a line; None where it is unknown.
    """

    splits: tuple[str, ...]
    on_disk: Callable[..., OnDisk]
    official_counts: Mapping[str, int]
    screen: Callable[[list[Example]], tuple[list[Example], list[str]]] | None = None
    has_labels: bool = True
    has_folders: bool = False
    licence: str | None = None

    def look(self, root: Path, split: str, recursive: bool = False) -> OnDisk:
        """What on_disk finds; `recursive` counts where the layout has such folders."""
        more = {"recursive": True} if recursive and self.has_folders else {}
        return self.on_disk(root, split, **more)


LAYOUTS = {
    "cityscapes": Layout(cityscapes.SPLITS, cityscapes.on_disk, cityscapes.OFFICIAL_COUNTS, licence=cityscapes.LICENCE),
    "gta5": Layout(gta5.SPLITS, gta5.on_disk, gta5.OFFICIAL_COUNTS, gta5.leave_out_mismatched, licence=gta5.LICENCE),
    "bdd100k": Layout(bdd100k.SPLITS, bdd100k.on_disk, bdd100k.OFFICIAL_COUNTS, licence=bdd100k.LICENCE),
    "flat_folder": Layout(flat_folder.SPLITS, flat_folder.on_disk, {}, has_labels=False, has_folders=True),
}


def list_examples(
    dataset: str,
    root: str | Path,
    split: str,
    *,
    list_file: str | Path = "",
    labelled: bool = True,
    recursive: bool = False,
) -> Split:
    """Lists the pictures of one split; opens no picture beyond its header.

    Args:
      dataset: a key of LAYOUTS.
      root: folder of the dataset.
      split: 'train', 'val' or 'test', as far as the layout has it.
      list_file: text file that names the pictures to keep; '' keeps all.
      labelled: whether every picture must have a label; if not, labels on disk are passed over.
      recursive: whether a flat folder's pictures lie in the folders below it too.

    Raises:
      DataError: unknown dataset or split, missing folder or label, wrong list file, several files of one picture, or
        no pictures at all.
    """
    if dataset not in LAYOUTS:
        raise DataError(f"unknown dataset {dataset!r}; known are {', '.join(sorted(LAYOUTS))}")
    layout = LAYOUTS[dataset]
    if split not in layout.splits:
        raise DataError(f"{dataset} has no split {split!r}; it has {', '.join(layout.splits)}")
    root = Path(root).expanduser()
    on_disk = layout.look(root, split, recursive)
    examples, passed_over = base.examples_of(dataset, on_disk, labelled), on_disk.passed_over()
    detail = [on_disk.detail or ("labelled" if labelled else "unlabelled") * layout.has_labels]
    if list_file and examples:
        examples = restrict_to_list(dataset, examples, list_file)
        detail.append(f"restricted by {Path(list_file).name}")
    examples, notes = layout.screen(examples) if layout.screen else (examples, [])
    if not examples:
        why = notes[0] if notes else _nothing(on_disk, root, split, passed_over)
        raise DataError(f"{dataset}: the split is empty ({why}); check the folder and the list file")
    if passed_over:
        there = _say(on_disk, passed_over)
        notes = [*notes, f"{dataset}: left out, since it takes {on_disk.wanted}: {there}"]
    said = ", ".join(filter(None, detail))
    found = f"{dataset}: {len(examples)} {split} picture{'s' * (len(examples) != 1)}" + f" ({said})" * bool(said)
    return Split(dataset, split, root, tuple(examples), (found, *notes))


def _say(on_disk: OnDisk, passed_over: list[Path]) -> str:
    below = any(path.parent != on_disk.folder for path in passed_over)
    more = f"; {on_disk.more}" if on_disk.more and below else ""
    return base.say_passed_over(passed_over, on_disk.folder) + more


def _nothing(on_disk: OnDisk, root: Path, split: str, passed_over: list[Path]) -> str:
    """Of a split without pictures: what was looked for, and what lies there instead."""
    there = "nothing that looks like a picture"
    if passed_over:
        there = _say(on_disk, passed_over)
    return f"no usable pictures for split {split!r}: looked for {on_disk.wanted} in {root}, found {there}"


def restrict_split(split: Split, list_file: str | Path) -> Split:
    """The examples of a listed split that a list file names; all of them when it is ''. Raises DataError."""
    if not list_file:
        return split
    kept = tuple(restrict_to_list(split.dataset, list(split.examples), list_file))
    known = dict(zip(split.files, split.file_samples, strict=True))
    restricted = dataclasses.replace(split, examples=kept)
    return dataclasses.replace(restricted, samples=tuple(known[path] for path in restricted.files))
