"""The order of examples in training: a pure function of (seed, stream, position), resumed at once."""

import numpy as np

from data_pipelines.basics.errors import DataError

# Purposes of random numbers: they must not share them.
ORDER, AUGMENTATION, MIXING = 0, 1, 2


class ExampleOrder:
    """An endless stream of example indices, reshuffled every epoch.

    Position p lies in epoch p // n; within it, examples follow that epoch's own permutation. Any position
    costs the same: only the permutation of the last epoch that was asked for is kept.
    """

    def __init__(self, num_examples: int, *, seed: int, stream: int):
        """num_examples >= 1; seed and stream >= 0, different streams are shuffled independently.

        Raises:
          DataError: no examples, or a negative seed.
        """
        if num_examples < 1:
            raise DataError("cannot draw batches from a split without pictures; check the dataset folder")
        if seed < 0:
            raise DataError(f"seed {seed}: expected a number >= 0")
        self._num_examples, self._seed, self._stream = num_examples, seed, stream
        self._last: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def index(self, position: int) -> int:
        """Index in [0, num_examples) of the example at a position >= 0 of the stream."""
        epoch, offset = divmod(position, self._num_examples)
        last_epoch, permutation = self._last  # read and replaced as one object: threads may share this order
        if epoch != last_epoch:
            # numpy keeps raw bits the same for ever, which it does not promise of Generator.permutation.
            raw = self._bits(epoch, ORDER).random_raw(self._num_examples)
            permutation = np.argsort(raw, kind="stable")
            self._last = (epoch, permutation)
        return int(permutation[offset])

    def augmentation_rng(self, position: int) -> np.random.Generator:
        """The random numbers for the augmentation of the example at this position."""
        return np.random.Generator(self._bits(position, AUGMENTATION))

    def mixing_rng(self, position: int) -> np.random.Generator:
        """The random numbers for class-mix at this position."""
        return np.random.Generator(self._bits(position, MIXING))

    def _bits(self, counter: int, purpose: int) -> np.random.Philox:
        return np.random.Philox(np.random.SeedSequence((self._seed, self._stream, counter, purpose)))
