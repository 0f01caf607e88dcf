"""Counts of one picture's labelled pixels; pictures add up. Definitions: docs/attribution.md.

Only pixels whose label is one of the C classes count.
"""

import dataclasses

import numpy as np

from dakd_jax.studies.attribution import NetworkCounts
from dakd_jax.studies.attribution.objects import LabelledObjects, find_objects, recall_counts

BINS = 10  # of the teacher's confidence, equally wide over 0 to 1

# What a network makes of a pixel: the last index of NetworkCounts.outcomes.
KINDS = RIGHT, AS_TEACHER, OTHERWISE = range(3)  # right; wrong with the teacher's very class; wrong in another way


def confidence_bin(confidence: np.ndarray) -> np.ndarray:
    """Probabilities 0 to 1 to bins 0 to 9, each closed below: 0.1 is in bin 1, 1.0 in the last."""
    return np.clip((np.asarray(confidence, np.float64) * BINS).astype(np.int64), 0, BINS - 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """What all networks of one picture are compared with, over its P labelled pixels.

    Attributes:
      counted: bool [H, W], the labelled pixels.
      label, teacher, reference: int64 [P] of classes.
      bins: int64 [P], confidence_bin of the teacher.
      objects: the picture's objects.
    """

    counted: np.ndarray
    label: np.ndarray
    teacher: np.ndarray
    reference: np.ndarray
    bins: np.ndarray
    objects: LabelledObjects


def truth(label, teacher, confidence, reference, num_classes: int, instances=None) -> Truth:
    """Prepares one picture.

    Args:
      label: integer [H, W] of classes; what is not in 0..C-1 does not count.
      teacher, reference: integer [H, W], predictions of teacher and reference student.
      confidence: float [H, W], the teacher's probability of its class.
      instances: integer [H, W] or None, see objects.find_objects.
    """
    counted = (label >= 0) & (label < num_classes)
    return Truth(
        counted=counted,
        label=label[counted].astype(np.int64),
        teacher=teacher[counted].astype(np.int64),
        reference=reference[counted].astype(np.int64),
        bins=confidence_bin(confidence[counted]),
        objects=find_objects(label, num_classes, instances),
    )


def count(picture: Truth, prediction: np.ndarray, num_classes: int) -> NetworkCounts:
    """Counts of one network on one picture; `prediction`: integer [H, W] of classes."""
    said, n = prediction[picture.counted].astype(np.int64), num_classes
    right, teacher_right = said == picture.label, picture.teacher == picture.label
    kind = np.where(right, RIGHT, np.where(said == picture.teacher, AS_TEACHER, OTHERWISE))
    before = picture.reference == picture.label
    object_pixels, objects = recall_counts(picture.objects, right, num_classes)
    return NetworkCounts(
        confusion=_histogram((n, n), picture.label, said),
        outcomes=_histogram((n, 2, 2, len(KINDS)), picture.label, before, teacher_right, kind),
        quasi=quasi_counts(picture, prediction, num_classes),
        object_pixels=object_pixels,
        objects=objects,
    )


def quasi_counts(picture: Truth, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """int64 [C, 10, 2, 2], see NetworkCounts.quasi; `prediction`: integer [H, W]."""
    right, same = picture.teacher == picture.label, prediction[picture.counted] == picture.teacher
    return _histogram((num_classes, BINS, 2, 2), picture.teacher, picture.bins, right, same)


def confidence_sums(picture: Truth, confidence: np.ndarray, num_classes: int) -> np.ndarray:
    """float64 [C, 10]: the confidence summed over the labelled pixels of each class of the teacher and bin."""
    cells = picture.teacher * BINS + picture.bins
    sums = np.bincount(cells, weights=confidence[picture.counted], minlength=num_classes * BINS)
    return sums.reshape(num_classes, BINS)


def _histogram(shape: tuple[int, ...], *indices: np.ndarray) -> np.ndarray:
    """int64 of `shape`: how often each combination of indices (integers or bools [P]) occurs."""
    cells = np.zeros(len(indices[0]), np.int64)
    for size, index in zip(shape, indices, strict=True):
        cells = cells * size + index
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape).astype(np.int64)
