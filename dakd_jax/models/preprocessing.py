"""From uint8 pictures to what a network expects, inside the jitted step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.basics.plugs import Registry

# Mean of the Caffe ImageNet models in blue, green, red order (released code).
BGR_MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)


def bgr_minus_mean(images: jax.Array, dtype=jnp.float32) -> jax.Array:
    """RGB uint8 [B, H, W, 3] to BGR minus the Caffe mean, values about -123 to 151.

    Subtracted in float32 whatever `dtype` is, as the reference does: a float64 run then sees the same numbers.
    """
    return (images[..., ::-1].astype(jnp.float32) - BGR_MEAN).astype(dtype)


# Of ImageNet's training pictures, RGB, values 0 to 1: what torchvision's and most other trunks were trained with.
RGB_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
RGB_STD = np.array([0.229, 0.224, 0.225], np.float32)


def rgb_mean_std(images: jax.Array, dtype=jnp.float32) -> jax.Array:
    """RGB uint8 [B, H, W, 3] to zero mean and unit variance over ImageNet, values about -2.1 to 2.6."""
    return ((images.astype(jnp.float32) / 255 - RGB_MEAN) / RGB_STD).astype(dtype)


def rgb_unit(images: jax.Array, dtype=jnp.float32) -> jax.Array:
    """RGB uint8 [B, H, W, 3] to values 0 to 1 without a mean: the input of the released evaluation script."""
    return images.astype(dtype) / 255


def rgb_signed(images: jax.Array, dtype=jnp.float32) -> jax.Array:
    """RGB uint8 [B, H, W, 3] to (x - 127) / 128, values -0.99 to 1: what EfficientNet-Lite was trained on."""
    return ((images.astype(jnp.float32) - 127) / 128).astype(dtype)


# By name; a backbone may register its own beside it. Each takes (images uint8 [B, H, W, 3] RGB, dtype).
NORMALISERS: Registry[Callable[..., jax.Array]] = Registry("normaliser", "dakd_jax.models.backbones")
NORMALISERS.register("bgr_minus_mean", bgr_minus_mean)
NORMALISERS.register("rgb_mean_std", rgb_mean_std)
NORMALISERS.register("rgb_unit", rgb_unit)
NORMALISERS.register("rgb_signed", rgb_signed)
_OF_EVALUATION = ("rgb_unit",)


def of_trunks() -> tuple[str, ...]:
    """Names of the normalisers that a trunk may have been trained with."""
    return tuple(name for name in NORMALISERS if name not in _OF_EVALUATION)
