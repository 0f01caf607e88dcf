"""All files of a split, complete or not. The readers of `datasets` stop at the first gap; here it is noted."""

import dataclasses
from pathlib import Path

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import AccessError, DataError
from data_pipelines.datasets import LAYOUTS
from data_pipelines.datasets.base import OnDisk
from data_pipelines.reading.examples import Example, Split

# The splits that training reads. A test split is looked at where there is one; its labels are kept back or blank.
NEEDED = ("train", "val")


@dataclasses.dataclass(frozen=True)
class Inventory:
    """The files of a split.

    Attributes:
      dataset, split, root: as of a Split.
      examples: one for each picture; its label is None where there is none.
      missing: label files that should be there.
      strays: kind of label file to such files without a picture.
      gaps: kind of label file that nothing reads to the pictures that lack theirs.
      repeated: picture files that stand for the picture of another one.
      passed_over: files that look like pictures, lie where pictures are looked for, and are none of the split's.
      wanted: what is looked for there, for people.
      labels: whether labels are there ('yes'), are missing ('no'), or are not to be expected ('never').
      nowhere: whether no other split has labels either.
    """

    dataset: str
    split: str
    root: Path
    examples: tuple[Example, ...]
    missing: tuple[Path, ...] = ()
    strays: dict[str, list[Path]] = dataclasses.field(default_factory=dict)
    gaps: dict[str, list[Path]] = dataclasses.field(default_factory=dict)
    repeated: tuple[Path, ...] = ()
    passed_over: tuple[Path, ...] = ()
    wanted: str = ""
    labels: str = "yes"
    nowhere: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the data set's label space."""
        return LAYOUTS[self.dataset].label_space.class_names

    @property
    def may_lack_labels(self) -> bool:
        """Whether it is of use without labels: as the target of adaptation, or where nothing is to be scored."""
        return LAYOUTS[self.dataset].may_lack_labels and (self.split == "train" or self.nowhere)


def of_source(dataset: str, root: Path, recursive: bool = False) -> dict[str, Inventory | None]:
    """{split: its inventory}; None for a split that training reads and that is missing.

    Args:
      recursive: as of datasets.list_examples.

    Raises:
      DataError: no split at all, or a folder that cannot be looked into.
    """
    found: dict[str, Inventory | None] = {}
    problems = []
    for split in LAYOUTS[dataset].splits:
        try:
            found[split] = of_split_on_disk(dataset, root, split, recursive)
        except AccessError:  # nobody knows what is there
            raise
        except DataError as error:
            problems.append(error)
            if split in NEEDED:
                found[split] = None
    if not any(found.values()):
        raise problems[0]
    nowhere = not any(one and one.labels == "yes" for one in found.values())
    return {split: one and dataclasses.replace(one, nowhere=nowhere) for split, one in found.items()}


def of_split_on_disk(dataset: str, root: Path, split: str, recursive: bool = False) -> Inventory:
    """Lists every file of a split. Raises a DataError when its folder is missing."""
    on_disk = LAYOUTS[dataset].look(root, split, recursive)
    around = {
        "repeated": tuple(image for images in on_disk.repeated() for image in images),
        "passed_over": tuple(LAYOUTS[dataset].passed_over(root, split, on_disk, recursive)),
        "wanted": on_disk.wanted,
    }
    names = [on_disk.name(image) for image in on_disk.images]
    if on_disk.label is None or split not in NEEDED:
        examples = tuple(Example(name, image) for name, image in zip(names, on_disk.images, strict=True))
        return Inventory(dataset, split, root, examples, labels="never", **around)
    examples, missing = [], []
    for name, image in zip(names, on_disk.images, strict=True):
        label, encoding = on_disk.label(image)
        there = data_files.is_file(label)
        if not there:
            missing.append(label)
        examples.append(Example(name, image, label if there else None, encoding))
    strays, gaps = _strays_and_gaps(on_disk, examples)
    return Inventory(
        dataset,
        split,
        root,
        tuple(examples),
        missing=tuple(missing),
        strays=strays,
        gaps=gaps,
        labels="yes" if len(missing) < len(examples) else "no",
        **around,
    )


def of_split(split: Split) -> Inventory:
    """The same of a split that a run has opened: all its pairs are there."""
    labels = "yes" if split.labelled else "never"
    return Inventory(split.dataset, split.split, split.root, split.examples, labels=labels)


def _strays_and_gaps(on_disk: OnDisk, examples: list[Example]) -> tuple[dict, dict]:
    names = {example.name for example in examples}
    read = {example.label for example in examples}
    strays, gaps = {}, {}
    for files in on_disk.label_files:
        there = files.by_name()
        if lost := [path for name, path in there.items() if name not in names]:
            strays[files.kind] = lost
        lacking = [e.image for e in examples if e.name not in there]
        # Of a kind that is read, what is missing is listed as such; one that is not there at all was not unpacked.
        if lacking and there and not read & set(there.values()):
            gaps[files.kind] = lacking
    return strays, gaps
