"""Where a case repaired the reference student and where it broke it, as a picture."""

from typing import NamedTuple

import numpy as np


class MapColour(NamedTuple):
    """One colour of an error map: what it means, and its RGB of 0..255."""

    name: str
    rgb: tuple[int, int, int]


# Told apart with every common colour vision, and by their lightness too.
REPAIRED = MapColour("repaired", (0, 114, 178))
BROKEN = MapColour("broken", (230, 97, 0))
BOTH_WRONG = MapColour("both wrong", (160, 160, 160))
BOTH_RIGHT = MapColour("both right", (242, 242, 242))
VOID = MapColour("not labelled", (0, 0, 0))
LEGEND = (REPAIRED, BROKEN, BOTH_WRONG, BOTH_RIGHT, VOID)


def error_map(label: np.ndarray, reference: np.ndarray, case: np.ndarray, num_classes: int = 19) -> np.ndarray:
    """Colours a picture by which of two networks is right.

    Args:
      label: integer [H, W] of classes; what is not in 0..num_classes-1 (255 = ignore) is VOID.
      reference, case: integer [H, W] of classes, predictions of the undistilled student and of a case.

    Returns:
      uint8 [H, W, 3] RGB in the colours of LEGEND.

    Raises:
      ValueError: the three differ in shape.
    """
    if not label.shape == reference.shape == case.shape:
        raise ValueError(f"label {label.shape}, reference {reference.shape} and case {case.shape} must have one shape")
    before, after = reference == label, case == label
    kind = np.select([~before & after, before & ~after, ~before & ~after], [0, 1, 2], 3)
    kind[(label < 0) | (label >= num_classes)] = 4
    return np.array([colour.rgb for colour in LEGEND], np.uint8)[kind]
