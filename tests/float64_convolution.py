"""Convolutions in float64 as one matrix product each, for tests: XLA's own are several times slower on a CPU.

`float64_convolution_test.py` compares them with XLA's, values and gradients, for every kind that the networks use.
"""

import contextlib
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dakd_jax.models import convolution as forms


@contextlib.contextmanager
def as_matrix_products(winograd_from: float = math.inf):
    """Within it Flax's convolutions, and those in the forms of models/convolution, are `convolution`.

    winograd_from: multiplications from which on those that have Winograd's form keep it, and its gradients.
    """
    plain, own = lax.conv_general_dilated, forms.conv_general_dilated
    native, least = forms._native, forms._LEAST_WORK

    def xlas(*given, **how):  # what a form is elsewhere, which is transposed
        lax.conv_general_dilated = plain
        try:
            return native(*given, **how)
        finally:
            lax.conv_general_dilated = _in_place_of_xlas

    def chosen(x, kernel, strides, padding, **how):
        found = forms._square(x, kernel, strides, padding, **how)
        return (own if found and found.winograd else _in_place_of_xlas)(x, kernel, strides, padding, **how)

    lax.conv_general_dilated, forms.conv_general_dilated = _in_place_of_xlas, chosen
    forms._native, forms._LEAST_WORK = xlas, winograd_from
    try:
        # Nothing to float64 on a CPU, but jit keeps what was compiled under it apart from what was not.
        with jax.default_matmul_precision("highest" if math.isinf(winograd_from) else "float32"):
            yield
    finally:
        lax.conv_general_dilated, forms.conv_general_dilated = plain, own
        forms._native, forms._LEAST_WORK = native, least


def _in_place_of_xlas(x, kernel, strides, padding, *, lhs_dilation, rhs_dilation, dimension_numbers, **more):
    """What Flax calls, for square kernels, one padding for all sides, and no groups."""
    (stride, height_stride), (dilation, height_dilation) = strides, rhs_dilation
    if isinstance(padding, str):
        assert kernel.shape[:2] == (1, 1)  # of the heads, for which no padding is the same as any
        padding = ((0, 0), (0, 0))
    ((before, after), others) = padding
    assert stride == height_stride and dilation == height_dilation and set(lhs_dilation) == {1}
    assert before == after and tuple(others) == (before, after) and kernel.shape[0] == kernel.shape[1]
    assert more.get("feature_group_count", 1) == 1 and dimension_numbers.lhs_spec == (0, 3, 1, 2)
    return convolution(x, kernel, stride, dilation, before)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def convolution(x, kernel, stride: int, dilation: int, padding: int):
    """[N, H, W, C] and [k, k, C, D] to [N, H', W', D]; rows of patches times the kernel."""
    size = tuple((side + 2 * padding - dilation * (kernel.shape[0] - 1) - 1) // stride + 1 for side in x.shape[1:3])
    rows = _patches(x, kernel.shape[0], stride, dilation, padding, size)
    return (rows @ kernel.reshape(-1, kernel.shape[-1])).reshape(x.shape[0], *size, -1)


def _forward(x, kernel, stride, dilation, padding):
    return convolution(x, kernel, stride, dilation, padding), (x, kernel)


def _backward(stride, dilation, padding, kept, gradient):
    x, kernel = kept
    patches = _patches(x, kernel.shape[0], stride, dilation, padding, gradient.shape[1:3])
    of_kernel = (patches.T @ gradient.reshape(-1, gradient.shape[-1])).reshape(kernel.shape)
    return _of_input(x.shape, kernel, stride, dilation, padding, gradient), of_kernel


def _of_input(shape, kernel, stride, dilation, padding, gradient):
    """The gradients of all patches, each tap of them added where it was taken from."""
    size, taps = kernel.shape[0], kernel.reshape(-1, kernel.shape[-1])
    rows = gradient.reshape(-1, gradient.shape[-1]) @ taps.T
    rows = rows.reshape(*gradient.shape[:3], size, size, shape[-1])
    height, width = (side + 2 * padding for side in shape[1:3])
    spans = [(side - 1) * stride + 1 for side in gradient.shape[1:3]]
    total = 0
    for i in range(size):
        for j in range(size):
            top, left = i * dilation, j * dilation
            places = [(top, height - top - spans[0], stride - 1), (left, width - left - spans[1], stride - 1)]
            total += lax.pad(rows[:, :, :, i, j], jnp.zeros((), rows.dtype), [(0, 0, 0), *places, (0, 0, 0)])
    return total[:, padding : height - padding, padding : width - padding]


convolution.defvjp(_forward, _backward)


def _patches(x, kernel_size, stride, dilation, padding, size):
    """[N * H' * W', k * k * C]: what each output pixel looks at."""
    if kernel_size == 1 and stride == 1:
        return x.reshape(-1, x.shape[-1])
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    taps = np.arange(kernel_size) * dilation
    rows = (np.arange(size[0]) * stride)[:, None, None, None] + taps[:, None]
    columns = (np.arange(size[1]) * stride)[:, None, None] + taps
    places = (rows * padded.shape[2] + columns).ravel()
    flat = padded.reshape(x.shape[0], -1, x.shape[-1])
    return jnp.take(flat, places, axis=1, mode="clip").reshape(-1, kernel_size**2 * x.shape[-1])
