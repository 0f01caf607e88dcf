"""Supervised cross entropy on the labelled domain, at both heads (paper section 3.1)."""

from dakd_jax.objectives.context import LossContext, Part
from dakd_jax.objectives.cross_entropy import cross_entropy, labelled
from dakd_jax.objectives.terms import LossTerm, register


def segmentation(c: LossContext) -> dict[str, Part]:
    """Cross entropy of the main head, and that of the auxiliary one times its weight."""
    main, auxiliary = (cross_entropy(c.student.log_probs[level], c.labels) for level in ("main", "auxiliary"))
    count = labelled(c.labels)
    return {"seg_main": Part(main, None, count), "seg_auxiliary": Part(auxiliary, c.auxiliary_weight, count)}


register(
    LossTerm(
        "segmentation", "source", segmentation, 1.0, "segmentation", ("seg_main", "seg_auxiliary"),
        by_rows=lambda options: True,
    )
)  # fmt: skip
