"""Networks that are loaded: an exported file at work by its own runtime, or one with its weights."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from dakd_jax.basics.errors import UserError
from dakd_jax.deploy import finding, full_size
from dakd_jax.deploy.export import artefact
from dakd_jax.deploy.export.artefact import Artefact
from dakd_jax.deploy.export.program import LABELS, PROBABILITIES
from dakd_jax.deploy.full_size import Answers
from dakd_jax.deploy.loaded import LoadedNetwork
from dakd_jax.deploy.network import ReadyNetwork

_LEAST = 1e-30  # of a probability, for its logarithm


class ExportedNetwork(ReadyNetwork):
    """A ReadyNetwork. Pictures are resized to the file's size, or to the training size where it takes any.

    Labels at the picture's size are made from probabilities where the file gives them, as evaluation does; else they
    are the labels at the network's size, each pixel's nearest.
    """

    def __init__(self, found: Artefact, *, trust: bool = False):
        record = found.record
        self.artefact = found
        self.size = found.size or tuple(record["training_size"])
        self.classes, self.licences = tuple(record["classes"]), record["licences"]
        self.colours, self.bit_depth = np.array(record["palette"], np.uint8), record["bit_depth"]
        self._run = found.runner(trust=trust)

    def __repr__(self) -> str:
        record, (width, height) = self.artefact.record, self.size
        return (
            f"{record['format']} {record['dtype']}, {len(self.classes)} classes, {width}x{height}, {self.artefact.path}"
        )

    def identity(self) -> dict:
        return {"export": self.artefact.record["sha256"]}

    def answers(self, inputs: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], what) -> list[Answers]:
        return [self._answers(pixels, size, tuple(what)) for pixels, size in zip(inputs, sizes, strict=True)]

    def _answers(self, pixels: np.ndarray, size: tuple[int, int], what: tuple[str, ...]) -> Answers:
        found = self._run(pixels[None])
        if PROBABILITIES in found:
            return full_size.answers(np.log(np.maximum(found[PROBABILITIES][0], _LEAST)), size, what)
        if set(what) != {full_size.LABELS}:
            raise UserError(f"{self.artefact.path} gives labels alone; export it with --probabilities")
        labels = Image.fromarray(np.asarray(found[LABELS])[0])
        return {full_size.LABELS: np.asarray(labels.resize(size[::-1], Image.Resampling.NEAREST))}


def load(path: str | os.PathLike, *, trust: bool = False, **what) -> ReadyNetwork:
    """The network of any path, see dakd_jax.load.

    Raises:
      UserError: there is none; or its runtime is not installed; or it is a SavedModel of another machine.
    """
    if not isinstance(path, str | os.PathLike) or not artefact.looks_like(path):
        return LoadedNetwork(finding.find(path, **what))
    place = pathlib.Path(path).expanduser()
    if what:
        raise UserError(f"{place} says what this network is: leave {', '.join(f'{name}=' for name in what)} out")
    return ExportedNetwork(artefact.read(place), trust=trust)
