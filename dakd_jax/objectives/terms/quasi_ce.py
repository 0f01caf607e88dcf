"""Cross entropy to the classes that the teacher finds most likely (paper section 3.2)."""

import math

import jax
import jax.numpy as jnp

from dakd_jax.objectives.context import LossContext, Part
from dakd_jax.objectives.cross_entropy import IGNORE_LABEL, pick
from dakd_jax.objectives.terms import LossTerm, register


def quasi_teacher_cross_entropy(student: jax.Array, teacher: jax.Array, known: jax.Array | None = None) -> jax.Array:
    """Cross entropy to the teacher's most likely class, at every pixel, void included.

    Args:
      student, teacher: log-probabilities [B, H, W, C] of the main heads.
      known: [B, H, W] integers or None; where not 255, this class takes the place of the teacher's.
    """
    labels = jnp.argmax(teacher, axis=-1)
    if known is not None:
        labels = jnp.where(known == IGNORE_LABEL, labels, known)
    return -jnp.mean(pick(student, labels))


def quasi_ce(c: LossContext) -> dict[str, Part]:
    """Of the main heads; what is known of the target (data.class_mix) takes the place of the teacher's classes."""
    known = c.labels if c.domain == "target" else None
    student, teacher = c.student.log_probs["main"], c.teacher.log_probs["main"]
    value = quasi_teacher_cross_entropy(student, teacher, known)
    return {"quasi_ce_main": Part(value, count=math.prod(student.shape[:3]))}


register(LossTerm("ce", "distillation", quasi_ce, 1.0, "quasi CE", ("quasi_ce_main",), by_rows=lambda options: True))
