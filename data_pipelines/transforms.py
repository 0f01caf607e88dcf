"""Random paired operations on a picture and its label. Off by default, as in the paper."""

import dataclasses

import numpy as np

from data_pipelines.label_spaces import IGNORE_LABEL
from data_pipelines.loading import resize

# ImageNet's mean colour, RGB: about zero once the networks subtract their mean.
MEAN_COLOUR = np.array([123, 117, 104], np.uint8)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Which random operations are on.

    Attributes:
      mirror: flip left and right with probability 1/2.
      scale: zoom by a factor drawn uniformly from this range; (1.0, 1.0) is off.
    """

    mirror: bool = False
    scale: tuple[float, float] = (1.0, 1.0)

    @property
    def active(self) -> bool:
        return self.mirror or self.scale != (1.0, 1.0)


def augment(
    image: np.ndarray, label: np.ndarray | None, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Applies the augmentation to a picture and, the same way, to its label.

    Args:
      image: uint8 [H, W, 3].
      label: uint8 [H, W] train ids, or None.
      augmentation: what to do.
      rng: consumed in the same way whether there is a label or not.

    Returns:
      image and label of the same shapes.
    """
    if augmentation.mirror and rng.random() < 0.5:
        image, label = mirror(image), None if label is None else mirror(label)
    if augmentation.scale != (1.0, 1.0):
        factor, where = rng.uniform(*augmentation.scale), rng.random(2)
        image = zoom(image, factor, where, "bicubic", MEAN_COLOUR)
        label = None if label is None else zoom(label, factor, where, "nearest", IGNORE_LABEL)
    return image, label


def mirror(array: np.ndarray) -> np.ndarray:
    """Flips [H, W, ...] left to right."""
    return array[:, ::-1]


def zoom(array: np.ndarray, factor: float, where: np.ndarray, resample: str, fill) -> np.ndarray:
    """Resizes by a factor, then crops or pads back to the old size.

    Args:
      array: uint8 [H, W] or [H, W, 3].
      factor: > 0; above 1 a window of the enlarged array is cut out, below 1 the rest is filled.
      where: two numbers in [0, 1), the place (vertical, horizontal) of the window or of the shrunken array.
      resample: 'nearest', 'bilinear' or 'bicubic'.
      fill: value or colour of the padding.

    Returns:
      uint8 of the shape of `array`.
    """
    height, width = array.shape[:2]
    zoomed = resize(array, (max(1, round(factor * width)), max(1, round(factor * height))), resample)
    target = np.empty_like(array)
    target[...] = fill
    rows = _overlap(zoomed.shape[0], height, where[0])
    columns = _overlap(zoomed.shape[1], width, where[1])
    target[rows[1], columns[1]] = zoomed[rows[0], columns[0]]
    return target


def _overlap(have: int, want: int, where: float) -> tuple[slice, slice]:
    """Slices that lay an axis of length `have` on one of length `want`, at a place `where` in [0, 1)."""
    offset, length = int(where * (abs(have - want) + 1)), min(have, want)
    moved, whole = slice(offset, offset + length), slice(0, length)
    return (moved, whole) if have > want else (whole, moved)
