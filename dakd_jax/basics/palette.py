"""Class indices as colours."""

import numpy as np


def colourise(label: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Class indices to colours.

    Args:
      label: integer [...] of class indices; whatever is not in 0..C-1 (ignored pixels: 255) becomes black.
      palette: uint8 [C, 3] RGB.

    Returns:
      uint8 [..., 3] RGB.
    """
    label, classes = np.asarray(label), len(palette)
    table = np.zeros((max(256, classes + 1), 3), np.uint8)  # a colour for any value of uint8
    table[:classes] = palette
    if label.dtype != np.uint8:  # what is uint8 is looked up as it is: large pictures want no copies
        label = label.astype(np.int64)
        label = np.where((label >= 0) & (label < classes), label, classes)
    return table[label]
