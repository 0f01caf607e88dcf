"""The published numbers, as data, each with how sure it is.

Source: arXiv 2011.08007 and Table 1 of its supplement: BDD100K -> Cityscapes val, DRN-D-22 student.
All values are per cent. The table's column "mAcc" is pixel accuracy.
"""

import csv
import functools
import pathlib
from typing import NamedTuple

CERTAIN = "certain"  # read from the supplement, and the class IoUs average to it
SECOND_HAND = "second-hand"  # quoted elsewhere, not seen in the paper itself
UNSURE = "unsure"  # the row is partly unreadable in the source: advisory only
LOSSES = ("kl", "mse", "ce")

_TABLE1 = pathlib.Path(__file__).with_name("paper_table1.csv")


class PaperNumber(NamedTuple):
    """One published result.

    Attributes:
      miou, pixel_accuracy: per cent, None where unpublished.
      certainty: CERTAIN, SECOND_HAND or UNSURE.
      iou: per cent of each of the 19 classes, in the order of their train ids; () where unpublished.
      unsure: names of the cells that were hard to read: 'miou', 'pixel_accuracy' or a class.
      note: why.
    """

    miou: float
    pixel_accuracy: float | None
    certainty: str
    iou: tuple[float, ...] = ()
    unsure: frozenset[str] = frozenset()
    note: str = ""


class Ablation(NamedTuple):
    """A row of Table 1: case (a) with some of its losses.

    Attributes:
      section: 'i' to 'vii'.
      weights: of LOSSES; None means that the loss is off.
    """

    section: str
    weights: tuple[float | None, float | None, float | None]
    number: PaperNumber


PAPER_NUMBERS: dict[tuple[str, str], PaperNumber] = {
    ("bdd", "student"): PaperNumber(38.3, None, SECOND_HAND),
    ("bdd", "case_a"): PaperNumber(42.33, 88.42, CERTAIN),
    ("bdd", "case_d"): PaperNumber(44.15, None, SECOND_HAND),
}


@functools.cache
def table1() -> tuple[Ablation, ...]:
    """The rows of Table 1 whose loss weights can be read, in its order.

    One row of section iv (mIoU 40.32) is not there: its weights are lost, and lost weights are not zeros.
    """
    with open(_TABLE1, newline="") as file:
        return tuple(map(_ablation, csv.DictReader(file)))


def _ablation(row: dict[str, str]) -> Ablation:
    columns = list(row)
    classes = columns[columns.index("pixel_accuracy") + 1 : columns.index("certainty")]
    number = PaperNumber(
        miou=float(row["miou"]),
        pixel_accuracy=float(row["pixel_accuracy"]),
        certainty=row["certainty"],
        iou=tuple(float(row[name]) for name in classes),
        unsure=frozenset(filter(None, row["unsure"].split(";"))),
        note=row["note"],
    )
    return Ablation(row["section"], tuple(float(row[loss]) if row[loss] else None for loss in LOSSES), number)


def for_benchmark(benchmark: str) -> dict[str, PaperNumber]:
    """Published numbers of one benchmark by stage name; empty where nothing is known."""
    return {stage: number for (name, stage), number in PAPER_NUMBERS.items() if name == benchmark}
