"""Gradients of convolutions as matrix products and plain convolutions, where XLA's own are slow on a CPU or a GPU."""

import functools

import jax
import jax.numpy as jnp

from dakd_jax.models.precision import widened

LAYOUT = ("NHWC", "HWIO", "NHWC")
_LEAST_COLUMNS = 128  # of a matrix product


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def of_kernel_by_rows(x: jax.Array, gradient: jax.Array, size: int, stride: int, padding: int) -> jax.Array:
    """Of a kernel [size, size, C, D], without dilation: one matrix product for each of its rows.

    Where there are few channels, several neighbouring outputs are columns of the product at once, and all inputs that
    one of them sees its rows: the products of pairs that do not meet are computed in vain, and it is still faster.

    Args:
      x: [B, H, W, C].
      gradient: of the output, [B, h, w, D].
    """
    batch, height, width, channels = x.shape
    _, rows, columns, outputs = gradient.shape
    together = max(1, _LEAST_COLUMNS // outputs)
    groups, step, reach = -(-columns // together), together * stride, (together - 1) * stride + size
    steps = groups + -(-(reach - step) // step) if reach > step else groups
    lines = (rows - 1) * stride + size
    # A negative number of zeros cuts off what no output sees.
    edges = [(0, 0, 0), (padding, lines - height - padding, 0), (padding, steps * step - width - padding, 0), (0, 0, 0)]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), edges).reshape(batch, lines, steps, step * channels)
    more = groups * together - columns
    gradient = jnp.pad(gradient, ((0, 0), (0, 0), (0, more), (0, 0))).reshape(-1, together * outputs)

    def of_row(row):
        seen = jax.lax.dynamic_slice_in_dim(x, row, (rows - 1) * stride + 1, axis=1)[:, ::stride]
        parts = [
            seen[:, :, at // step : at // step + groups, : min(step, reach - at) * channels]
            for at in range(0, reach, step)
        ]
        return jnp.concatenate(parts, axis=-1).reshape(-1, reach * channels).T @ gradient

    products = jax.lax.map(of_row, jnp.arange(size, dtype=jnp.int32)).reshape(size, reach, channels, together, outputs)
    return sum(products[:, at * stride : at * stride + size, :, at] for at in range(together))


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def of_kernel_by_taps(x: jax.Array, gradient: jax.Array, size: int, dilation: int, padding: int) -> jax.Array:
    """Of a kernel [size, size, C, D] of stride 1: a matrix product for each tap, added in float32 at least."""
    batch, rows, columns, outputs = gradient.shape
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    gradient = gradient.reshape(-1, outputs)
    products = []
    for i in range(0, size * dilation, dilation):
        for j in range(0, size * dilation, dilation):
            seen = x[:, i : i + rows, j : j + columns].reshape(-1, x.shape[-1])
            products.append(jnp.matmul(seen.T, gradient, preferred_element_type=widened(gradient[:0]).dtype))
    return jnp.stack(products).reshape(size, size, x.shape[-1], outputs)


@functools.partial(jax.jit, static_argnums=(2, 3))
def of_input_by_phases(gradient: jax.Array, kernel: jax.Array, padding: int, shape: tuple[int, ...]) -> jax.Array:
    """Of the input, of `shape` [B, H, W, C], of a convolution of stride 2 without dilation: one of stride 1.

    Input pixels of even and odd rows and columns each see every other tap; the four kinds are channels of one
    convolution, and interleaved at the end.
    """
    size, _, channels, outputs = kernel.shape
    # Row 2 t + phase is under tap i of output row t + (phase + padding - i) / 2, where that is whole.
    meets = [(p, i, (p + padding - i) // 2) for p in (0, 1) for i in range(size) if (p + padding - i) % 2 == 0]
    first, last = min(at for *_, at in meets), max(at for *_, at in meets)
    nothing, span = jnp.zeros((channels, outputs), kernel.dtype), last - first + 1
    taps = {(a - first, b - first, p, q): kernel[i, j] for p, i, a in meets for q, j, b in meets}
    places = [(a, b, p, q) for a in range(span) for b in range(span) for p in (0, 1) for q in (0, 1)]
    whole = jnp.stack([taps.get(place, nothing) for place in places]).reshape(span, span, 4 * channels, outputs)
    rows, columns = (-(-side // 2) for side in shape[1:3])
    edges = [(-first, side + last - given, 0) for side, given in zip((rows, columns), gradient.shape[1:3], strict=True)]
    padded = jax.lax.pad(gradient, jnp.zeros((), gradient.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    how = {"dimension_numbers": ("NHWC", "HWOI", "NHWC")}
    found = jax.lax.conv_general_dilated(padded, whole, (1, 1), "VALID", **how)
    found = found.reshape(shape[0], rows, columns, 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return found.reshape(shape[0], 2 * rows, 2 * columns, channels)[:, : shape[1], : shape[2]]
