"""The parameters of a toy city."""

from dataclasses import dataclass
from numbers import Integral

from data_pipelines.basics.errors import DataError

MIN_SIZE = (32, 16)


@dataclass(frozen=True)
class ToyCity:
    """A seeded city: equal fields give equal bytes on disk.

    size: (width, height) of the pictures in pixels.
    num_train, num_val: pictures of each look; the GTA5 layout, which has no splits, gets the training
    pictures only.

    Raises:
        DataError: a size below 32x16, or no pictures in a split.
    """

    seed: int = 0
    size: tuple[int, int] = (256, 128)
    num_train: int = 240
    num_val: int = 60

    def __post_init__(self):
        size = tuple(self.size)
        whole = len(size) == 2 and all(isinstance(side, Integral) for side in size)
        if not whole or size[0] < MIN_SIZE[0] or size[1] < MIN_SIZE[1]:
            raise DataError(f"toy city: size {self.size} must be (width, height) of at least {MIN_SIZE} pixels")
        if self.num_train < 1 or self.num_val < 1:
            raise DataError(f"toy city: num_train={self.num_train}, num_val={self.num_val}: each must be at least 1")
        object.__setattr__(self, "size", tuple(map(int, size)))
