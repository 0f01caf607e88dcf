"""Loss terms on strips of rows, one after another: nothing of the pictures' size is stored, and a strip fits a cache.

The gradient of a strip is computed along with its loss, so that a strip is gone when the next one comes. What is
computed is the mean over all pixels, from the means over each strip and of how many numbers they are.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from dakd_jax.objectives.context import Part

# Numbers of the log-probabilities of one head in a strip: with those of two heads of both networks and their gradients
# a few megabytes.
LARGEST = 2**18


def height(pictures: int, size: tuple[int, int], num_classes: int) -> int:
    """Rows of a strip: as many as LARGEST allows, better a little fewer where all strips have as many."""
    rows, width = size
    most = max(1, min(rows, LARGEST // (pictures * width * num_classes)))
    return next((count for count in range(most, most // 2, -1) if rows % count == 0), most)


def total(
    parts: Callable[..., Mapping[str, Part]], differentiated, rows: int, count: int
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(the sum of factor x value, {curve: value}) over all rows; the sum has its gradient with it.

    Args:
      parts: (differentiated, first row, how many) to the parts of these rows, each with a count. What else it looks at
        is a constant.
      differentiated: what the sum is to have a gradient of, a tree of floats.
      rows: of the pictures.
      count: of a strip.
    """
    fixed = jax.lax.stop_gradient(differentiated)
    dtype = jnp.result_type(*jax.tree.leaves(fixed))
    strips, rest = divmod(rows, count)
    starts = count * jnp.arange(strips)

    def counts(start, count):
        return {curve: jnp.asarray(part.count, dtype) for curve, part in parts(fixed, start, count).items()}

    counted = jax.tree.map(jnp.sum, jax.lax.map(lambda start: counts(start, count), starts))
    if rest:
        counted = jax.tree.map(jnp.add, counted, counts(strips * count, rest))

    def share(of, start, count):
        found = parts(of, start, count)
        shares = {
            curve: (part.value * (part.count / jnp.maximum(counted[curve], 1))).astype(dtype)
            for curve, part in found.items()
        }
        value = sum(part._replace(value=shares[curve]).weighted for curve, part in found.items())
        return value.astype(dtype), shares

    def added(sums, start, count):
        return jax.tree.map(jnp.add, sums, jax.value_and_grad(share, has_aux=True)(fixed, start, count))

    nothing = jnp.zeros((), dtype)
    sums = (nothing, dict.fromkeys(counted, nothing)), jax.tree.map(jnp.zeros_like, fixed)
    sums, _ = jax.lax.scan(lambda sums, start: (added(sums, start, count), None), sums, starts)
    (value, shares), gradient = added(sums, strips * count, rest) if rest else sums
    return _with_gradient(differentiated, value, gradient), shares


@jax.custom_vjp
def _with_gradient(of, value, gradient):
    """`value`, whose gradient by `of` is known."""
    return value


def _forward(of, value, gradient):
    return value, gradient


def _backward(gradient, cotangent):
    scaled = jax.tree.map(lambda one: cotangent * one, gradient)
    return scaled, jnp.zeros_like(cotangent), jax.tree.map(jnp.zeros_like, gradient)


_with_gradient.defvjp(_forward, _backward)
