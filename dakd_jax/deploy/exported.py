"""An exported file at work: the same answers to the same calls, by its own runtime."""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from dakd_jax.basics.errors import UserError
from dakd_jax.deploy import full_size
from dakd_jax.deploy.export import artefact
from dakd_jax.deploy.export.artefact import Artefact
from dakd_jax.deploy.export.program import LABELS, PROBABILITIES
from dakd_jax.deploy.full_size import Answers
from dakd_jax.deploy.loaded import LoadedNetwork

_LEAST = 1e-30  # of a probability, for its logarithm


class ExportedNetwork(LoadedNetwork):
    """As a LoadedNetwork. Pictures are resized to the file's size, or to the training size where it takes any.

    Labels at the picture's size are made from probabilities where the file gives them, as evaluation does; else they
    are the labels at the network's size, each pixel's nearest.
    """

    def __init__(self, found: Artefact):
        record = found.record
        self.artefact = found
        self.size = found.size or tuple(record["training_size"])
        self.classes, self.licences = tuple(record["classes"]), record["licences"]
        self.colours, self.bit_depth = np.array(record["palette"], np.uint8), record["bit_depth"]
        self._run = found.runner()

    def __repr__(self) -> str:
        record, (width, height) = self.artefact.record, self.size
        return f"{record['format']} {record['dtype']}, {len(self.classes)} classes, {width}x{height}, {self.artefact.path}"

    def identity(self) -> dict:
        """All that its answers depend on, as plain data."""
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


def load(path: pathlib.Path) -> ExportedNetwork:
    """Reads an exported file. Raises UserError for one that is not whole, or whose runtime is not installed."""
    return ExportedNetwork(artefact.read(path))
