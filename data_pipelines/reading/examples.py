"""The records that describe a dataset split: files and how to read them, no pixels."""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines.pictures import pixel_formats
from data_pipelines.reading import fingerprint, label_spaces


@dataclasses.dataclass(frozen=True)
class Example:
    """One picture, with its label where the split is labelled.

    Attributes:
      name: unique within the split; what reports and logs call the picture.
      image: file of the RGB picture.
      label: file of the label, None in an unlabelled split.
      encoding: how the label's pixel values are to be read.
    """

    name: str
    image: Path
    label: Path | None = None
    encoding: label_spaces.LabelEncoding = label_spaces.TRAIN_IDS

    @property
    def upright(self) -> bool:
        """Whether the picture is turned by its EXIF orientation; a label that is there fits the stored pixels."""
        return self.label is None


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of one split of one dataset.

    Attributes:
      dataset: name of the layout, a key of `datasets.LAYOUTS`; of joined ones their names, as 'gta5+my_city'.
      split: 'train', 'val' or 'test'.
      root: folder of the dataset.
      examples: in a fixed order that depends on the file names alone.
      notes: what was found, one line each.
      problem: why the split cannot be used, '' when it can; only splits that a run may do without have one.
      unknown_pixels: example name to number of pixels outside the label table, filled as labels are read.
      samples: samples of the files as file_samples gives them, where they are known without opening them.
      bit_depth: how many bits the values of wide pictures use, 0 refuses these; see wide_pixels.py.
      records: sets of prepared records that hold these very examples, see prepared_records.py.
      source: sha256 in hex of the plugin that the data set came with, '' for one of this project.
      parts: the splits that this one joins, see join; () for one of a single data set.
    """

    dataset: str
    split: str
    root: Path
    examples: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    unknown_pixels: dict[str, int] = dataclasses.field(default_factory=dict, compare=False)
    samples: tuple[str, ...] | None = dataclasses.field(default=None, compare=False)
    bit_depth: int = 0
    records: tuple[Any, ...] = dataclasses.field(default=(), compare=False)
    source: str = ""
    parts: tuple["Split", ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether the examples have labels."""
        return any(example.label is not None for example in self.examples)

    @property
    def files(self) -> list[Path]:
        """Every picture, followed by its label where the split is labelled."""
        return [path for e in self.examples for path in (e.image, e.label) if path is not None]

    @functools.cached_property
    def file_samples(self) -> Sequence[str]:
        """Of each of `files` its sample (fingerprint.sample_files), and after it how it is read (pixel_formats.mark).

        They are opened when that was not done before. Raises DataError.
        """
        if self.samples is not None:
            return self.samples
        if self.parts:
            return [sample for part in self.parts for sample in part.file_samples]
        labels = {example.label for example in self.examples}
        upright = {example.image for example in self.examples if example.upright}

        def mark(path: Path, start: bytes) -> str:
            kind = {"is_label": path in labels, "upright": path in upright}
            return pixel_formats.mark(path, start, **kind, bit_depth=self.bit_depth)

        return fingerprint.sample_files(self.files, mark)

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 in hex of the files' names, relative to the root, and samples. Raises DataError.

        Of a plugin's data set also of its name and its source, which say what the files mean; of joined data sets, of
        each part's.
        """
        if self.parts:
            return fingerprint.of_roles((part.dataset, part.fingerprint) for part in self.parts)
        files = fingerprint.of_files(self.root, self.files, self.file_samples)
        if not self.source:
            return files
        return fingerprint.of_roles([("dataset", self.dataset), ("plugin", self.source), ("files", files)])

    def subset(self, indices: Sequence[int]) -> "Split":
        """The split with some of its examples; `indices` rise."""
        if self.parts:
            own: list[list[int]] = [[] for _ in self.parts]
            for index in indices:
                number, of_part = place(self.parts, index)
                own[number].append(of_part)
            return join([part.subset(rows) for part, rows in zip(self.parts, own, strict=True) if rows])
        samples = self.samples
        if samples is not None:
            each = len(samples) // len(self)
            samples = tuple(sample for i in indices for sample in samples[i * each : (i + 1) * each])
        return dataclasses.replace(self, examples=tuple(self.examples[i] for i in indices), samples=samples)

    def __len__(self) -> int:
        return len(self.examples)

    def count_unknown(self, example: Example, pixels: int) -> None:
        """Notes that a label held pixels outside the table; the first one of the split is logged."""
        if not pixels:
            return
        if not self.unknown_pixels:
            logging.getLogger(__name__).warning(
                "%s: %d pixels of %s are outside the label table; such pixels become 255 and are counted",
                self.dataset,
                pixels,
                example.label,
            )
        self.unknown_pixels[example.name] = pixels


def join(parts: Sequence[Split]) -> Split:
    """One split of those of several data sets: their examples one after another, each called DATASET/NAME."""
    named = (dataclasses.replace(e, name=f"{part.dataset}/{e.name}") for part in parts for e in part.examples)
    return Split(
        "+".join(part.dataset for part in parts),
        parts[0].split,
        parts[0].root,
        tuple(named),
        tuple(note for part in parts for note in part.notes),
        bit_depth=parts[0].bit_depth,
        parts=tuple(parts),
    )


def place(parts: Sequence[Split], index: int) -> tuple[int, int]:
    """(number of the part, index in it) of an example of joined splits."""
    for number, part in enumerate(parts):
        if index < len(part):
            return number, index
        index -= len(part)
    raise IndexError(index)
