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
    label, black = np.asarray(label), len(palette)
    if label.dtype == np.uint8:  # of large pictures: a table for all values takes no more memory than the answer
        table = np.zeros((max(256, black), 3), np.uint8)
        table[:black] = palette
        return table[label]
    label = label.astype(np.int64)
    table = np.concatenate([np.asarray(palette, np.uint8), np.zeros((1, 3), np.uint8)])
    return table[np.where((label >= 0) & (label < black), label, black)]
