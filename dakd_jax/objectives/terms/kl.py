"""KL divergence of the student's predictions from the teacher's (paper section 3.2)."""

import jax
import jax.numpy as jnp

from dakd_jax.objectives.context import LossContext, Option, Part
from dakd_jax.objectives.terms import LossTerm, register

REDUCTIONS = ("mean", "pixel_mean", "batch_mean", "sum", "off")


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


def kl(c: LossContext) -> dict[str, Part]:
    """At the main head, and at the auxiliary one times its weight."""
    reduction = c.options["reduction"]
    main, auxiliary = (
        kl_divergence(c.student.log_probs[level], c.teacher.log_probs[level], reduction=reduction)
        for level in ("main", "auxiliary")
    )
    entries, classes = c.student.log_probs["main"].size, c.student.log_probs["main"].shape[-1]
    count = {"mean": entries, "pixel_mean": entries // classes}.get(reduction)
    return {"kl_main": Part(main, None, count), "kl_auxiliary": Part(auxiliary, c.auxiliary_weight, count)}


register(
    LossTerm(
        "kl", "distillation", kl, 0.1, "KL", ("kl_main", "kl_auxiliary"),
        options={"reduction": Option("mean", "over entries, pixels (x classes), pictures, or 'off'", REDUCTIONS)},
        counts=lambda options: options["reduction"] != "off",
        by_rows=lambda options: options["reduction"] in ("mean", "pixel_mean"),
    )
)  # fmt: skip
