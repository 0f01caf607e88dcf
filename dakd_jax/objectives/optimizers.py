"""The optimisers of the paper in optax, and their polynomial decay.

The transformations give descent directions without the learning rate: the step multiplies it in as a traced
argument, so that one compilation serves every learning rate and horizon.
"""

import dataclasses

import jax
import numpy as np
import optax


@dataclasses.dataclass(frozen=True)
class SegmenterOptimizer:
    """SGD with momentum; weight decay acts on every parameter, batch norm and biases included."""

    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4

    def build(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay),
            optax.trace(decay=self.momentum, nesterov=self.nesterov),
        )


@dataclasses.dataclass(frozen=True)
class DiscriminatorOptimizer:
    """Adam."""

    b1: float = 0.9
    b2: float = 0.99
    eps: float = 1e-8

    def build(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(self.b1, self.b2, self.eps)


def polynomial_decay(base: float, *, horizon: int, power: float, steps: int) -> np.ndarray:
    """Learning rates [steps] of steps 0, 1, ...: base (1 - i / horizon)^power, 0 from the horizon on."""
    schedule = optax.polynomial_schedule(base, 0.0, power, horizon)
    return np.asarray(schedule(np.arange(steps)))


def descend(tx, grads, opt_state, params, learning_rate):
    """One step of `tx`: (new parameters, new optimiser state)."""
    direction, opt_state = tx.update(grads, opt_state, params)
    return jax.tree.map(lambda p, d: p - (learning_rate * d).astype(p.dtype), params, direction), opt_state
