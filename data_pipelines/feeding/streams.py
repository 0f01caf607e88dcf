"""Shuffled, endless sequences of augmented examples: what training batches are made of."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.augmentation import transforms
from data_pipelines.augmentation.example_order import ExampleOrder
from data_pipelines.basics.errors import DataError, UnreadableFile
from data_pipelines.reading.loading import LoadedExample
from data_pipelines.reading.reading import Reader
from data_pipelines.reading.unreadable import Unreadable

# From a position whose example cannot be read to that of its replacement: beyond the end of any training.
FAR = 2**40


class Drawn(NamedTuple):
    """What a stream holds at a position.

    Attributes:
      image: uint8 [H, W, 3].
      label: uint8 [H, W], None for an unlabelled stream.
      index: of the example in its split: of the replacement where one had to be found.
      mirrored: whether it is the mirror image.
    """

    image: np.ndarray
    label: np.ndarray | None
    index: int
    mirrored: bool

    @property
    def pair(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Picture and label."""
        return self.image, self.label


@dataclasses.dataclass(frozen=True)
class Stream:
    """The augmented examples of a split, one for each position >= 0.

    Attributes:
      reader: where examples come from.
      order: position to index and random numbers; an ExampleOrder or what has its methods.
      augmentation: the random operations.
      cache: keeps what was read, for all streams of a run.
      number: tells the streams of a cache apart.
      unreadable: counts the examples that could not be read.
    """

    reader: Reader
    order: ExampleOrder
    augmentation: transforms.Augmentation
    cache: "PictureCache"
    number: int
    unreadable: Unreadable

    def seen_otherwise(self, size: tuple[int, int], clean: bool, number: int) -> "Stream":
        """The same pictures with the same augmentation at a (width, height), without that of colours where `clean`.

        `number` is added to this one's.
        """
        reader = dataclasses.replace(self.reader, image_size=size, label_size=size)
        augmentation = self.augmentation.at(size, self.reader.image_size)
        if clean:
            augmentation = augmentation.geometric
        return dataclasses.replace(self, reader=reader, augmentation=augmentation, number=self.number + number)

    def load(self, position: int) -> Drawn:
        """The example at a position.

        Where the example of the position cannot be read, there is another one of the split, with the augmentation of
        the position: that of position + FAR, or of those after it, in the split's order, the first that can be read.

        Raises:
          DataError: a wrong label, more examples that cannot be read than data.max_unreadable, or none that can.
        """
        index, loaded = self._first_readable(position)
        if not self.augmentation.active:
            return Drawn(loaded.image, loaded.label, index, False)
        mirrored = transforms.mirrors(self.augmentation, self.order.augmentation_rng(position))
        rng = self.order.augmentation_rng(position)
        return Drawn(*transforms.augment(loaded.image, loaded.label, self.augmentation, rng), index, mirrored)

    def _first_readable(self, position: int) -> tuple[int, LoadedExample]:
        reader = self.reader
        for index in self._candidates(position):
            try:
                # Records lie in the page cache of the system already.
                return index, reader.load(index) if reader.from_records(index) else self._cached(index)
            except UnreadableFile as error:
                split = reader.split
                self.unreadable.leave_out(f"{split.dataset}/{split.split}/{split.examples[index].name}", error)
                last = error
        raise DataError(f"{last}; none of the {len(reader.split)} pictures of this split can be read")

    def _candidates(self, position: int) -> Iterator[int]:
        """The index of a position, then every other one, in the order in which they would replace it."""
        index, count = self.order.index(position), len(self.reader.split)
        yield index
        start = self.order.index(position + FAR)
        yield from (other % count for other in range(start, start + count) if other % count != index)

    def _cached(self, index: int) -> LoadedExample:
        return self.cache.get((self.number, index), lambda: self.reader.load(index))


class PictureCache:
    """Keeps decoded, resized examples up to a number of bytes; what does not fit is made anew each time."""

    def __init__(self, limit_bytes: int):
        self._kept: dict[Any, LoadedExample] = {}
        self._free_bytes = limit_bytes
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], LoadedExample]) -> LoadedExample:
        """The example under the key; make() is called, outside the lock, when it is not kept."""
        if (found := self._kept.get(key)) is not None:
            return found
        made = make()
        num_bytes = made.image.nbytes + (made.label.nbytes if made.label is not None else 0)
        with self._lock:
            if key not in self._kept and num_bytes <= self._free_bytes:
                self._kept[key] = made
                self._free_bytes -= num_bytes
        return made
