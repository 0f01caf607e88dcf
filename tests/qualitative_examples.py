"""A small made-up comparison for the tests of the figures."""

import numpy as np

from dakd_jax.studies.pictures import Comparison, PictureScores, Shown

NAMES = ("road", "sky <b>", "car", "train")
PALETTE = np.array([[128, 64, 128], [70, 130, 180], [0, 0, 142], [0, 80, 100]], np.uint8)
PREDICTED = ("teacher", "student", "case_a", "case_d")
SHAPE = (10, 29)  # a figure of one picture draws each of these pixels as 30 x 30


def half_right(right):
    """A picture of 100 road and 100 car pixels, `right` of each: an own mIoU of right / (200 - right)."""
    confusion = np.zeros((4, 4), np.int64)
    confusion[0, 0] = confusion[2, 2] = right
    confusion[0, 2] = confusion[2, 0] = 100 - right
    return confusion


def scores(**rights):
    """Pictures a, b, c... of which each network has these pixels right; None: nothing is labelled."""
    (count,) = {len(of) for of in rights.values()}
    counted = {n: np.stack([half_right(r) if r else 0 * half_right(1) for r in of]) for n, of in rights.items()}
    return PictureScores(tuple("abcdefgh"[:count]), counted)


def comparison(**fields):
    """Of four pictures: the case improves a and d, breaks b, and nothing is labelled in c."""
    defaults = {
        "title": "A <b>title</b>",
        "command": "python run.py --mode=figures",
        "class_names": NAMES,
        "palette": PALETTE,
        "titles": {name: f"Title of {name}" for name in PREDICTED},
        "reference": "student",
        "cases": ("case_a", "case_d"),
        "case": "case_d",
        "scores": scores(
            teacher=(90, 90, None, 90), student=(50, 50, None, 80), case_a=(50, 50, None, 50), case_d=(80, 20, None, 90)
        ),
        "selections": {"most_improved": ("a", "d"), "chosen": ("b",)},
        "notes": ("A & B <script>",),
    }
    return Comparison(**{**defaults, **fields})


def shown(name, shape=SHAPE, classes=(0, 1, 2, 3)):
    """A picture at random; a tenth of its label is ignored."""
    rng = np.random.default_rng(ord(name))
    maps = {network: rng.choice(classes, shape).astype(np.uint8) for network in PREDICTED}
    label = np.where(rng.random(shape) < 0.1, 255, rng.choice(classes, shape)).astype(np.uint8)
    return Shown(name, rng.integers(0, 256, (*shape, 3), np.uint8), label, maps)
