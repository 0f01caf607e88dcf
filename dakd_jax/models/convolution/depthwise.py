"""Depthwise convolution, a kernel for each channel, with a form that a CPU computes as fast as the memory allows.

XLA's code for grouped convolutions on a CPU is 10 to 100 times slower than the sums of shifted products below; on a GPU
it calls cuDNN, which is the better one there.
"""

import functools

import jax
import jax.numpy as jnp

from dakd_jax.models.precision import widened

IMPLEMENTATIONS = ("auto", "native", "shifts")
_LAYOUT = ("NHWC", "HWIO", "NHWC")
_TOGETHER = 2**15  # numbers of the output's gradient that the kernel's gradient looks at together: a cache's worth


def conv(x: jax.Array, kernel: jax.Array, *, stride: int = 1, dilation: int = 1, implementation: str = "auto"):
    """[B, H, W, C] with kernels [k, k, 1, C] to [B, ceil(H / stride), ceil(W / stride), C], 'same' as TensorFlow pads.

    Args:
      implementation: 'native' is XLA's convolution, 'shifts' the sums below; 'auto' takes the latter where the program
        is compiled for a CPU.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation={implementation!r}: expected one of {', '.join(IMPLEMENTATIONS)}")
    if implementation == "native":
        return _native(x, kernel, stride, dilation)
    return _conv(x, kernel, stride, dilation, implementation)


def _native(x, kernel, stride, dilation):
    how = {"rhs_dilation": (dilation, dilation), "feature_group_count": x.shape[-1]}
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=_LAYOUT, **how)


def _native_gradients(x, kernel, gradient, stride, dilation):
    return jax.vjp(lambda x, kernel: _native(x, kernel, stride, dilation), x, kernel)[1](gradient)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv(x, kernel, stride, dilation, implementation):
    return _chosen(_shifts, _native, implementation, stride, dilation)(x, kernel)


def _forward(x, kernel, stride, dilation, implementation):
    return _conv(x, kernel, stride, dilation, implementation), (x, kernel)


def _backward(stride, dilation, implementation, kept, gradient):
    return _chosen(_shifts_gradients, _native_gradients, implementation, stride, dilation)(*kept, gradient)


_conv.defvjp(_forward, _backward)


def _chosen(shifts, native, implementation, stride, dilation):
    own, other = (functools.partial(one, stride=stride, dilation=dilation) for one in (shifts, native))
    return (
        own if implementation == "shifts" else lambda *given: jax.lax.platform_dependent(*given, cpu=own, default=other)
    )


class _Padding:
    """'Same' padding of one axis of `size`.

    Attributes:
      out: how many outputs there are.
      low, high: zeros before and after.
    """

    def __init__(self, size, taps, stride, dilation):
        self.out = -(-size // stride)
        reach = (taps - 1) * dilation + 1
        ((self.low, self.high),) = jax.lax.padtype_to_pads((size,), (reach,), (stride,), "SAME")


def _paddings(x, kernel, stride, dilation):
    return [_Padding(size, kernel.shape[0], stride, dilation) for size in x.shape[1:3]]


def _shifts(x, kernel, *, stride, dilation):
    """Of strided slices of the padded picture, each times its weight, the sum; added in float32 at least."""
    rows, columns = _paddings(x, kernel, stride, dilation)
    padded = jnp.pad(x, ((0, 0), (rows.low, rows.high), (columns.low, columns.high), (0, 0)))
    places = {(i, j): (i * dilation, j * dilation) for i, j in _taps(kernel)}
    return _weighted(padded, kernel, places, (rows.out, columns.out), stride).astype(x.dtype)


def _taps(kernel):
    return [(i, j) for i in range(kernel.shape[0]) for j in range(kernel.shape[1])]


def _weighted(padded, kernel, places, size, stride):
    """Of each tap (i, j) of the kernel the `size` pixels of a picture from its place on, times its weight; their sum.

    In jax.lax: a network has hundreds of these operations, and jax.numpy takes several times as long to trace them.
    """
    total, channels = None, kernel.shape[3]
    for (i, j), (top, left) in places.items():
        bottom, right = (first + (count - 1) * stride + 1 for first, count in zip((top, left), size, strict=True))
        limits = (padded.shape[0], bottom, right, channels)
        pixels = jax.lax.slice(padded, (0, top, left, 0), limits, (1, stride, stride, 1))
        weight = jax.lax.slice(kernel, (i, j, 0, 0), (i + 1, j + 1, 1, channels))
        weight = jax.lax.broadcast_in_dim(jax.lax.squeeze(weight, (0, 1, 2)), pixels.shape, (3,))
        product = jax.lax.mul(widened(pixels), widened(weight))
        total = product if total is None else jax.lax.add(total, product)
    return total


def _shifts_gradients(x, kernel, gradient, *, stride, dilation):
    to_x = _gradient_of_picture(x, kernel, gradient, stride, dilation)
    to_kernel = _gradient_of_kernel(x, kernel, gradient, stride, dilation)
    return to_x.astype(x.dtype), to_kernel.astype(kernel.dtype)


def _gradient_of_picture(x, kernel, gradient, stride, dilation):
    """The flipped kernel over the output's gradient with stride - 1 zeros between its pixels."""
    reach = (kernel.shape[0] - 1) * dilation
    edges = [(0, 0, 0)]
    for size, axis in zip(x.shape[1:3], _paddings(x, kernel, stride, dilation), strict=True):
        low = reach - axis.low
        edges.append((low, size + reach - low - ((axis.out - 1) * stride + 1), stride - 1))
    spread = jax.lax.pad(gradient, jnp.zeros((), gradient.dtype), [*edges, (0, 0, 0)])
    last = kernel.shape[0] - 1
    places = {(last - i, last - j): (i * dilation, j * dilation) for i, j in _taps(kernel)}
    return _weighted(spread, kernel, places, x.shape[1:3], 1)


def _gradient_of_kernel(x, kernel, gradient, stride, dilation):
    """Of a few rows after another: their gradient times the pixels under each tap, summed over the pixels.

    A sum over all pixels for each tap, as one would write it, reads the picture k x k times from memory.
    """
    rows, columns = _paddings(x, kernel, stride, dilation)
    padded = jnp.pad(x, ((0, 0), (rows.low, rows.high), (columns.low, columns.high), (0, 0)))
    batch, _, _, channels = x.shape
    span, most = (columns.out - 1) * stride + 1, max(1, _TOGETHER // (batch * columns.out * channels))
    together = next(count for count in range(min(most, rows.out), 0, -1) if rows.out % count == 0)

    def add_rows(total, first):
        of_rows = widened(jax.lax.dynamic_slice_in_dim(gradient, first, together, 1))
        sums = []
        for i in range(kernel.shape[0]):
            reach = (together - 1) * stride + 1
            under = jax.lax.dynamic_slice_in_dim(padded, first * stride + i * dilation, reach, 1)[:, ::stride]
            for left in range(0, kernel.shape[1] * dilation, dilation):
                sums.append(jnp.sum(widened(under[:, :, left : left + span : stride]) * of_rows, (0, 1, 2)))
        return total + jnp.stack(sums), None

    start = jnp.zeros((len(_taps(kernel)), channels), widened(gradient).dtype)
    total, _ = jax.lax.scan(add_rows, start, together * jnp.arange(rows.out // together))
    return total.reshape(kernel.shape)
