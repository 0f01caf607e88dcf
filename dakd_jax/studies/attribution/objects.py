"""Objects of a label map by size, and how much of them a network got right."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

# Upper bounds of an object's share of the picture; the last size has none. Of 2048 x 1024 pixels 210, 2,097, 20,972:
# squares of 14, 46 and 145 pixels.
SIZE_EDGES = (1e-4, 1e-3, 1e-2)
SIZES = ("tiny", "small", "medium", "large")

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


class LabelledObjects(NamedTuple):
    """N objects over a picture's P labelled pixels.

    Attributes:
      of_pixel: int64 [P], the object of each labelled pixel, row by row.
      classes, sizes, areas: int64 [N], class, index into SIZES, and pixels of each object.
    """

    of_pixel: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray
    areas: np.ndarray


def find_objects(label: np.ndarray, num_classes: int, instances: np.ndarray | None = None) -> LabelledObjects:
    """The objects of a label map: instances where they are known, else connected pixels of one class.

    Args:
      label: integer [H, W] of classes; what is not in 0..C-1 belongs to no object.
      instances: integer [H, W] or None; pixels of one class with one number > 0 are one object, wherever they are.
        Elsewhere, pixels of one class that touch at a side or corner are.
    """
    counted = (label >= 0) & (label < num_classes)
    number = np.zeros(label.shape, np.int64)
    classes: list[int] = []
    for c in np.unique(label[counted]):
        of_class = label == c
        known = of_class & (instances > 0) if instances is not None else np.zeros_like(of_class)
        ids, index = np.unique(instances[known] if instances is not None else [], return_inverse=True)
        number[known] = len(classes) + index
        classes += [int(c)] * len(ids)
        parts, found = ndimage.label(of_class & ~known, _EIGHT_NEIGHBOURS)
        number[parts > 0] = len(classes) + parts[parts > 0] - 1
        classes += [int(c)] * found
    of_pixel = number[counted]
    areas = np.bincount(of_pixel, minlength=len(classes))
    return LabelledObjects(of_pixel, np.array(classes, np.int64), size_index(areas / max(label.size, 1)), areas)


def size_index(share: np.ndarray) -> np.ndarray:
    """Shares of the picture to indices into SIZES: a share that equals a bound is of the larger size."""
    return np.searchsorted(SIZE_EDGES, share, side="right")


def recall_counts(objects: LabelledObjects, right: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """How much of the objects is right.

    Args:
      right: bool [P], over the labelled pixels.

    Returns:
      pixels int64 [C, 4, 2], indexed [class, size]: labelled, and right; objects int64 [C, 4, 2]: all, and found,
      that is with at least half of their pixels right.
    """
    hits = np.bincount(objects.of_pixel[right], minlength=len(objects.areas))
    pixels = np.zeros((num_classes, len(SIZES), 2), np.int64)
    found = np.zeros_like(pixels)
    place = (objects.classes, objects.sizes)
    np.add.at(pixels, place, np.stack([objects.areas, hits], axis=-1))
    np.add.at(found, place, np.stack([np.ones_like(hits), 2 * hits >= objects.areas], axis=-1))
    return pixels, found
