"""On-disk layouts: where a dataset keeps its pictures and labels. One file per layout, one row each here."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from data_pipelines.datasets import bdd100k, cityscapes, flat_folder, gta5
from data_pipelines.datasets.base import restrict_to_list
from data_pipelines.errors import DataError
from data_pipelines.examples import Example, Split

__all__ = ["LAYOUTS", "Example", "Layout", "Split", "list_examples"]


class Layout(NamedTuple):
    """How to list a layout.

    Attributes:
      splits: names of its splits.
      find: (root, split, labelled) to the examples and a detail for the note.
      screen: examples to those that can be used and notes on the others; runs after the list file.
    """

    splits: tuple[str, ...]
    find: Callable[[Path, str, bool], tuple[list[Example], str]]
    screen: Callable[[list[Example]], tuple[list[Example], list[str]]] | None = None


LAYOUTS = {
    "cityscapes": Layout(cityscapes.SPLITS, cityscapes.find),
    "gta5": Layout(gta5.SPLITS, gta5.find, gta5.leave_out_mismatched),
    "bdd100k": Layout(bdd100k.SPLITS, bdd100k.find),
    "flat_folder": Layout(flat_folder.SPLITS, flat_folder.find),
}


def list_examples(
    dataset: str, root: str | Path, split: str, *, list_file: str | Path = "", labelled: bool = True
) -> Split:
    """Lists the pictures of one split; opens no picture beyond its header.

    Args:
      dataset: a key of LAYOUTS.
      root: folder of the dataset.
      split: 'train', 'val' or 'test', as far as the layout has it.
      list_file: text file that names the pictures to keep; '' keeps all.
      labelled: whether every picture must have a label; if not, labels on disk are passed over.

    Raises:
      DataError: unknown dataset or split, missing folder or label, wrong list file, or no pictures at all.
    """
    if dataset not in LAYOUTS:
        raise DataError(f"unknown dataset {dataset!r}; known are {', '.join(sorted(LAYOUTS))}")
    layout = LAYOUTS[dataset]
    if split not in layout.splits:
        raise DataError(f"{dataset} has no split {split!r}; it has {', '.join(layout.splits)}")
    root = Path(root).expanduser()
    examples, detail = layout.find(root, split, labelled)
    if list_file and examples:
        examples = restrict_to_list(dataset, examples, list_file)
        detail = ", ".join(filter(None, [detail, f"restricted by {Path(list_file).name}"]))
    examples, notes = layout.screen(examples) if layout.screen else (examples, [])
    if not examples:
        why = notes[0] if notes else f"no usable pictures for split {split!r} in {root}"
        raise DataError(f"{dataset}: the split is empty ({why}); check the folder and the list file")
    found = f"{dataset}: {len(examples)} {split} picture{'s' * (len(examples) != 1)}" + f" ({detail})" * bool(detail)
    return Split(dataset, split, root, tuple(examples), (found, *notes))
