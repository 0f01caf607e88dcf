"""The published numbers, as data, each with how sure it is.

Source: arXiv 2011.08007 and Table 1 of its supplement: BDD100K -> Cityscapes val, DRN-D-22 student.
All values are per cent. The table's column "mAcc" is pixel accuracy.
"""

from typing import NamedTuple

CERTAIN = "certain"  # read from the supplement, and the class IoUs average to it
SECOND_HAND = "second-hand"  # quoted elsewhere, not seen in the paper itself


class PaperNumber(NamedTuple):
    """One published result: mIoU and pixel accuracy in per cent, None where unpublished."""

    miou: float
    pixel_accuracy: float | None
    certainty: str


class Ablation(NamedTuple):
    """Case (a) with some of its losses; a weight of None means that the loss is off."""

    lambda_kl: float | None
    lambda_mse: float | None
    lambda_ce: float | None
    number: PaperNumber


PAPER_NUMBERS: dict[tuple[str, str], PaperNumber] = {
    ("bdd", "student"): PaperNumber(38.3, None, SECOND_HAND),
    ("bdd", "case_a"): PaperNumber(42.33, 88.42, CERTAIN),
    ("bdd", "case_d"): PaperNumber(44.15, None, SECOND_HAND),
}

# The best weight of each loss alone, and all three together.
CASE_A_ABLATIONS: tuple[Ablation, ...] = (
    Ablation(0.4, None, None, PaperNumber(40.27, 87.15, CERTAIN)),
    Ablation(None, 0.01, None, PaperNumber(39.86, 87.17, CERTAIN)),
    Ablation(None, None, 1.0, PaperNumber(42.18, 88.28, CERTAIN)),
    Ablation(0.1, 0.01, 1.0, PAPER_NUMBERS["bdd", "case_a"]),
)


def for_benchmark(benchmark: str) -> dict[str, PaperNumber]:
    """Published numbers of one benchmark by stage name; empty where nothing is known."""
    return {stage: number for (name, stage), number in PAPER_NUMBERS.items() if name == benchmark}
