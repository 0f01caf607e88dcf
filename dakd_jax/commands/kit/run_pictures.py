"""The pictures that an export is calibrated on, compared on, and that its golden pair is chosen of."""

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from dakd_jax.commands import Context
from dakd_jax.deploy.export import exporting
from dakd_jax.deploy.loaded import LoadedNetwork
from dakd_jax.deploy.predicting import inputs
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages import weights

CANDIDATES = 12  # pictures of the toy city that the golden pair is looked for in
MOST = 100  # pictures that int8 is calibrated on, and that an export is compared on


def of(context: Context, network: LoadedNetwork) -> exporting.ExportPictures:
    """What the export of a network is made and compared with: the folders that were named, else its run's data."""
    own = _RunData(context, network)
    calibrate, compare = (context.flags[name] for name in ("calibrate", "pictures"))
    given = {
        "calibration": (lambda size: list(_in_folder(network, calibrate, size))) if calibrate else own.calibration,
        "compared": (lambda size: ((one, None) for one in _in_folder(network, compare, size)))
        if compare
        else own.compared,
    }
    found, said = candidates(context)
    return exporting.ExportPictures(found, said=said, **given)


def candidates(context: Context) -> tuple[Callable[[tuple[int, int]], Iterator[np.ndarray]], str]:
    """(from (width, height) to pictures of no data set, in which a golden pair is looked for; where they come from)."""
    if not context.toy_picture:
        return exporting.GENERATED.candidates, exporting.GENERATED.said
    return (lambda size: (context.toy_picture(index, size) for index in range(CANDIDATES))), "toy city"


def _in_folder(network: LoadedNetwork, word: str, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Pictures of a folder, a pattern or a file, spread evenly where there are more than MOST."""
    found = inputs.pictures(word)
    for index in np.linspace(0, len(found) - 1, min(MOST, len(found))).round().astype(int):
        yield network.network_input(network.upright(found[index]), size)


class _RunData:
    """The data that the run's record names, where they are at hand."""

    def __init__(self, context: Context, network: LoadedNetwork):
        told = weights.recorded(network.found.place.path)
        self._context, self._network = context, network
        self._config = ConfigDict(told[1]["config"]) if told else None

    def calibration(self, size: tuple[int, int]) -> list[np.ndarray]:
        """Training pictures of the target; none where the data cannot be opened."""
        return self._at_hand("calibration", functools.partial(self._target, size))

    def compared(self, size: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The first pictures of target val, and their labels at that size."""
        return self._at_hand("comparison", functools.partial(_labelled, size))

    def _at_hand(self, purpose: str, read: Callable) -> list:
        if self._config is None:
            return []
        try:
            feed = self._context.open_feed(self._config.data)
            return [] if purpose == "comparison" and feed.evaluation_problem() else read(feed)
        except ValueError as error:  # a DataError: the data lie elsewhere, or not here
            self._context.say(f"no pictures of the run's data for {purpose}: {error}")
            return []

    def _target(self, size: tuple[int, int], feed: TrainingData) -> list[np.ndarray]:
        batches = feed.target_batches(count=MOST, batch_size=1)
        return [self._network.network_input(Image.fromarray(batch["image"][0]), size) for batch in batches]


def _labelled(size: tuple[int, int], feed: TrainingData) -> list[tuple[np.ndarray, np.ndarray]]:
    batches = feed.eval_batches(image_size=size, label_size=size, resample="bicubic", batch_size=1)
    return [(batch["image"][0], batch["label"][0]) for batch in itertools.islice(batches, MOST)]
