"""What a segmenter says of pictures: log-probabilities at their size, or the logits from which they come."""

import flax.struct
import jax

from dakd_jax.models import segmenter
from dakd_jax.models.precision import widened
from dakd_jax.models.segmenter import Heads


class Outputs(flax.struct.PyTreeNode):
    """What a segmenter says of the pictures of a pass.

    Attributes:
      log_probs: {'main' | 'auxiliary': float [B, H, W, C]}, log-probabilities at the pictures' size.
      features: {name: [B, h, w, channels]} of its backbone.
      tap: name of the feature under the auxiliary head.
    """

    log_probs: dict[str, jax.Array]
    features: dict[str, jax.Array]
    tap: str = flax.struct.field(pytree_node=False)

    def expanded(self) -> "Outputs":
        """Themselves."""
        return self

    def rows(self, start, count: int) -> "Outputs":
        """Of `count` rows of the pictures from `start` on, without features."""
        return self.replace(log_probs=jax.tree.map(lambda of: rows_of(of, start, count), self.log_probs), features={})


class Unexpanded(flax.struct.PyTreeNode):
    """Outputs before their log-probabilities are computed from the logits: a fraction of the memory.

    Attributes:
      logits: {'main' | 'auxiliary': [B, h, w, C]}, each at a stride of its own.
      features, tap: of the Outputs.
      strides: (level, stride) of the logits.
      size: (height, width) of the pictures.
    """

    logits: dict[str, jax.Array]
    features: dict[str, jax.Array]
    strides: tuple[tuple[str, int], ...] = flax.struct.field(pytree_node=False)
    size: tuple[int, int] = flax.struct.field(pytree_node=False)
    tap: str = flax.struct.field(pytree_node=False)

    @classmethod
    def of(cls, heads: Heads, size: tuple[int, int], tap: str) -> "Unexpanded":
        """What a segmenter gave of pictures of (height, width)."""
        strides = (("auxiliary", heads.auxiliary_stride), ("main", heads.main_stride))
        return cls({"auxiliary": heads.auxiliary, "main": heads.main}, heads.features, strides, tuple(size), tap)

    def expanded(self) -> Outputs:
        """The Outputs, in float32 at least."""
        log_probs = {
            level: segmenter.log_probabilities(self.logits[level], self.size, stride) for level, stride in self.strides
        }
        return Outputs(log_probs, jax.tree.map(widened, self.features), self.tap)

    def rows(self, start, count: int) -> Outputs:
        """Of `count` rows of the pictures from `start` on, without features."""
        log_probs = {
            level: segmenter.log_probabilities_of_rows(self.logits[level], self.size, stride, start, count)
            for level, stride in self.strides
        }
        return Outputs(log_probs, {}, self.tap)


def rows_of(array: jax.Array, start, count: int) -> jax.Array:
    """[B, count, ...] of [B, H, ...] from row `start` on."""
    return jax.lax.dynamic_slice_in_dim(array, start, count, axis=1)
