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
    label = np.asarray(label).astype(np.int64)
    black = len(palette)
    table = np.concatenate([np.asarray(palette, np.uint8), np.zeros((1, 3), np.uint8)])
    return table[np.where((label >= 0) & (label < black), label, black)]
