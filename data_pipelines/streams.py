"""Shuffled, endless sequences of augmented examples: what training batches are made of."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from data_pipelines import transforms
from data_pipelines.example_order import ExampleOrder
from data_pipelines.loading import LoadedExample
from data_pipelines.reading import Reader


@dataclasses.dataclass(frozen=True)
class Stream:
    """The augmented examples of a split, one for each position >= 0.

    Attributes:
      reader: where examples come from.
      order: position to index and random numbers; an ExampleOrder or what has its methods.
      augmentation: the random operations.
      cache: keeps what was read, for all streams of a run.
      number: tells the streams of a cache apart.
    """

    reader: Reader
    order: ExampleOrder
    augmentation: transforms.Augmentation
    cache: "PictureCache"
    number: int

    def load(self, position: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Picture uint8 [H, W, 3] and label uint8 [H, W] (None for an unlabelled stream) at a position."""
        index = self.order.index(position)
        # Records lie in the page cache of the system already.
        loaded = self.reader.load(index) if self.reader.records else self._cached(index)
        if not self.augmentation.active:
            return loaded.image, loaded.label
        rng = self.order.augmentation_rng(position)
        return transforms.augment(loaded.image, loaded.label, self.augmentation, rng)

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
