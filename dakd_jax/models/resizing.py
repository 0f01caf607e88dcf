"""Bilinear resizing of class maps, in the two conventions of the method."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def aligned_corners_matrix(size: int, out_size: int) -> np.ndarray:
    """float64 [out_size, size]: linear interpolation in which the corner samples stay corners.

    Equal to torch's bilinear interpolate(align_corners=True); jax.image.resize has half-pixel centres only.
    """
    if size == 1:
        return np.ones((out_size, 1))
    position = np.linspace(0.0, size - 1, out_size)
    left = np.minimum(np.floor(position).astype(int), size - 2)
    fraction = position - left
    matrix = np.zeros((out_size, size))
    rows = np.arange(out_size)
    matrix[rows, left] = 1.0 - fraction
    matrix[rows, left + 1] = fraction
    return matrix


def upsample_aligned(x: jax.Array, factor: int) -> jax.Array:
    """[B, H, W, C] to [B, factor H, factor W, C], bilinear with aligned corners, as two matrix products."""
    _, height, width, _ = x.shape
    if not (isinstance(height, int) and isinstance(width, int)):
        return upsample_any_size(x, factor)
    return _by_matrices(*_matrices(x, factor), x)


def upsample_aligned_rows(x: jax.Array, factor: int, start, count: int) -> jax.Array:
    """[B, count, factor W, C]: `count` rows of upsample_aligned from `start` on, which may be traced."""
    rows, columns = _matrices(x, factor)
    return _by_matrices(jax.lax.dynamic_slice_in_dim(rows, start, count), columns, x)


def _matrices(x, factor):
    """Those of the height and of the width of [B, H, W, C]."""
    return (jnp.asarray(aligned_corners_matrix(size, factor * size), x.dtype) for size in x.shape[1:3])


def _by_matrices(rows, columns, x):
    """[out_height, H] and [out_width, W] along the height and the width of [B, H, W, C]."""
    x = jnp.einsum("Yy,byxc->bYxc", rows, x, precision="highest")
    return jnp.einsum("Xx,bYxc->bYXc", columns, x, precision="highest")


@functools.partial(jax.jit, static_argnums=1)
def upsample_any_size(x: jax.Array, factor: int) -> jax.Array:
    """As upsample_aligned, where height or width is a symbol; an export knows it by its name."""
    rows, columns = (_aligned_corners_any_size(size, factor * size).astype(x.dtype) for size in x.shape[1:3])
    return _by_matrices(rows, columns, x)


def _aligned_corners_any_size(size, out_size) -> jax.Array:
    """float32 [out_size, size]: as aligned_corners_matrix, from sizes that are known when it runs."""
    position = jnp.arange(out_size, dtype=jnp.float32) * (jnp.float32(size - 1) / jnp.float32(out_size - 1))
    return jnp.maximum(0, 1 - jnp.abs(position[:, None] - jnp.arange(size, dtype=jnp.float32)))


def crop(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Top-left [B, height, width, C] of x, which is larger where the size is no multiple of a network's stride."""
    height, width = size
    if isinstance(height, int) and isinstance(width, int):
        return x[:, :height, :width]
    return jax.lax.slice(x, (0, 0, 0, 0), (x.shape[0], height, width, x.shape[3]))


def resize_half_pixel(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """[B, H, W, C] to [B, height, width, C], bilinear with half-pixel centres and without antialiasing."""
    if x.shape[1:3] == tuple(size):
        return x
    return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), "bilinear", antialias=False)
