"""Batch normalisation that keeps its running statistics exactly as PyTorch does."""

import contextlib
import contextvars
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from flax import linen as nn

EPSILON = 1e-5
MOMENTUM = 0.1  # weight of the new batch in the running statistics

_GROUPS = contextvars.ContextVar("groups", default=1)


@contextlib.contextmanager
def in_groups(count: int) -> Iterator[None]:
    """Inside it a training batch is normalised in `count` equal parts, each by its own statistics.

    As PyTorch's DataParallel does on `count` devices: part i is the i-th of the batch. It holds while a network is
    traced, so that a compiled function must have `count` among what it is compiled for.
    """
    before = _GROUPS.set(count)
    try:
        yield
    finally:
        _GROUPS.reset(before)


class BatchNorm(nn.Module):
    """Normalises [B, H, W, C] over batch and space.

    A training batch is normalised with its biased variance, while `var` is updated with the *unbiased* one
    (n / (n - 1) times larger): Flax's own BatchNorm keeps the biased one, which drifts from released weights on
    small feature maps. `count` is PyTorch's num_batches_tracked, kept so that checkpoints convert both ways.

    Statistics are computed in float32 at least, whatever the dtype of the input.

    Under `in_groups` B must be a multiple of the number of groups, and the running statistics take the mean of the
    groups' in; DataParallel keeps those of its first device alone.

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
        groups, batch_mean = _GROUPS.get(), lambda of: of
        if groups > 1:  # [B, H, W, C] to [groups, B / groups, H, W, C]; statistics are [groups, 1, 1, 1, C]
            wide, shape = _parts(wide, groups), x.shape
            x, batch_mean = _parts(x, groups), lambda of: jnp.mean(of, axis=(0, 1, 2, 3))
        how = {"axis": (1, 2, 3), "keepdims": True} if groups > 1 else {"axis": (0, 1, 2)}
        mean = jnp.mean(wide, **how)
        var = jnp.mean(jnp.square(wide - mean), **how)
        if not self.is_initializing():
            n = wide.size // (groups * channels)
            unbiased = var * (n / max(n - 1, 1))
            running_mean.value = _blend(running_mean.value, batch_mean(mean), self.momentum)
            running_var.value = _blend(running_var.value, batch_mean(unbiased), self.momentum)
            count.value = count.value + 1
        normalised = _normalise(x, mean, var, scale, bias, self.epsilon)
        return normalised.reshape(shape) if groups > 1 else normalised


def _parts(x: jax.Array, groups: int) -> jax.Array:
    return x.reshape(groups, x.shape[0] // groups, *x.shape[1:])


def _blend(running: jax.Array, new: jax.Array, momentum: float) -> jax.Array:
    return ((1.0 - momentum) * running + momentum * jax.lax.stop_gradient(new)).astype(running.dtype)


def _normalise(x, mean, var, scale, bias, epsilon):
    """One multiply and one add per element: the four vectors are folded into two first."""
    gain = scale * jax.lax.rsqrt(var + epsilon)
    return (x * gain + (bias - mean * gain)).astype(x.dtype)
