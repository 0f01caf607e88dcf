"""A DRN trunk with a main and an auxiliary head (paper section 3; released model files)."""

from typing import NamedTuple

import jax
from flax import linen as nn

from dakd_jax.models import resizing
from dakd_jax.models.backbones.drn import DRN, OUTPUT_STRIDE
from dakd_jax.models.precision import in_dtype_of_kernel, widened


class Heads(NamedTuple):
    """What a segmenter gives: logits [B, H/8, W/8, classes] of both heads and the features under the auxiliary one."""

    main: jax.Array
    auxiliary: jax.Array
    features: jax.Array


class Segmenter(nn.Module):
    """Normalised pictures [B, H, W, 3] to Heads at output stride 8.

    Attributes:
      arch, width: the trunk, see DRN.
      num_classes: 19 for Cityscapes.
      auxiliary_layer: the layer under the auxiliary head, 6 (default) or 7.
      normaliser: a key of preprocessing.NORMALISERS, what callers prepare pictures with: that of the trunk's weights.
    """

    arch: str
    num_classes: int
    width: float = 1.0
    auxiliary_layer: int = 6
    normaliser: str = "bgr_minus_mean"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Heads:
        layers = DRN(self.arch, self.width, name="base")(x, train=train)
        features = layers[self.auxiliary_layer]
        return Heads(
            main=self._head("seg1")(layers[-1]),
            auxiliary=self._head("seg2")(features),
            features=features,
        )

    def _head(self, name):
        return nn.Conv(
            self.num_classes,
            (1, 1),
            kernel_init=nn.initializers.normal(0.01),
            promote_dtype=in_dtype_of_kernel,
            name=name,
        )


def log_probabilities(logits: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Logits [B, h, w, C] at stride 8 to log-probabilities [B, height, width, C] at picture size.

    x8 bilinear with aligned corners, cropped to the picture, then log-softmax over classes, in float32 at least.
    """
    full = resizing.crop(resizing.upsample_aligned(widened(logits), OUTPUT_STRIDE), size)
    return jax.nn.log_softmax(full, axis=-1)
