"""How kernels of convolutions start.

A random number depends on the key and on its place alone, so that all are drawn in one row: over four axes XLA unrolls
loops in loops, which took most of the time until a network could start (DRN-D-22 on two cores: 15 s, now 7).
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn


# Flax asks for the shape that an initialiser gives each time a layer is applied: jit remembers its trace.
@functools.partial(jax.jit, static_argnums=(1, 2))
def he_normal(key: jax.Array, shape: tuple[int, ...], dtype) -> jax.Array:
    """Normal with variance 2 / (kernel area x output channels), as DRN and EfficientNet start."""
    variance = 2.0 / (math.prod(shape[:-2]) * shape[-1])
    return _in_a_row(nn.initializers.variance_scaling(variance, "fan_out", "normal"), key, shape, dtype)


@functools.partial(jax.jit, static_argnums=(1, 2))
def torch_uniform(key: jax.Array, shape: tuple[int, ...], dtype) -> jax.Array:
    """Uniform in +-1 / sqrt(kernel area x input channels), the default start of torch's convolutions."""
    variance = 1.0 / 3.0 / math.prod(shape[:-1])
    return _in_a_row(nn.initializers.variance_scaling(variance, "fan_out", "uniform"), key, shape, dtype)


def normal(deviation: float) -> Callable:
    """Normal of this standard deviation."""

    def drawn(key, shape, dtype=jnp.float32):
        return _in_a_row(nn.initializers.normal(deviation), key, shape, dtype)

    return drawn


def _in_a_row(initializer, key, shape, dtype):
    """With as many outputs as a fan of 1 has: what a variance is divided by has to be in it already."""
    return initializer(key, (math.prod(shape), 1), dtype).reshape(shape)
