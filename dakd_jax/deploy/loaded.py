"""A network with its weights, computed by jax."""

import functools
from collections.abc import Sequence

import jax
import numpy as np

from dakd_jax.deploy import full_size
from dakd_jax.deploy.finding import Found
from dakd_jax.deploy.full_size import Answers
from dakd_jax.deploy.network import RULES, ReadyNetwork
from dakd_jax.evaluation import predict
from dakd_jax.stages import weights


class LoadedNetwork(ReadyNetwork):
    """A ReadyNetwork.

    Attributes:
      found: where it comes from and what is known of it.
      model: the architecture.
      variables: {'params', 'batch_stats'}, on the device.
    """

    def __init__(self, found: Found):
        self.found, self.model, self.size = found, found.model, found.size
        self.classes, self.colours = found.classes, found.colours
        self.licences, self.bit_depth = found.licences, found.bit_depth
        self.variables = jax.device_put(weights.load(found.place, found.model))

    def __repr__(self) -> str:
        network, (width, height) = self.model, self.size
        return (
            f"{network.arch} x{network.width:g}, {len(self.classes)} classes, {width}x{height}, of {self.found.place}"
        )

    def identity(self) -> dict:
        return self.found.identity()

    def answers(self, inputs: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], what) -> list[Answers]:
        values = _log_probabilities(self.variables, np.stack(inputs), model=self.model)
        return [full_size.answers(of_one, size, what) for of_one, size in zip(values, sizes, strict=True)]


@functools.partial(jax.jit, static_argnames=("model",))
def _log_probabilities(variables, images, *, model):
    """Float32 [B, h, w, C] of uint8 pictures [B, h, w, 3], at their size."""
    return predict.resized_log_probabilities(variables, images, model=model, size=images.shape[1:3], **RULES.how)
