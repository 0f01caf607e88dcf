"""The smallest segmenter, which compiles in a moment."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from dakd_jax.models import preprocessing
from dakd_jax.models.segmenter import Heads

CLASSES = 3


class OneLayer(nn.Module):
    """One convolution of stride 8 under both heads."""

    num_classes: int = CLASSES
    auxiliary_tap: str = "deep"

    @nn.compact
    def __call__(self, images, *, train, normaliser="", dtype=jnp.float32):
        x = preprocessing.rgb_unit(images, dtype)
        features = nn.tanh(nn.Conv(4, (8, 8), strides=8, padding="VALID")(x))
        main, auxiliary = (nn.Conv(self.num_classes, (1, 1), name=name)(features) for name in ("seg1", "seg2"))
        return Heads(main, auxiliary, {"deep": features}, main_stride=8, auxiliary_stride=8)


MODEL = OneLayer()


def variables(seed):
    """Random weights of MODEL."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: MODEL.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=True))["params"]
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)
    return {"params": params, "batch_stats": {}}
