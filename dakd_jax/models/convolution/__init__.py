"""Convolutions, with forms that a CPU or a GPU computes faster than XLA's own; which one runs is chosen when the
program is compiled for a platform.

A layer takes `conv_general_dilated` here in place of jax.lax's. Figures: docs/PERFORMANCE.md.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from dakd_jax.models.convolution import gradients, pointwise, winograd
from dakd_jax.models.precision import widened

_WINOGRAD_CHANNELS = 48  # with fewer, the sums that make its planes cost more than the products that it saves
_ROWS_CHANNELS = 128  # up to so many; with more, XLA's gradient of the kernel is as good
_LEAST_WORK = 2**27  # multiplications; below, XLA's own convolution, which compiles sooner


@dataclasses.dataclass(frozen=True)
class _Square:
    """A square convolution, padded alike on all sides, that is worth a form of its own."""

    size: int
    stride: int
    dilation: int
    padding: int
    channels: tuple[int, int]

    @property
    def pointwise(self) -> bool:
        return self.size == 1 and self.padding == 0

    @property
    def winograd(self) -> bool:
        plain = self.size == 3 and self.stride == 1 and self.padding == self.dilation
        return plain and min(self.channels) >= _WINOGRAD_CHANNELS

    @property
    def rows(self) -> bool:
        return self.size > 1 and self.dilation == 1 and self.channels[0] <= _ROWS_CHANNELS

    @property
    def phases(self) -> bool:
        return self.size > 1 and self.stride == 2 and self.dilation == 1

    @property
    def taps(self) -> bool:
        return self.stride == 1 and self.dilation > 1


def conv_general_dilated(x: jax.Array, kernel: jax.Array, strides, padding, **how) -> jax.Array:
    """jax.lax's, for flax.linen.Conv(conv_general_dilated=...); square convolutions in the forms of this room."""
    found = _square(x, kernel, strides, padding, **how)
    if found is None or not (found.pointwise or found.winograd or found.rows or found.phases or found.taps):
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **how)
    return _conv(x, kernel, found)


def _square(x, kernel, strides, padding, *, dimension_numbers, lhs_dilation=None, rhs_dilation=None, **rest):
    """What convolution this is, None where it is not a square one of known size, or too small."""
    if kernel.shape[:2] == (1, 1) and isinstance(padding, str):
        padding = ((0, 0), (0, 0))
    if isinstance(padding, str) or not all(isinstance(side, int) for side in x.shape) or x.ndim != 4:
        return None
    plain = dimension_numbers == jax.lax.conv_dimension_numbers(x.shape, kernel.shape, gradients.LAYOUT)
    plain &= set(lhs_dilation or (1,)) == {1} and rest.get("feature_group_count", 1) == 1
    plain &= rest.get("preferred_element_type") is None
    sizes, edges, dilations = set(kernel.shape[:2]), {*padding[0], *padding[1]}, set(rhs_dilation or (1,))
    if not plain or any(len(of) > 1 for of in (sizes, edges, dilations, set(strides))):
        return None
    (size,), (edge,), (dilation,), stride = sizes, edges, dilations, strides[0]
    found = _Square(size, stride, dilation, edge, kernel.shape[2:])
    sides = [(side + 2 * edge - (size - 1) * dilation - 1) // stride + 1 for side in x.shape[1:3]]
    small = math.prod([x.shape[0], *sides, *kernel.shape]) < _LEAST_WORK
    return None if small and not found.pointwise else found


def _native(x, kernel, *, of):
    edges = ((of.padding, of.padding),) * 2
    how = {"rhs_dilation": (of.dilation, of.dilation), "dimension_numbers": gradients.LAYOUT}
    return jax.lax.conv_general_dilated(x, kernel, (of.stride, of.stride), edges, **how)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x, kernel, of):
    native = functools.partial(_native, of=of)
    if not (of.pointwise or of.winograd):
        return native(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=functools.partial(_on_cpu, of=of), default=native)


def _on_cpu(x, kernel, *, of):
    if of.pointwise:
        return pointwise.forward(x, kernel, of.stride)
    return winograd.forward(widened(x), widened(kernel), of.dilation).astype(x.dtype)


def _forward(x, kernel, of):
    return _conv(x, kernel, of), (x, kernel)


def _backward(of, kept, gradient):
    x, kernel = kept
    return _of_input(gradient, kernel, x, of).astype(x.dtype), _of_kernel(x, kernel, gradient, of).astype(kernel.dtype)


_conv.defvjp(_forward, _backward)


def _like(array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _of_input(gradient, kernel, x, of):
    def native(gradient, kernel):
        # Linear: where it is taken does not matter, and this asks for no picture.
        pull = jax.linear_transpose(lambda x: _native(x, kernel, of=of), _like(x))
        return pull(gradient)[0]

    def by_winograd(gradient, kernel):
        turned = jnp.flip(widened(kernel), (0, 1)).swapaxes(2, 3)
        return winograd.forward(widened(gradient), turned, of.dilation).astype(x.dtype)

    def by_product(gradient, kernel):
        return pointwise.of_input(gradient, kernel, of.stride, x.shape[1:3])

    def by_phases(gradient, kernel):
        return gradients.of_input_by_phases(gradient, kernel, of.padding, x.shape)

    own = by_product if of.pointwise else by_winograd if of.winograd else by_phases if of.phases else native
    return jax.lax.platform_dependent(gradient, kernel, cpu=own, default=native)


def _of_kernel(x, kernel, gradient, of):
    def native(x, gradient):
        pull = jax.linear_transpose(lambda kernel: _native(x, kernel, of=of), _like(kernel))
        return pull(gradient)[0]

    def by_winograd(x, gradient):
        return winograd.kernel_gradient(widened(x), widened(gradient), of.dilation).astype(kernel.dtype)

    def by_rows(x, gradient):
        return gradients.of_kernel_by_rows(x, gradient, of.size, of.stride, of.padding).astype(kernel.dtype)

    def by_product(x, gradient):
        return pointwise.of_kernel(x, gradient, of.stride)

    def by_taps(x, gradient):
        return gradients.of_kernel_by_taps(x, gradient, of.size, of.dilation, of.padding).astype(kernel.dtype)

    forms = ((of.pointwise, by_product), (of.winograd, by_winograd), (of.rows, by_rows), (of.taps, by_taps))
    on_cpu = next((form for holds, form in forms if holds), native)
    # XLA makes the gradient of a dilated kernel a convolution with the whole picture as its window and the dilation as
    # its stride, which cuDNN computes without tensor cores.
    elsewhere = by_taps if of.taps else native
    return jax.lax.platform_dependent(x, gradient, cpu=on_cpu, default=elsewhere)
