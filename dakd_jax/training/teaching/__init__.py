"""What the frozen teacher says of a pass's pictures: at a size of its own, and as the mean of several views.

This file is what happens inside the step. Answers that come with the batch instead, as arrays:

forms.py         what such an array holds, and the step's way from it to log-probabilities
asking.py        from the network, one picture at a time, kept or not
answer_files.py  where they are kept
answer_folder.py from a folder that any program has made; its files: answer_arrays.py
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp

from dakd_jax.objectives.outputs import Outputs, Unexpanded


@dataclasses.dataclass(frozen=True)
class Views:
    """What the teacher is shown of a picture; it says the mean of the probabilities.

    Attributes:
      mirror: also every view's mirror image.
      scales: of the picture, each a view.
    """

    mirror: bool = False
    scales: tuple[float, ...] = (1.0,)

    @property
    def plain(self) -> bool:
        """Whether it is the picture alone."""
        return not self.mirror and self.scales == (1.0,)


def answers(
    run: Callable[[jax.Array], Outputs | Unexpanded], pictures: jax.Array, size: tuple[int, int], views: Views
) -> Outputs | Unexpanded:
    """The teacher's outputs.

    Args:
      run: pictures uint8 [B, h, w, 3] to the Outputs of one pass.
      pictures: uint8 [B, h, w, 3] as the teacher sees them.
      size: (height, width) of the student's pictures.

    Returns:
      log-probabilities at `size`: of one pass where the picture has that size and there are no further views, else the
      logarithm of the mean probabilities, resized bilinearly (with antialiasing where they become smaller). Features
      are those of the first view.
    """
    if views.plain and pictures.shape[1:3] == tuple(size):
        return run(pictures)
    return combined([run(view) for view in pictures_of(pictures, views)], size, views)


def combined(found: Sequence[Outputs | Unexpanded], size: tuple[int, int], views: Views) -> Outputs:
    """What `answers` makes of the outputs on each of `pictures_of`, in that order, where one pass is not all."""
    found, said = [of.expanded() for of in found], []
    for number, outputs in enumerate(found):
        probabilities = jax.tree.map(jnp.exp, outputs.log_probs)
        if views.mirror and number % 2:
            probabilities = jax.tree.map(lambda of: of[:, :, ::-1], probabilities)
        said.append(jax.tree.map(lambda of: resized(of, size), probabilities))
    mean = jax.tree.map(lambda *of: sum(of) / len(of), *said)
    return found[0].replace(log_probs=jax.tree.map(logarithm, mean))


def pictures_of(pictures: jax.Array, views: Views) -> Iterator[jax.Array]:
    """The views uint8 [B, h', w', 3] in the order of their scales, each followed by its mirror image if that is one."""
    for scale in views.scales:
        view = _scaled(pictures, scale)
        yield view
        if views.mirror:
            yield view[:, :, ::-1]


def _scaled(pictures: jax.Array, scale: float) -> jax.Array:
    """uint8 [B, h, w, 3] by a factor, bicubic."""
    if scale == 1:
        return pictures
    height, width = (max(1, round(side * scale)) for side in pictures.shape[1:3])
    shape = (len(pictures), height, width, pictures.shape[3])
    resized = jax.image.resize(pictures.astype(jnp.float32), shape, "cubic")
    return jnp.clip(jnp.round(resized), 0, 255).astype(jnp.uint8)


def resized(probabilities: jax.Array, size: tuple[int, int]) -> jax.Array:
    """[B, h, w, C] at another (height, width), bilinear with half-pixel centres, antialiased where it is smaller."""
    if probabilities.shape[1:3] == tuple(size):
        return probabilities
    return jax.image.resize(probabilities, (len(probabilities), *size, probabilities.shape[3]), "linear")


def logarithm(probabilities: jax.Array) -> jax.Array:
    """The natural logarithm of what is >= 0; of 0 that of the smallest normal number."""
    return jnp.log(jnp.maximum(probabilities, jnp.finfo(probabilities.dtype).tiny))
