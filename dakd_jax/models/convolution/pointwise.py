"""1x1 convolutions as matrix products of all pixels: on a CPU two to twenty times as fast as XLA's convolutions."""

import jax
import jax.numpy as jnp

from dakd_jax.models.precision import widened


def forward(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """[B, H, W, C] and [1, 1, C, D] to [B, ceil(H / stride), ceil(W / stride), D]."""
    return _times(_seen(x, stride), kernel[0, 0])


def of_input(gradient: jax.Array, kernel: jax.Array, stride: int, size: tuple[int, int]) -> jax.Array:
    """The gradient of an input of (height, width), from that of the output."""
    found = _times(gradient, kernel[0, 0].T)
    if stride == 1:
        return found
    edges = [
        (0, side - (given - 1) * stride - 1, stride - 1) for side, given in zip(size, found.shape[1:3], strict=True)
    ]
    return jax.lax.pad(found, jnp.zeros((), found.dtype), [(0, 0, 0), *edges, (0, 0, 0)])


def of_kernel(x: jax.Array, gradient: jax.Array, stride: int) -> jax.Array:
    """[1, 1, C, D] from [B, H, W, C] and the gradient of the output."""
    pixels = _seen(x, stride).reshape(-1, x.shape[-1])
    return _product(pixels.T, gradient.reshape(-1, gradient.shape[-1]))[None, None]


def _seen(x, stride):
    return x if stride == 1 else x[:, ::stride, ::stride]


def _times(x, matrix):
    return _product(x.reshape(-1, x.shape[-1]), matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def _product(a, b):
    """Added up in float32 at least, rounded once."""
    return jnp.matmul(a, b, preferred_element_type=widened(a[:0]).dtype).astype(a.dtype)
