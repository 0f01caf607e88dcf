"""What is exported: from a picture to labels, with the normaliser, folded batch norm, upsampling and argmax inside."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dakd_jax.deploy.export.folding import folded
from dakd_jax.models import resizing
from dakd_jax.models.segmenter import Segmenter, forward

LABELS, PROBABILITIES, LOGITS = "labels", "probabilities", "logits"  # names of outputs
INPUT = "picture"
LEAST_SIDE = 32  # pixels, of a size that is left open


@dataclasses.dataclass(frozen=True)
class NetworkProgram:
    """A network as it is exported; its input is uint8 [1, height, width, 3] RGB.

    Attributes:
      model, variables: the network and its weights, numpy arrays.
      size: (height, width), None for any.
      outputs: LABELS, uint8 [1, height, width], and perhaps PROBABILITIES, float32 [1, height, width, classes]; LOGITS,
        those of the network at its stride, to measure what comes after them.
    """

    model: Segmenter
    variables: dict
    size: tuple[int, int] | None
    outputs: tuple[str, ...] = (LABELS,)

    @property
    def shape(self) -> jax.ShapeDtypeStruct:
        """Of the input, with symbols for an open size."""
        height, width = self.size or jax.export.symbolic_shape(
            "h, w", constraints=[f"{side} >= {LEAST_SIDE}" for side in "hw"]
        )
        return jax.ShapeDtypeStruct((1, height, width, 3), jnp.uint8)

    @functools.cached_property
    def stride(self) -> int:
        """Of the logits, in pixels of the picture."""
        picture = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.uint8)
        return jax.eval_shape(lambda images: forward(self.model, self.variables, images)[0], picture).main_stride

    def logits(self, **how) -> Callable[[jax.Array], jax.Array]:
        """From a picture to the main head's logits, float32 [1, h, w, C] at the stride; arguments as of `folded`."""
        return folded(lambda images: forward(self.model, self.variables, images)[0].main, **how)

    def answers(self, **how) -> Callable[[jax.Array], dict[str, jax.Array]]:
        """From a picture to the outputs; arguments as of `folded`."""
        logits = self.logits(**how)

        def answer(images: jax.Array) -> dict[str, jax.Array]:
            small = logits(images)
            full = resizing.crop(resizing.upsample_aligned(small, self.stride), images.shape[1:3])
            found = {
                LABELS: jnp.argmax(full, axis=-1).astype(jnp.uint8),
                PROBABILITIES: jax.nn.softmax(full, axis=-1),
                LOGITS: small,
            }
            return {name: found[name] for name in self.outputs}

        return answer
