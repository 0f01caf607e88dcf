"""The domain discriminator: which domain does a map of class probabilities come from?"""

import jax
from flax import linen as nn

from dakd_jax.models import convolution
from dakd_jax.models.convolution import initializers
from dakd_jax.models.precision import in_dtype_of_kernel

CHANNELS = (64, 128, 256, 512)
KERNEL, STRIDE, PADDING, SLOPE = 4, 2, 1, 0.2
MIN_SIZE = STRIDE ** (len(CHANNELS) + 1)  # below 32 pixels a side nothing is left after five halvings


class Discriminator(nn.Module):
    """Class probabilities [B, H, W, classes] to logits [B, H/32, W/32, 1]; positive means target.

    Five 4x4 stride-2 convolutions, leaky ReLU 0.2 between them, no normalisation (paper section 3).
    H and W are at least 32.
    """

    width: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, channels in enumerate(CHANNELS, start=1):
            x = self._conv(max(4, round(channels * self.width)), f"conv{i}")(x)
            x = nn.leaky_relu(x, SLOPE)
        return self._conv(1, "classifier")(x)

    def _conv(self, features, name):
        pad = (PADDING, PADDING)
        return nn.Conv(
            features,
            (KERNEL, KERNEL),
            strides=STRIDE,
            padding=(pad, pad),
            kernel_init=initializers.torch_uniform,
            promote_dtype=in_dtype_of_kernel,
            conv_general_dilated=convolution.conv_general_dilated,
            name=name,
        )
