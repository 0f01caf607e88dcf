"""The scores of cityscapesScripts: IoU of classes and categories, plain and weighted by instances.

In the instance-weighted IoU (Cordts et al., "The Cityscapes dataset", CVPR 2016) a pixel of an instance counts by the
mean size of its class's instances over its own instance's size; false positives, which belong to no instance, count
once. All numbers equal those of evalPixelLevelSemanticLabeling.py bit for bit, sums in its order.
"""

import dataclasses
import functools
import math
import operator
from collections.abc import Mapping, Sequence

import numpy as np

INSTANCES_OF_A_CLASS = 1000  # an instance's number is its class times this, plus a count


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """What the scores need to know of the classes.

    Attributes:
      class_names: C names.
      class_categories: of each class its category.
      mean_instance_sizes: pixels of a class's mean instance, by name of the classes that have instances.
    """

    class_names: tuple[str, ...]
    class_categories: tuple[str, ...]
    mean_instance_sizes: Mapping[str, float]

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The K categories, in the order of their first class."""
        return tuple(dict.fromkeys(self.class_categories))

    @functools.cached_property
    def members(self) -> np.ndarray:
        """bool [K, C]: which classes are in a category."""
        return np.array([[own == name for own in self.class_categories] for name in self.names])

    def counts(self) -> "InstanceCounts":
        """Of no picture yet."""
        return InstanceCounts(np.zeros((2, len(self.class_names))), np.zeros((2, len(self.names))))


@dataclasses.dataclass(frozen=True, eq=False)
class InstanceCounts:
    """Weighted pixels of instances that were found and missed, summed over pictures.

    Attributes:
      classes: float64 [2, C]: found as their class, and not.
      categories: float64 [2, K]: found as a class of their category, and not.
    """

    classes: np.ndarray
    categories: np.ndarray

    def add(self, objects: "Objects", prediction: np.ndarray, groups: Groups) -> None:
        """Counts one picture, uint8 [H, W] of classes at native size."""
        votes = objects.votes(prediction, len(groups.class_names))
        for number, votes_of_one in zip(objects.numbers, votes, strict=True):
            own, size = int(number) // INSTANCES_OF_A_CLASS, int(votes_of_one.sum())
            weight = groups.mean_instance_sizes[groups.class_names[own]] / float(size)
            category = groups.names.index(groups.class_categories[own])
            found = int(votes_of_one[own]), int(votes_of_one[groups.members[category]].sum())
            for counts, place, right in zip((self.classes, self.categories), (own, category), found, strict=True):
                counts[0, place] += float(right) * weight
                counts[1, place] += float(size - right) * weight


class Objects:
    """The instances of one picture, found once for all predictions.

    Args:
      instances: int32 [H, W]: class * INSTANCES_OF_A_CLASS + count on an instance, -1 elsewhere.
    """

    def __init__(self, instances: np.ndarray):
        self._places = np.flatnonzero(instances >= 0)
        self.numbers, self._which = np.unique(instances.ravel()[self._places], return_inverse=True)

    def votes(self, prediction: np.ndarray, num_classes: int) -> np.ndarray:
        """int64 [instances, C]: how many pixels of each instance are predicted as each class."""
        cells = self._which * num_classes + prediction.ravel()[self._places]
        counts = np.bincount(cells, minlength=len(self.numbers) * num_classes)
        return counts.reshape(len(self.numbers), num_classes)


@dataclasses.dataclass(frozen=True, eq=False)
class CityscapesScores:
    """Fractions; NaN where there is nothing to score.

    Attributes:
      class_iou, class_iiou: float64 [C].
      category_iou, category_iiou: float64 [K].
    """

    class_iou: np.ndarray
    class_iiou: np.ndarray
    category_iou: np.ndarray
    category_iiou: np.ndarray

    @property
    def means(self) -> dict[str, float]:
        """Mean of each over what is not NaN; of the classes' IoU that is metrics.Scores.miou."""
        return {field.name: _mean(getattr(self, field.name)) for field in dataclasses.fields(self)}


def scores(confusion: np.ndarray, counts: InstanceCounts | None, groups: Groups) -> CityscapesScores:
    """All scores of an evaluation.

    Args:
      confusion: integer [C, C], indexed [label, prediction]; pixels of ignored classes are not in it.
      counts: of its instances; None where there are none: their scores are NaN.
    """
    confusion, members = np.asarray(confusion).astype(np.int64), groups.members.astype(np.int64)
    coarse = members @ confusion @ members.T
    wrong = confusion.sum(axis=0) - np.diag(confusion)
    coarse_wrong = coarse.sum(axis=0) - np.diag(coarse)
    class_iiou, category_iiou = np.full(len(confusion), np.nan), np.full(len(coarse), np.nan)
    if counts is not None:
        counted = np.array([name in groups.mean_instance_sizes for name in groups.class_names])
        class_iiou = np.where(counted, _iou(*counts.classes, wrong), np.nan)
        # A category where all its classes have instances.
        counted = np.array([counted[row].all() for row in groups.members])
        category_iiou = np.where(counted, _iou(*counts.categories, coarse_wrong), np.nan)
    return CityscapesScores(
        class_iou=_iou(np.diag(confusion), confusion.sum(axis=1) - np.diag(confusion), wrong),
        class_iiou=class_iiou,
        category_iou=_iou(np.diag(coarse), coarse.sum(axis=1) - np.diag(coarse), coarse_wrong),
        category_iiou=category_iiou,
    )


def _iou(right, missed, wrong) -> np.ndarray:
    whole = right + wrong + missed
    return np.divide(right, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean(values: Sequence[float]) -> float:
    """Added up one by one, as the reference does: numpy's sum, and Python's own of late, may differ in the last bit."""
    there = [float(value) for value in values if not math.isnan(value)]
    return functools.reduce(operator.add, there, 0.0) / len(there) if there else math.nan
