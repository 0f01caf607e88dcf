"""Rare-class sampling: an order of the source's pictures in which rare classes come often.

DAFormer (Hoyer et al., CVPR 2022), equations 4 and 5: first a class is drawn, the rarer the likelier, then one of the
pictures that show it.
"""

import numpy as np

from data_pipelines.augmentation.example_order import ORDER, ExampleOrder
from data_pipelines.basics.errors import DataError

# A picture shows a class if this share of its pixels does: DAFormer's 3000 pixels of a GTA5 picture, at any size.
MIN_SHARE = 3000 / (1914 * 1052)


class RareClassOrder(ExampleOrder):
    """An endless stream of example indices, each drawn on its own, without epochs.

    Position p draws class c with the probability of class_probabilities, then, all equally likely, one of the
    pictures of which c covers at least MIN_SHARE (void pixels count as pixels of the picture). Where no picture
    has that much of c, all that have any of it are candidates. A random crop may still miss the class.
    """

    def __init__(self, counts: np.ndarray, *, seed: int, stream: int, temperature: float):
        """Makes the order of the pictures that the counts are of.

        Args:
          counts: int64 [N, K + 1], N >= 1: pixels of each of the K classes and, last, of void, per picture.
          seed, stream: >= 0, as for ExampleOrder.
          temperature: > 0; DAFormer's is 0.01. The smaller, the more often the rarest classes.

        Raises:
          DataError: no pictures, a negative seed, a temperature that is not above 0, or no labelled pixel.
        """
        super().__init__(len(counts), seed=seed, stream=stream)
        probabilities = class_probabilities(counts, temperature)
        self._classes = np.flatnonzero(probabilities)
        self._cumulative = np.cumsum(probabilities[self._classes])
        self._cumulative /= self._cumulative[-1]  # ends in exactly 1, above every draw
        self._candidates = [_candidates(counts, which) for which in self._classes]

    def index(self, position: int) -> int:
        """Index in [0, N) of the example at a position >= 0 of the stream."""
        # Raw bits stay the same under every numpy, which is not promised of Generator's methods.
        for_class, for_picture = map(int, self._bits(position, ORDER).random_raw(2))
        which = np.searchsorted(self._cumulative, (for_class >> 11) * 2.0**-53, side="right")
        candidates = self._candidates[which]
        return int(candidates[for_picture * len(candidates) >> 64])


def class_probabilities(counts: np.ndarray, temperature: float) -> np.ndarray:
    """How often each class is drawn: softmax((1 - f) / temperature) over the classes that occur, f their frequencies.

    Args:
      counts: int64 [N, K + 1], as for RareClassOrder; f is a class's share of all labelled pixels.
      temperature: > 0.

    Returns:
      float64 [K], sums to 1; 0 for classes that never occur.

    Raises:
      DataError: a temperature that is not above 0, or no labelled pixel.
    """
    if not temperature > 0:
        raise DataError(f"data.rare_class_temperature={temperature}: expected a number > 0, DAFormer's is 0.01")
    pixels = counts[:, :-1].sum(axis=0)
    if not pixels.any():
        raise DataError(
            f"rare-class sampling: none of the {len(counts)} labels has a labelled pixel, all are 255; "
            "check the label files, or set --config.data.rare_class_temperature=0"
        )
    frequency = pixels / pixels.sum()
    rarest = frequency[pixels > 0].min()
    with np.errstate(over="ignore"):  # at tiny temperatures: exp(-inf) is the 0 that is meant
        unnormalised = np.exp((rarest - frequency) / temperature)
    unnormalised[pixels == 0] = 0
    return unnormalised / unnormalised.sum()


def _candidates(counts: np.ndarray, which: int) -> np.ndarray:
    """Indices of the pictures that show a class, of those with any pixel of it where none has enough."""
    present = counts[:, which] > 0
    enough = present & (counts[:, which] >= MIN_SHARE * counts.sum(axis=1))
    return np.flatnonzero(enough if enough.any() else present)
