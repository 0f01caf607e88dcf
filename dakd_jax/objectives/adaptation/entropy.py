"""Entropy minimisation of the target predictions, direct form (MinEnt; Vu et al., "ADVENT", CVPR 2019, section 3.1)."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from dakd_jax.objectives.adaptation import Method, register
from dakd_jax.objectives.context import LEVELS, LossContext, Option, Part


def normalised_entropy(log_probs: jax.Array) -> jax.Array:
    """Mean over pixels of the entropy of log-probabilities [B, H, W, C] over log C: 0 certain, 1 uniform (eq. 1, 2)."""
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
    return jnp.mean(entropy) / math.log(log_probs.shape[-1])


@register
@dataclasses.dataclass(frozen=True)
class Entropy(Method):
    """Without a state."""

    NAME = "entropy"
    BY_ROWS = True
    OPTIONS = {
        "main": Option(1e-3, "weight at the main head", weight=True),
        "auxiliary": Option(2e-4, "weight at the auxiliary head", weight=True),
    }
    CURVES = {"entropy": ("entropy_",)}

    def terms(self, state, context: LossContext, weights) -> dict[str, Part]:
        found = {}
        for level in LEVELS:
            log_probs = context.student.log_probs[level]
            pixels = math.prod(log_probs.shape[:3])
            found[f"entropy_{level}"] = Part(normalised_entropy(log_probs), weights[level], pixels)
        return found
