"""The optimisers of the paper in optax, and their polynomial decay.

The transformations give descent directions without the learning rate: the step multiplies it in as a traced
argument, so that one compilation serves every learning rate and horizon.
"""

import dataclasses

import jax
import numpy as np
import optax

HEADS = ("seg1", "seg2", "seg1_skip")  # of a segmenter: what stands beside the trunk
KINDS = ("sgd", "adamw")


@dataclasses.dataclass(frozen=True)
class SegmenterOptimizer:
    """SGD with momentum, or AdamW; weight decay acts on every parameter, batch norm and biases included.

    Attributes:
      momentum, nesterov: of SGD.
      weight_decay: with SGD added to the gradient, with AdamW to the direction (Loshchilov and Hutter, ICLR 2019).
      kind: one of KINDS.
      clip_norm: gradients are scaled down to this global norm; 0 = never.
      head_factor: learning rate of the heads, of the trunk's.
    """

    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    kind: str = "sgd"
    clip_norm: float = 0.0
    head_factor: float = 1.0

    def build(self) -> optax.GradientTransformation:
        clip = [optax.clip_by_global_norm(self.clip_norm)] if self.clip_norm else []
        decay, trace = optax.add_decayed_weights(self.weight_decay), optax.trace(self.momentum, self.nesterov)
        descent = [decay, trace] if self.kind == "sgd" else [optax.scale_by_adam(), decay]
        heads = [optax.stateless(self._scale_heads)] if self.head_factor != 1 else []
        return optax.chain(*clip, *descent, *heads)

    def _scale_heads(self, directions, params):
        def scaled(path, direction):
            return direction * self.head_factor if path[0].key in HEADS else direction

        return jax.tree_util.tree_map_with_path(scaled, directions)


@dataclasses.dataclass(frozen=True)
class DiscriminatorOptimizer:
    """Adam."""

    b1: float = 0.9
    b2: float = 0.99
    eps: float = 1e-8

    def build(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(self.b1, self.b2, self.eps)


def polynomial_decay(base: float, *, horizon: int, power: float, steps: int, warmup: int = 0) -> np.ndarray:
    """Learning rates [steps] of steps 0, 1, ...: base (1 - i / horizon)^power, 0 from the horizon on.

    The first `warmup` of them are (i + 1) / (warmup + 1) of that.
    """
    schedule = optax.polynomial_schedule(base, 0.0, power, horizon)
    rates = np.asarray(schedule(np.arange(steps)))
    rise = np.minimum(np.arange(1, steps + 1) / (warmup + 1), 1)
    return rates * rise.astype(rates.dtype) if warmup else rates


def descend(tx, grads, opt_state, params, learning_rate):
    """One step of `tx`: (new parameters, new optimiser state)."""
    direction, opt_state = tx.update(grads, opt_state, params)
    return jax.tree.map(lambda p, d: p - (learning_rate * d).astype(p.dtype), params, direction), opt_state
