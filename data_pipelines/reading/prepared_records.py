"""Prepared records: the decoded, resized pictures of one split in ArrayRecord files, read at random at disk speed.

A set is a folder NAME = DATASET-SPLIT-WxH that appears only when it is whole: `set.json` describes it,
`class_counts.npy` holds the classes' pixels at native size, shard-*.array_record the pictures. A record is a header
of six little-endian uint32 (height and width of the picture, height and width of its label or 0 0, pixels outside the
label table, 0), the picture uint8 [H, W, 3] RGB and the label uint8 [H, W] of train ids.
"""

import dataclasses
import hashlib
import io
import json
import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import DataError, UnreadableFile
from data_pipelines.reading import label_spaces
from data_pipelines.reading.examples import Example, Split
from data_pipelines.reading.loading import LoadedExample

FORMAT = 1
DESCRIPTION, CLASS_COUNTS = "set.json", "class_counts.npy"
DEFAULT = Path("runs") / "prepared"  # of all datasets; never in a dataset's own folder, which others may share
RESAMPLE = "bicubic"  # of the pictures, as folders are read
_HEADER = struct.Struct("<6I")
# For random access: nothing is read ahead, and big records pass by the small buffer.
_READER_OPTIONS, _READER_BUFFER = "readahead_buffer_size:0,max_parallelism:0", 65_536


def default_place(source: Path) -> Path:
    """The default folder of the prepared sets of a dataset's folder, below the current folder."""
    return DEFAULT / place_name(source)


def place_name(source: Path) -> str:
    """Name of the folder of a dataset's sets: that of the dataset's folder, with a hash of its path to be unique."""
    real = os.path.realpath(source)
    return f"{os.path.basename(real)}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}"


def pack(loaded: LoadedExample) -> bytes:
    """One record."""
    label = loaded.label if loaded.label is not None else np.empty((0, 0), np.uint8)
    header = _HEADER.pack(*loaded.image.shape[:2], *label.shape, loaded.unknown_pixels, 0)
    return b"".join((header, loaded.image.tobytes(), label.tobytes()))


def unpack(record: bytes) -> LoadedExample:
    """The arrays of a record; they are read-only views of it."""
    height, width, label_height, label_width, unknown_pixels, _ = _HEADER.unpack_from(record)
    size, label = height * width * 3, None
    image = np.frombuffer(record, np.uint8, size, _HEADER.size).reshape(height, width, 3)
    if label_height:
        label = np.frombuffer(record, np.uint8, label_height * label_width, _HEADER.size + size)
        label = label.reshape(label_height, label_width)
    return LoadedExample(image, label, unknown_pixels)


@dataclasses.dataclass(frozen=True)
class Description:
    """What `set.json` says.

    Attributes:
      dataset, split: as in examples.Split.
      image_size: (width, height) of all pictures.
      native_labels: whether labels have their native size, for evaluation, or that of the pictures.
      labelled: whether there are labels.
      names: of the examples, in order.
      files: names of pictures (and labels, in turn), relative to the dataset's folder.
      samples: of these files, see fingerprint.sample_files.
      label_sizes: (width, height) of every label, () without labels.
      shards: number of examples in each.
      notes: of the reader that listed the files.
      source: sha256 in hex of the plugin that the data set came with, '' for one of this project.
    """

    dataset: str
    split: str
    image_size: tuple[int, int]
    native_labels: bool
    labelled: bool
    names: tuple[str, ...]
    files: tuple[str, ...]
    samples: tuple[str, ...]
    label_sizes: tuple[tuple[int, int], ...]
    shards: tuple[int, ...]
    notes: tuple[str, ...] = ()
    source: str = ""

    def to_json(self) -> str:
        content = dataclasses.asdict(self)
        if not self.source:  # as earlier versions wrote and read it
            del content["source"]
        return json.dumps({"format": FORMAT, **content}, indent=1)

    @classmethod
    def read(cls, folder: Path) -> "Description":
        """Raises a DataError when the file is missing, damaged or of another format."""
        path = folder / DESCRIPTION
        with data_files.reading(path, restore=f"delete {folder}, prepare anew"):
            text = path.read_bytes()
        try:
            content = json.loads(text)
            if content.pop("format") != FORMAT:
                raise ValueError(f"not of format {FORMAT}")
            content["label_sizes"] = tuple(map(tuple, content["label_sizes"]))
            content |= {k: tuple(v) for k, v in content.items() if isinstance(v, list)}
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: no description of prepared records ({error}); delete {folder}, prepare anew"
            ) from None


def folder_name(dataset: str, split: str, image_size: tuple[int, int]) -> str:
    """Name of the folder of a set."""
    return f"{dataset}-{split}-{image_size[0]}x{image_size[1]}"


def shard_name(number: int, count: int) -> str:
    """Name of the file of a shard."""
    return f"shard-{number:05d}-of-{count:05d}.array_record"


class RecordSet:
    """A prepared set, opened for reading from any number of threads.

    Args:
      folder: of the set.

    Raises:
      DataError: not a whole set.
    """

    def __init__(self, folder: Path):
        self.folder, self.description = Path(folder), Description.read(Path(folder))
        self._starts = np.cumsum([0, *self.description.shards])
        self._row = {name: row for row, name in enumerate(self.description.names)}
        self._readers: dict[int, Any] = {}

    def fits(
        self, image_size: tuple[int, int], label_size: tuple[int, int] | None, resample: str, *, labelled: bool
    ) -> bool:
        """Whether it holds the pixels that reading the files would give; `label_size` None: labels at native size."""
        here = self.description
        if tuple(image_size) != here.image_size or resample != RESAMPLE:
            return False
        kept_label_size = None if here.native_labels else here.image_size
        return not labelled or (here.labelled and (label_size and tuple(label_size)) == kept_label_size)

    def holds(self, split: Split) -> bool:
        """Whether every example of a split is here, made from the very same files and read by the same plugin."""
        if split.source != self.description.source:
            return False
        known = dict(zip(self.description.files, self.description.samples, strict=True))
        names = [data_files.below(path, split.root) for path in split.files]
        if any(example.name not in self._row for example in split.examples) or not set(names) <= known.keys():
            return False
        return all(known[name] == sample for name, sample in zip(names, split.file_samples, strict=True))

    def load(self, name: str, *, labelled: bool = True) -> LoadedExample:
        """The example of this name: image uint8 [H, W, 3], label uint8 [H, W] or None, read-only.

        Args:
          labelled: False passes over the label.

        Raises:
          UnreadableFile: the file is missing or damaged.
          DataError: a label that holds other values than train ids and 255.
        """
        row = self._row[name]
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        try:
            loaded = unpack(self._reader(shard).read([row - int(self._starts[shard])])[0])
        except (RuntimeError, IndexError, ValueError, struct.error) as error:
            self._readers.pop(shard, None)  # it would fail for ever, though the file came back
            raise self._unreadable(shard, error) from None
        if not labelled:
            return LoadedExample(loaded.image, None, 0)
        if loaded.label is not None and (wrong := label_spaces.no_train_ids(loaded.label)):
            raise DataError(
                f"{self._path(shard)}: the label of {name} holds {', '.join(map(str, wrong[:8]))}, expected train ids "
                f"0..{label_spaces.NUM_CLASSES - 1} and {label_spaces.IGNORE_LABEL}; {self._anew}"
            )
        return loaded

    def _unreadable(self, shard: int, error: Exception) -> DataError:
        """The DataError for an exception of the shard's reader, an AccessError where permission is missing."""
        path = self._path(shard)
        try:
            with data_files.reading(path, UnreadableFile, self._anew), open(path, "rb"):
                return UnreadableFile(f"{path}: damaged ({_one_line(error)}); {self._anew}")
        except DataError as refused:
            return refused

    @property
    def _anew(self) -> str:
        return f"delete {self.folder} and prepare anew"

    def label_size(self, name: str) -> tuple[int, int]:
        """(width, height) of the label of this name."""
        return self.description.label_sizes[self._row[name]]

    def class_counts(self, names: Sequence[str]) -> np.ndarray:
        """int64 [len(names), 20]: pixels at native size of the 19 train ids and of 255."""
        path = self.folder / CLASS_COUNTS
        with data_files.reading(path, restore=self._anew):
            content = path.read_bytes()
        try:
            return np.load(io.BytesIO(content))[[self._row[name] for name in names]]
        except (ValueError, EOFError, IndexError) as error:
            raise DataError(f"{path}: damaged ({_one_line(error)}); {self._anew}") from None

    def as_split(self, root: Path, *, labelled: bool) -> Split:
        """The split that this was made from, for a machine that has only the records.

        Raises:
          DataError: labels are wanted and there are none.
        """
        description = self.description
        if labelled and not description.labelled:
            raise DataError(f"{self.folder}: these records hold no labels; prepare anew from a labelled dataset")
        step = 2 if description.labelled else 1
        paths = [root / name for name in description.files]
        labels = paths[1::2] if labelled else [None] * len(description.names)
        examples = [Example(*e) for e in zip(description.names, paths[::step], labels, strict=True)]
        samples = description.samples if labelled else description.samples[::step]
        found = f"{len(examples)} {description.split} pictures ({'' if labelled else 'un'}labelled)"
        notes = (f"{description.dataset}: {found}, of prepared records alone: there is no folder",)
        which = description.dataset, description.split, root
        return Split(*which, tuple(examples), notes, samples=samples, source=description.source)

    def _reader(self, shard: int) -> Any:
        from array_record.python.array_record_module import ArrayRecordReader  # only where records are read

        if (reader := self._readers.get(shard)) is None:
            path = str(self._path(shard))
            reader = ArrayRecordReader(path, _READER_OPTIONS, file_reader_buffer_size=_READER_BUFFER)
            self._readers[shard] = reader
        return reader

    def _path(self, shard: int) -> Path:
        return self.folder / shard_name(shard, len(self.description.shards))


def find(folder: Path, dataset: str, split: str) -> list[RecordSet]:
    """All sets of a split in a folder of sets, of any size; a broken one raises a DataError."""
    whole = re.compile(rf"{dataset}-{split}-\d+x\d+")  # not what is growing or being replaced
    there = sorted(data_files.listing(folder)) if data_files.is_folder(folder) else []
    named = [path for path in there if whole.fullmatch(path.name)]
    return [RecordSet(path) for path in named if data_files.is_file(path / DESCRIPTION)]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def attach(split: Split, sets: Sequence[RecordSet]) -> Split:
    """The split with those of the sets that hold it; a note names those that were made from other files."""
    sets = [records for records in sets if records.description.labelled or not split.labelled]
    held = [records for records in sets if records.holds(split)]
    stale = ", ".join(records.folder.name for records in sets if records not in held)
    what = "other files, or of another plugin" if split.source else "other files"
    notes = [f"{split.dataset}: prepared records {stale} are of {what}; prepare them anew"] * bool(stale)
    return dataclasses.replace(split, records=tuple(held), notes=(*split.notes, *notes))
