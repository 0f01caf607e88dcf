"""Examples of a split at a size: from prepared records where they hold them, else from the files."""

import dataclasses
import functools

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import DataError
from data_pipelines.reading import loading
from data_pipelines.reading.examples import Split, place
from data_pipelines.reading.loading import LoadedExample
from data_pipelines.reading.prepared_records import RecordSet


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads the examples of a split; both ways give the same pixels. Of a joined split each part is read by itself.

    Attributes:
      split: what is read.
      image_size: (width, height) of the pictures.
      label_size: (width, height) of the labels; None keeps their native size.
      resample: 'bicubic' or 'bilinear', for the pictures.
      labelled: whether labels are read.
    """

    split: Split
    image_size: tuple[int, int]
    label_size: tuple[int, int] | None
    resample: str = "bicubic"
    labelled: bool = True

    @functools.cached_property
    def parts(self) -> tuple["Reader", ...]:
        """Readers of the parts of a joined split, () of any other."""
        return tuple(dataclasses.replace(self, split=part) for part in self.split.parts)

    @functools.cached_property
    def records(self) -> RecordSet | None:
        """The prepared set that is read, None for the files; of a joined split see its parts."""
        for records in self.split.records:
            if records.fits(self.image_size, self.label_size, self.resample, labelled=self.labelled):
                return records
        return None

    def _of(self, index: int) -> tuple["Reader", int]:
        """The reader of the part that an example is in, and its index there."""
        if not self.parts:
            return self, index
        number, own = place(self.split.parts, index)
        return self.parts[number], own

    def from_records(self, index: int) -> bool:
        """Whether an example is read from a prepared set."""
        return self._of(index)[0].records is not None

    def load(self, index: int) -> LoadedExample:
        """The example at an index; UnreadableFile when its file or record is broken, DataError of a wrong label."""
        reader, own = self._of(index)
        split, example = reader.split, reader.split.examples[own]
        if reader.records:
            loaded = reader.records.load(example.name, labelled=self.labelled)
        else:
            how = self.image_size, self.label_size, self.resample, self.labelled, split.bit_depth
            loaded = loading.load_example(example, *how)
        split.count_unknown(example, loaded.unknown_pixels)
        return loaded

    def native_label_size(self, index: int) -> tuple[int, int]:
        """(width, height) of a label on disk, from a header."""
        reader, own = self._of(index)
        example, records = reader.split.examples[own], reader.records
        return records.label_size(example.name) if records else loading.picture_size(example.label)

    def require(self) -> None:
        """Raises a DataError when neither the files are there nor records that hold just this."""
        for part in self.parts:
            part.require()
        if self.parts or self.records or data_files.is_folder(self.split.root):
            return
        there = ", ".join(records.folder.name for records in self.split.records) or "none"
        width, height = self.image_size
        raise DataError(
            f"{self.split.dataset}: no folder {self.split.root}, and its prepared records ({there}) do not hold "
            f"{self.split.split} at {width}x{height}, resized by {self.resample}; restore the folder, prepare with "
            f"--size={width}x{height}, or set data.source_size, target_size, teacher_size or eval.protocol to what is "
            "there"
        )

    def describe(self) -> str:
        """For people: what is read."""
        if self.parts:
            return "; ".join(f"of {part.split.dataset} {part.describe()}" for part in self.parts)
        records, (width, height) = self.records, self.image_size
        return f"prepared records {records.folder.name}" if records else f"files, resized to {width}x{height}"
