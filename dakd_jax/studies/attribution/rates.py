"""From counts to shares, each with the pixels it is a share of. Definitions: docs/attribution.md."""

from typing import NamedTuple

import numpy as np

from dakd_jax.studies.attribution import NetworkCounts
from dakd_jax.studies.attribution.counting import AS_TEACHER, OTHERWISE, RIGHT

WRONG = [AS_TEACHER, OTHERWISE]

# The confusions that the paper's supplement discusses, [label, prediction].
PAPER_PAIRS = (
    ("train", "bus"),
    ("truck", "bus"),
    ("truck", "car"),
    ("bus", "car"),
    ("wall", "fence"),
)


class Share(NamedTuple):
    """`part` of `whole`, integers or int64 arrays of one shape."""

    part: np.ndarray
    whole: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """float64, 0 to 1; NaN where the whole is 0."""
        part, whole = np.asarray(self.part, np.float64), np.asarray(self.whole)
        return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)

    def total(self) -> "Share":
        """Over all classes."""
        return Share(np.sum(self.part), np.sum(self.whole))


def agreement(counts: NetworkCounts) -> dict[str, Share]:
    """Per class of the label [C]: how often a network says what the teacher says.

    'all' pixels; those where the 'teacher_right'; those where the 'teacher_wrong' (the very same mistake).
    """
    pixels = counts.outcomes.sum(axis=1)  # [C, teacher right, kind]
    wrong, right = pixels[:, 0], pixels[:, 1]
    found = {
        "teacher_right": Share(right[:, RIGHT], right.sum(axis=1)),
        "teacher_wrong": Share(wrong[:, AS_TEACHER], wrong.sum(axis=1)),
    }
    parts, wholes = zip(*found.values(), strict=True)
    return {"all": Share(sum(parts), sum(wholes))} | found


def transfer(counts: NetworkCounts) -> dict[str, Share]:
    """Per class of the label [C]: what changed from the reference student to a network.

    repaired: right, of the pixels that the reference had wrong and the teacher right.
    repaired_alone: right, of those that both had wrong.
    inherited: the teacher's very mistake, of the pixels that the reference had right and the teacher wrong.
    broken: wrong, of all that the reference had right; what was inherited is in it.
    """
    wrong_before, right_before = counts.outcomes[:, 0], counts.outcomes[:, 1]  # [C, teacher right, kind]
    return {
        "repaired": Share(wrong_before[:, 1, RIGHT], wrong_before[:, 1].sum(axis=1)),
        "repaired_alone": Share(wrong_before[:, 0, RIGHT], wrong_before[:, 0].sum(axis=1)),
        "inherited": Share(right_before[:, 0, AS_TEACHER], right_before[:, 0].sum(axis=1)),
        "broken": Share(right_before[:, :, WRONG].sum(axis=(1, 2)), right_before.sum(axis=(1, 2))),
    }


def flow(counts: NetworkCounts) -> dict[str, Share]:
    """Per class of the label [C], as shares of all its labelled pixels: repaired, repaired_alone, inherited, and
    broken_otherwise; the first two minus the last two is the change of the class's accuracy."""
    found, pixels = transfer(counts), counts.outcomes.sum(axis=(1, 2, 3))
    parts = {name: found[name].part for name in ("repaired", "repaired_alone", "inherited")}
    parts["broken_otherwise"] = found["broken"].part - found["inherited"].part
    return {name: Share(part, pixels) for name, part in parts.items()}


class Confusion(NamedTuple):
    """One directed pair: pixels of class `label` that were taken for class `prediction`; both are indices."""

    label: int
    prediction: int
    share: Share


def confusion_of(counts: NetworkCounts, label: int, prediction: int) -> Confusion:
    """How often one class was taken for another, as a share of its labelled pixels."""
    return Confusion(label, prediction, Share(counts.confusion[label, prediction], counts.confusion[label].sum()))


def most_confused(counts: NetworkCounts, most: int) -> list[Confusion]:
    """The pairs with the largest shares of their label's pixels, the largest first; fewer where there are no more."""
    pairs = [confusion_of(counts, *pair) for pair in np.argwhere(counts.confusion) if pair[0] != pair[1]]
    return sorted(pairs, key=lambda c: (-float(c.share.value), c.label, c.prediction))[:most]


def precision(quasi: np.ndarray) -> Share:
    """How often the quasi labels are right, [C, 10] by the teacher's class and confidence, of NetworkCounts.quasi."""
    return _share_of_second(quasi.sum(axis=3))


def quasi_agreement(quasi: np.ndarray) -> Share:
    """How often a network says what the quasi label says, [C, 10] as `precision`."""
    return _share_of_second(quasi.sum(axis=2))


def precision_where_disagreeing(quasi: np.ndarray) -> Share:
    """How often the quasi label is right where a network says something else, [C, 10] as `precision`."""
    return _share_of_second(quasi[..., 0])


def _share_of_second(cells: np.ndarray) -> Share:
    return Share(cells[..., 1], cells.sum(axis=-1))


def calibration_error(quasi: np.ndarray, confidence: np.ndarray) -> float:
    """Mean distance of confidence and precision over bins, weighed by their pixels (expected calibration error)."""
    found = precision(quasi)
    right, pixels = found.part.sum(axis=0), found.whole.sum(axis=0)
    total = pixels.sum()
    return float(np.abs(right - confidence.sum(axis=0)).sum() / total) if total else float("nan")


def pixel_recall(counts: NetworkCounts) -> Share:
    """Right pixels of the labelled ones, [C, 4] by class and size of the object they belong to."""
    return Share(counts.object_pixels[..., 1], counts.object_pixels[..., 0])


def object_recall(counts: NetworkCounts) -> Share:
    """Found objects (at least half of the pixels right) of all, [C, 4] by class and size."""
    return Share(counts.objects[..., 1], counts.objects[..., 0])
