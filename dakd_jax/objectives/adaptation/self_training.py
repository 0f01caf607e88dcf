"""Self-training on mixed pictures: DACS (Tranheden et al., WACV 2021) with ClassMix (Olsson et al., WACV 2021).

A moving average of the student labels the clean target pictures. Half of the classes of a source picture are pasted
onto them, with their labels, the mixture is jittered in its colours and blurred, and the student learns its labels.
The data makes the mixtures (data_pipelines/augmentation/class_mix.py).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from dakd_jax.objectives.adaptation import Method, Tools, register
from dakd_jax.objectives.context import LEVELS, LossContext, Option, Part
from dakd_jax.objectives.cross_entropy import IGNORE_LABEL, pick

MIXED = "mixed"


def pseudo_labels(log_probs: jax.Array, threshold: float) -> tuple[jax.Array, jax.Array]:
    """What a teacher says of target pictures.

    Args:
      log_probs: [B, H, W, C].

    Returns:
      uint8 [B, H, W], the most likely classes; and the weight of all of them: the share of the batch's pixels whose
      class is at least as likely as `threshold` (section 3.2 and the released code).
    """
    sure = jnp.max(log_probs, axis=-1) >= jnp.log(threshold)
    return jnp.argmax(log_probs, axis=-1).astype(jnp.uint8), jnp.mean(sure.astype(jnp.float32))


def weighted_cross_entropy(log_probs: jax.Array, labels: jax.Array, weights: jax.Array) -> jax.Array:
    """Mean over all pixels of -weight log p(label); log_probs [B, H, W, C], labels and weights [B, H, W]."""
    return -jnp.mean(weights * pick(log_probs, labels))


def momentum_at(step: jax.Array, momentum: float) -> jax.Array:
    """How much of the average stays: min(1 - 1 / (step + 1), momentum); step 0 copies the student."""
    return jnp.minimum(1 - 1 / (step.astype(jnp.float32) + 1), momentum)


@register
@dataclasses.dataclass(frozen=True)
class SelfTraining(Method):
    """State: {'params', 'batch_stats'} of the moving average."""

    momentum: float = 0.99
    threshold: float = 0.968
    statistics: str = "batch"
    colour_jitter: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    jitter_probability: float = 0.8
    blur: tuple[float, float] = (0.15, 1.15)
    blur_probability: float = 0.5

    NAME = "self_training"
    PASSES = (MIXED,)
    BY_ROWS = True
    OPTIONS = {
        "weight": Option(1.0, "of the loss on mixed pictures", weight=True),
        "momentum": Option(0.99, "of the moving average, at most"),
        "threshold": Option(0.968, "probability from which on a pseudo-label counts as sure"),
        "statistics": Option("batch", "batch norm of the average when it labels", ("batch", "running")),
        "colour_jitter": Option((0.25, 0.25, 0.25, 0.25), "of mixtures: brightness, contrast, saturation, hue"),
        "jitter_probability": Option(0.8, "that a mixture is jittered"),
        "blur": Option((0.15, 1.15), "range of the Gaussian's sigma, pixels"),
        "blur_probability": Option(0.5, "that a mixture is blurred"),
    }
    CURVES = {"self-training": ("mixed_", "sure_")}

    def data(self) -> dict[str, Any]:
        names = ("colour_jitter", "jitter_probability", "blur", "blur_probability")
        return {MIXED: {name: getattr(self, name) for name in names}}

    def init(self, key, student, model) -> dict:
        return student

    def prepare(self, state, batch: dict, tools: Tools) -> dict:
        """Completes the mixtures' labels: the source's where it was pasted, elsewhere what the average says."""
        outputs, _ = tools.forward(state, batch["target_image"], self.statistics)
        labels, weight = pseudo_labels(outputs.log_probs["main"], self.threshold)
        pasted = batch["mixed_label"] != IGNORE_LABEL
        return batch | {
            "mixed_label": jnp.where(pasted, batch["mixed_label"], labels),
            "mixed_weight": jnp.where(pasted, 1.0, weight),
            "sure_share": weight,
        }

    def terms(self, state, context: LossContext, weights) -> dict[str, Part]:
        weight, pixel_weights = weights["weight"], context.cut(context.batch["mixed_weight"])
        main, auxiliary = (
            weighted_cross_entropy(context.student.log_probs[level], context.labels, pixel_weights)
            for level in reversed(LEVELS)
        )
        return {
            "mixed_main": Part(main, weight, context.labels.size),
            "mixed_auxiliary": Part(auxiliary, weight * context.auxiliary_weight, context.labels.size),
        }

    def update(self, state, outputs, batch, tools: Tools) -> tuple[dict, dict]:
        stays = momentum_at(tools.step, self.momentum)

        def blend(old, new):
            mixed = stays * old + (1 - stays) * new
            return mixed.astype(old.dtype) if jnp.issubdtype(old.dtype, jnp.floating) else new

        return jax.tree.map(blend, state, tools.student), {"loss/mixed/sure_share": batch["sure_share"]}
