"""Data sets: where each keeps its pictures and labels. One file each, which registers itself (layouts.py)."""

from pathlib import Path

from data_pipelines.basics.data_files import matching
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import base
from data_pipelines.datasets.base import LabelFiles, OnDisk, pictures_in, require_folder, restrict_to_list
from data_pipelines.datasets.layouts import LAYOUTS, Instances, Layout, register
from data_pipelines.reading.examples import Example, Split

__all__ = [
    "LAYOUTS",
    "Example",
    "Instances",
    "LabelFiles",
    "Layout",
    "OnDisk",
    "Split",
    "list_examples",
    "matching",
    "pictures_in",
    "register",
    "require_folder",
    "restrict_split",
]


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
        raise DataError(
            f"unknown dataset {dataset!r}; known are {', '.join(sorted(LAYOUTS))}, or that of a plugin "
            "(docs/EXTENDING.md)"
        )
    layout = LAYOUTS[dataset]
    if split not in layout.splits:
        raise DataError(f"{dataset} has no split {split!r}; it has {', '.join(layout.splits)}")
    root = Path(root).expanduser()
    on_disk = layout.look(root, split, recursive)
    examples = base.examples_of(dataset, on_disk, labelled)
    passed_over = layout.passed_over(root, split, on_disk, recursive)
    _require_classes(dataset, layout, examples)
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
    return Split(dataset, split, root, tuple(examples), (found, *notes), source=LAYOUTS.source_hash(dataset))


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
    kept = {example.name for example in restrict_to_list(split.dataset, list(split.examples), list_file)}
    return split.subset([index for index, example in enumerate(split.examples) if example.name in kept])


def _require_classes(dataset: str, layout: Layout, examples: list[Example]) -> None:
    """Raises a DataError where a label would be read as a class that the label space does not have."""
    space = layout.label_space
    for encoding in {id(e.encoding): e.encoding for e in examples if e.label is not None}.values():
        if wrong := space.outside(encoding.to_train_id):
            raise DataError(
                f"{dataset}: its labels ({encoding.name}) are read as train ids {', '.join(map(str, wrong[:8]))}, but "
                f"its label space {space.name} has {len(space.class_names)} classes; mend the data set's file"
            )
