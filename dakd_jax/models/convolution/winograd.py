"""3x3 convolutions of stride 1 with 2.25 times fewer products: Winograd's F(2x2, 3x3) (Lavin, Gray, CVPR 2016).

Four outputs of a 2x2 tile come of 16 products per pair of channels in place of 36: tiles of 4x4 inputs are transformed
by sums (B^T d B), the kernel too (G g G^T), and the 16 planes of tiles are a matrix product each, whose sums (A^T m A)
are the outputs. The kernel's gradient is the same in reverse: 16 products of planes of inputs and of planes of outputs'
gradients. In float32 the result is as near to the exact one as that of the plain sums, within a factor of two.

Planes are made one after another, so that one alone is in memory, and XLA compiles one alone. A dilated convolution is
as many plain ones as its dilation squared, on pictures that are interleaved; tiles are cut from these as they lie.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

# Of the four values d of a tile's line: B^T d = d[FIRST] + SIGN d[SECOND].
_FIRST, _SECOND = np.array([0, 1, 2, 1], np.int32), np.array([2, 2, 1, 3], np.int32)
_SIGN = np.array([-1.0, 1.0, -1.0, -1.0])
_PLANES = np.arange(16, dtype=np.int32)  # row by row
_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])  # G
_OUTPUT = np.array([[1, 0], [1, 1], [1, -1], [0, -1]])  # A
_CACHED = 2**22  # bytes of the planes that are at hand at once
_BOTH_AXES = np.einsum("ai,bj->abij", _KERNEL, _KERNEL).reshape(16, 9)


# Jitted: layers of one shape are traced once.
@functools.partial(jax.jit, static_argnums=2)
def forward(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """[B, H, W, C] with a kernel [3, 3, C, D] to [B, H, W, D], zeros around the picture; of one dtype."""
    # Without the barrier XLA transforms a kernel once for both passes of a step, and keeps it from one to the other.
    x, kernel = jax.lax.optimization_barrier((x, kernel))
    channels, whole = kernel.shape[-1], _Tiles(x.shape, dilation)
    kernels = jnp.dot(jnp.asarray(_BOTH_AXES, kernel.dtype), kernel.reshape(9, -1)).reshape(16, -1, channels)
    strip = whole.strip(max(kernel.shape[2:]) * x.dtype.itemsize)
    cells, lines = whole.cells(x, edge=1), 2 * strip.rows * dilation

    def of_strip(number, out):
        given = jax.lax.dynamic_slice_in_dim(cells, 2 * strip.rows * number, 2 * (strip.rows + 1), axis=1)
        products = jax.lax.map(lambda plane: strip.inputs(given, plane) @ kernels[plane], jnp.asarray(_PLANES))
        found = strip.outputs(products.reshape(4, 4, *strip.shape, channels))
        return jax.lax.dynamic_update_slice_in_dim(out, found, number * lines, axis=1)

    sides = 2 * whole.rows * dilation, 2 * whole.columns * dilation
    out = jnp.zeros((x.shape[0], *sides, channels), x.dtype)
    strips = whole.rows // strip.rows
    out = of_strip(0, out) if strips == 1 else jax.lax.fori_loop(0, strips, of_strip, out)
    return out[:, : x.shape[1], : x.shape[2]]


@functools.partial(jax.jit, static_argnums=2)
def kernel_gradient(x: jax.Array, gradient: jax.Array, dilation: int) -> jax.Array:
    """Of the kernel of forward(), [3, 3, C, D]; gradient: of its output, [B, H, W, D]."""
    tiles = _Tiles(x.shape, dilation)
    cells, of_outputs = tiles.cells(x, edge=1), tiles.cells(gradient, edge=0)

    def product(plane):
        return tiles.inputs(cells, plane).T @ tiles.gradients(of_outputs, plane)

    products = jax.lax.map(product, jnp.asarray(_PLANES)).reshape(16, -1)
    return jnp.dot(jnp.asarray(_BOTH_AXES.T, products.dtype), products).reshape(3, 3, x.shape[-1], gradient.shape[-1])


class _Tiles:
    """How a picture is cut: rows x columns tiles of 2x2 outputs in each of the interleaved pictures.

    A line of cells is (tile, one of its two values, interleaved picture), which is how pixels lie in memory.
    """

    def __init__(self, shape: tuple[int, ...], dilation: int):
        self.batch, height, width, *_ = shape
        self.rows, self.columns, self.dilation = -(-height // (2 * dilation)), -(-width // (2 * dilation)), dilation

    def strip(self, bytes_a_value: int) -> "_Tiles":
        """As many rows of tiles, an equal part of all, as keep 16 planes within the caches; at least one."""
        row = 16 * self.batch * self.columns * self.dilation**2 * bytes_a_value
        fit = [rows for rows in range(1, self.rows + 1) if self.rows % rows == 0 and rows * row <= _CACHED]
        rows = max(fit, default=1)
        return _Tiles((self.batch, 2 * self.dilation * rows, 2 * self.dilation * self.columns), self.dilation)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a plane: one value of each tile of each interleaved picture."""
        return self.batch, self.rows, self.dilation, self.columns, self.dilation

    def cells(self, x: jax.Array, edge: int) -> jax.Array:
        """[B, 2 (rows + edge), dilation, 2 (columns + edge), dilation, C]: x with zeros to whole tiles.

        edge: 1 with the zeros that the kernel sees around the picture, else 0.
        """
        low, d = edge * self.dilation, self.dilation
        lines = 2 * (self.rows + edge), 2 * (self.columns + edge)
        padding = [(low, line * d - size - low) for line, size in zip(lines, x.shape[1:3], strict=True)]
        return jnp.pad(x, ((0, 0), *padding, (0, 0))).reshape(self.batch, lines[0], d, lines[1], d, x.shape[-1])

    def inputs(self, cells: jax.Array, plane: jax.Array) -> jax.Array:
        """[tiles, C]: a plane of B^T d B of all tiles."""
        row, column = plane // 4, plane % 4
        (above, left), (below, right) = ((jnp.asarray(of)[row], jnp.asarray(of)[column]) for of in (_FIRST, _SECOND))
        down, across = (jnp.asarray(_SIGN, cells.dtype)[at] for at in (row, column))

        def line(at):
            return self._part(cells, at, left) + across * self._part(cells, at, right)

        return (line(above) + down * line(below)).reshape(-1, cells.shape[-1])

    def _part(self, cells, row, column):
        """The values at (row, column) of each tile of 4x4, where tiles overlap by two."""
        batch, _, d, _, _, channels = cells.shape
        size = (batch, 2 * self.rows - 1, d, 2 * self.columns - 1, d, channels)
        start = np.int32(0)
        return jax.lax.dynamic_slice(cells, (start, row, start, column, start, start), size)[:, ::2, :, ::2]

    def gradients(self, cells: jax.Array, plane: jax.Array) -> jax.Array:
        """[tiles, D]: a plane of A g A^T, of cells of the outputs' gradient."""
        table = jnp.asarray(_OUTPUT, cells.dtype)
        down, across = table[plane // 4], table[plane % 4]

        def line(at):
            return across[0] * cells[:, at::2, :, ::2] + across[1] * cells[:, at::2, :, 1::2]

        return (down[0] * line(0) + down[1] * line(1)).reshape(-1, cells.shape[-1])

    def outputs(self, products: jax.Array) -> jax.Array:
        """[B, 2 rows dilation, 2 columns dilation, D]: A^T m A of products [4, 4, *shape, D]."""
        lines = []
        for line in _added(products):
            halves = (half.reshape(self.batch, self.rows, 1, self.dilation, self.columns, 1, self.dilation, -1)
                      for half in _added(line))  # fmt: skip
            lines.append(jnp.concatenate(list(halves), axis=5))
        whole = jnp.concatenate(lines, axis=2)
        return whole.reshape(self.batch, 2 * self.rows * self.dilation, -1, whole.shape[-1])


def _added(m):
    """A^T m over the first axis."""
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]
