"""Random paired operations on a picture and its label. Off by default, as in the paper."""

import dataclasses

import numpy as np

from data_pipelines.augmentation import photometric
from data_pipelines.reading.label_spaces import IGNORE_LABEL
from data_pipelines.reading.loading import resize

# ImageNet's mean colour, RGB: about zero once the networks subtract their mean.
MEAN_COLOUR = np.array([123, 117, 104], np.uint8)
NO_SIZE = (0, 0)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Which random operations are on.

    Attributes:
      mirror: flip left and right with probability 1/2.
      scale: zoom by a factor drawn uniformly from this range; (1.0, 1.0) is off.
      crop: (width, height) of a window cut out at a random place after the zoom; (0, 0) keeps the picture's size.
      colour_jitter: strengths of brightness, contrast, saturation and hue, see photometric.colour_jitter.
      blur: range that the Gaussian's sigma is drawn from, in pixels; (0.0, 0.0) is off.
    """

    mirror: bool = False
    scale: tuple[float, float] = (1.0, 1.0)
    crop: tuple[int, int] = NO_SIZE
    colour_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    blur: tuple[float, float] = (0.0, 0.0)

    @property
    def active(self) -> bool:
        return self != Augmentation()

    @property
    def geometric(self) -> "Augmentation":
        """Without what is done to colours and sharpness."""
        return dataclasses.replace(self, colour_jitter=(0.0, 0.0, 0.0, 0.0), blur=(0.0, 0.0))

    def at(self, size: tuple[int, int], of: tuple[int, int]) -> "Augmentation":
        """The same for pictures of a (width, height), where this one is for pictures `of` another: windows and blur."""
        if tuple(size) == tuple(of):
            return self
        across, down = (new / old for new, old in zip(size, of, strict=True))
        crop = (max(1, round(self.crop[0] * across)), max(1, round(self.crop[1] * down)))
        blur = tuple(sigma * (across * down) ** 0.5 for sigma in self.blur)
        return dataclasses.replace(self, crop=crop if self.crop != NO_SIZE else NO_SIZE, blur=blur)


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
      image and label, of the crop's size if there is one, else of the same size as before.
    """
    if mirrors(augmentation, rng):
        image, label = mirror(image), None if label is None else mirror(label)
    if augmentation.scale != (1.0, 1.0) or augmentation.crop != NO_SIZE:
        factor, where = rng.uniform(*augmentation.scale), rng.random(2)
        size = augmentation.crop if augmentation.crop != NO_SIZE else (image.shape[1], image.shape[0])
        image = zoom(image, factor, where, size, "bicubic", MEAN_COLOUR)
        label = None if label is None else zoom(label, factor, where, size, "nearest", IGNORE_LABEL)
    if any(augmentation.colour_jitter):
        image = photometric.colour_jitter(image, augmentation.colour_jitter, rng)
    if any(augmentation.blur):
        image = photometric.gaussian_blur(image, rng.uniform(*augmentation.blur))
    return image, label


def mirrors(augmentation: Augmentation, rng: np.random.Generator) -> bool:
    """Whether `augment` mirrors with these random numbers, of which it is the first to draw."""
    return augmentation.mirror and bool(rng.random() < 0.5)


def mirror(array: np.ndarray) -> np.ndarray:
    """Flips [H, W, ...] left to right."""
    return array[:, ::-1]


def zoom(array: np.ndarray, factor: float, where: np.ndarray, size: tuple[int, int], resample: str, fill) -> np.ndarray:
    """Resizes by a factor, then cuts out or pads to a size.

    Args:
      array: uint8 [H, W] or [H, W, 3].
      factor: > 0.
      where: two numbers in [0, 1), the place (vertical, horizontal) of the window in the resized array where
        that is larger, or of the resized array in the result where it is smaller.
      size: (width, height) of the result.
      resample: 'nearest', 'bilinear' or 'bicubic'.
      fill: value or colour of the padding.

    Returns:
      uint8 [height, width] or [height, width, 3].
    """
    height, width = array.shape[:2]
    zoomed = resize(array, (max(1, round(factor * width)), max(1, round(factor * height))), resample)
    result = np.empty((size[1], size[0], *array.shape[2:]), array.dtype)
    result[...] = fill
    rows = _overlap(zoomed.shape[0], size[1], where[0])
    columns = _overlap(zoomed.shape[1], size[0], where[1])
    result[rows[1], columns[1]] = zoomed[rows[0], columns[0]]
    return result


def _overlap(have: int, want: int, where: float) -> tuple[slice, slice]:
    """Slices that lay an axis of length `have` on one of length `want`, at a place `where` in [0, 1)."""
    offset, length = int(where * (abs(have - want) + 1)), min(have, want)
    moved, whole = slice(offset, offset + length), slice(0, length)
    return (moved, whole) if have > want else (whole, moved)
