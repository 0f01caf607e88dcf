"""What the student copies from the teacher (paper section 3.2): KL, MSE and quasi-teacher cross entropy.

The teacher's arrays get no gradient; callers stop it where the teacher is run.
"""

import jax
import jax.numpy as jnp

from dakd_jax.objectives.segmentation import IGNORE_LABEL, pick

KL_REDUCTIONS = ("mean", "pixel_mean", "batch_mean", "sum", "off")


def kl_divergence(student: jax.Array, teacher: jax.Array, *, reduction: str = "mean") -> jax.Array:
    """KL(teacher || student) of log-probabilities [B, H, W, C].

    Args:
      reduction: 'mean' over all B H W C entries (what lambda_KL = 0.1 was chosen for), 'pixel_mean' (sum over
        classes, mean over pixels: C times as large), 'batch_mean' (sum over a picture), 'sum', or 'off': 0, which
        is what the released code's own call amounted to.
    """
    if reduction == "off":
        return jnp.zeros((), student.dtype)
    total = jnp.sum(jnp.exp(teacher) * (teacher - student))
    batch, height, width, classes = student.shape
    divisor = {
        "mean": batch * height * width * classes,
        "pixel_mean": batch * height * width,
        "batch_mean": batch,
        "sum": 1,
    }[reduction]
    return total / divisor


def mean_squared_error(student: jax.Array, teacher: jax.Array) -> jax.Array:
    """Mean over all entries of the squared difference; on the auxiliary head's log-probabilities, or on features."""
    return jnp.mean(jnp.square(student - teacher))


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
