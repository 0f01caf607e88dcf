"""From a network's log-probabilities at its own size to answers at the size of the picture.

Up to a limit they come from the very computation that evaluation makes under the protocol 'native'; above it from the
same formula in tiles, so that no picture needs memory for all classes at each of its pixels. What is compiled for the
first is forgotten again, and the tiles are compiled once for all sizes.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.models import resizing

LABELS, CONFIDENCE, PROBABILITIES = "labels", "confidence", "probabilities"
MOST_VALUES = 2**26  # of all classes, held at once: 256 MB; 2048x1024 with 19 classes is below
TILE = (64, 512)  # rows and columns
_SIZES = 32  # for which programs are kept

Answers = dict[str, np.ndarray]


def answers(log_probabilities: jax.Array, size: tuple[int, int], what: Sequence[str]) -> Answers:
    """What a network says of a picture.

    Args:
      log_probabilities: float32 [h, w, C].
      size: (height, width) of the answers.
      what: of LABELS, the most likely class, uint8 [height, width]; CONFIDENCE, the largest probability, 0 to 255,
        uint8 [height, width]; PROBABILITIES, float32 [height, width, C].
    """
    what = tuple(what)
    if size[0] * size[1] * log_probabilities.shape[-1] <= MOST_VALUES:
        return {name: np.asarray(found) for name, found in _whole(tuple(size), what)(log_probabilities).items()}
    return _in_tiles(log_probabilities, size, what)


def _of(values: jax.Array, what: tuple[str, ...]) -> dict[str, jax.Array]:
    """Of log-probabilities [..., C] at full size, which need not add up to 1 after the resizing."""
    make: dict[str, Callable[[], jax.Array]] = {
        LABELS: lambda: jnp.argmax(values, axis=-1).astype(jnp.uint8),
        CONFIDENCE: lambda: jnp.rint(255 * jnp.max(jax.nn.softmax(values, axis=-1), axis=-1)).astype(jnp.uint8),
        PROBABILITIES: lambda: jax.nn.softmax(values, axis=-1),
    }
    return {name: make[name]() for name in what}


@functools.lru_cache(maxsize=_SIZES)
def _whole(size: tuple[int, int], what: tuple[str, ...]):
    """A program for one size; jax forgets it with the function."""
    return jax.jit(lambda values: _of(resizing.resize_half_pixel(values[None], size)[0], what))


def _in_tiles(values: jax.Array, size: tuple[int, int], what: tuple[str, ...]) -> Answers:
    made: Answers = {}
    for rows, of_rows in _steps(values.shape[0], size[0], TILE[0]):
        for columns, of_columns in _steps(values.shape[1], size[1], TILE[1]):
            for name, found in _tile(values, of_rows, of_columns, what=what).items():
                if name not in made:
                    made[name] = np.empty((*size, *found.shape[2:]), found.dtype)
                place = made[name][rows, columns]
                place[...] = np.asarray(found)[: place.shape[0], : place.shape[1]]
    return made


def _steps(size: int, out_size: int, step: int) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """(which part of a side, the samples on both sides of each of its pixels and the share of the second).

    Bilinear with half-pixel centres; each part has `step` pixels, the last one is filled up with its last pixel.
    """
    position = np.clip((np.arange(out_size) + 0.5) * size / out_size - 0.5, 0, size - 1)
    first = np.floor(position).astype(np.int32)
    second, share = np.minimum(first + 1, size - 1), (position - first).astype(np.float32)
    for start in range(0, out_size, step):
        index = np.minimum(np.arange(start, start + step), out_size - 1)
        yield slice(start, start + step), (first[index], second[index], share[index])


@functools.partial(jax.jit, static_argnames=("what",))
def _tile(values, rows, columns, *, what):
    """Answers of TILE's size; columns first, as resize_half_pixel does it."""
    above, below, down = rows
    left, right, along = columns
    along, down = along[:, None], down[:, None, None]
    of_above, of_below = (values[row][:, left] * (1 - along) + values[row][:, right] * along for row in (above, below))
    return _of(of_above * (1 - down) + of_below * down, what)
