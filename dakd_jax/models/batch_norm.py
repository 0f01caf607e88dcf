"""Batch normalisation that keeps its running statistics exactly as PyTorch does."""

import jax
import jax.numpy as jnp
from flax import linen as nn

EPSILON = 1e-5
MOMENTUM = 0.1  # weight of the new batch in the running statistics


class BatchNorm(nn.Module):
    """Normalises [B, H, W, C] over batch and space.

    A training batch is normalised with its biased variance, while `var` is updated with the *unbiased* one
    (n / (n - 1) times larger): Flax's own BatchNorm keeps the biased one, which drifts from released weights on
    small feature maps. `count` is PyTorch's num_batches_tracked, kept so that checkpoints convert both ways.

    Statistics are computed in float32 at least, whatever the dtype of the input.

    Attributes:
      momentum: weight of the new batch in the running statistics, as in PyTorch.
      epsilon: added to the variance.
    """

    momentum: float = MOMENTUM
    epsilon: float = EPSILON

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), scale.dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,), scale.dtype)
        count = self.variable("batch_stats", "count", jnp.zeros, (), jnp.int32)

        if not train:
            return _normalise(x, running_mean.value, running_var.value, scale, bias, self.epsilon)

        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mean = jnp.mean(wide, axis=(0, 1, 2))
        var = jnp.mean(jnp.square(wide - mean), axis=(0, 1, 2))
        if not self.is_initializing():
            n = x.shape[0] * x.shape[1] * x.shape[2]
            unbiased = var * (n / max(n - 1, 1))
            running_mean.value = _blend(running_mean.value, mean, self.momentum)
            running_var.value = _blend(running_var.value, unbiased, self.momentum)
            count.value = count.value + 1
        return _normalise(x, mean, var, scale, bias, self.epsilon)


def _blend(running: jax.Array, new: jax.Array, momentum: float) -> jax.Array:
    return ((1.0 - momentum) * running + momentum * jax.lax.stop_gradient(new)).astype(running.dtype)


def _normalise(x, mean, var, scale, bias, epsilon):
    """One multiply and one add per element: the four vectors are folded into two first."""
    gain = scale * jax.lax.rsqrt(var + epsilon)
    return (x * gain + (bias - mean * gain)).astype(x.dtype)
