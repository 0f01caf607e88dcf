"""Supervised cross entropy on the labelled domain, at both heads (paper section 3.1)."""

from dakd_jax.objectives.context import LossContext, Part
from dakd_jax.objectives.cross_entropy import cross_entropy
from dakd_jax.objectives.terms import LossTerm, register


def segmentation(c: LossContext) -> dict[str, Part]:
    """Cross entropy of the main head, and that of the auxiliary one times its weight."""
    return {
        "seg_main": Part(cross_entropy(c.student.log_probs["main"], c.labels)),
        "seg_auxiliary": Part(cross_entropy(c.student.log_probs["auxiliary"], c.labels), c.auxiliary_weight),
    }


register(LossTerm("segmentation", "source", segmentation, 1.0, "segmentation", ("seg_main", "seg_auxiliary")))
