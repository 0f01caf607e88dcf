"""What distillation did: to which pixels, classes, objects and confusions, and by which gradients.

Definitions: docs/attribution.md. Counting, rates, objects and error maps are pure numpy; gradients.py is jitted;
collection.py makes one pass over target val with all finished networks.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

TEACHER = "teacher"
SEGMENTATION = "segmentation"  # the term that the gradients of the others are compared with


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkCounts:
    """One network's labelled pixels, beside the teacher's and the reference student's; C classes, all int64.

    Attributes:
      confusion: [C, C], indexed [label, prediction].
      outcomes: [C, 2, 2, 3], indexed [label, reference right, teacher right, kind], see counting.KINDS.
      quasi: [C, 10, 2, 2], indexed [teacher's class, confidence bin, teacher right, network says the same].
      object_pixels: [C, 4, 2], indexed [class, size]; labelled pixels, and those of them that are right.
      objects: [C, 4, 2], indexed [class, size]; labelled objects, and those of them that were found.
    """

    confusion: np.ndarray
    outcomes: np.ndarray
    quasi: np.ndarray
    object_pixels: np.ndarray
    objects: np.ndarray

    def __add__(self, other: "NetworkCounts") -> "NetworkCounts":
        return NetworkCounts(*map(np.add, self.arrays(), other.arrays()))

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The counts in the order of the attributes."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """Gradients of one network's loss terms beside the source segmentation's, on T terms and N batches.

    Attributes:
      terms: their names, 'segmentation' first.
      cosine: float64 [T, N], -1 to 1, with the gradient of the source segmentation; NaN where one of the two is 0.
      norm: float64 [T, N], global norms of the weighted terms' gradients.
    """

    terms: tuple[str, ...]
    cosine: np.ndarray
    norm: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Attribution:
    """All that the attribution of one experiment shows.

    Attributes:
      class_names: C names.
      titles: network -> what people call it.
      reference: the undistilled student that cases are compared with, 'student' or 'student_continued'.
      cases: the distilled networks.
      pictures: how many were counted.
      networks: network -> counts; with 'teacher'.
      confidence: float64 [C, 10], sum of the teacher's confidence over the labelled pixels of `quasi`'s cells.
      over_training: network -> {step: counts as NetworkCounts.quasi} of the checkpoints that were kept.
      alignments: network -> Alignment.
      notes: what a reader must know, one sentence each.
    """

    class_names: tuple[str, ...]
    titles: Mapping[str, str]
    reference: str
    cases: tuple[str, ...]
    pictures: int
    networks: Mapping[str, NetworkCounts]
    confidence: np.ndarray
    over_training: Mapping[str, Mapping[int, np.ndarray]] = dataclasses.field(default_factory=dict)
    alignments: Mapping[str, Alignment] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
