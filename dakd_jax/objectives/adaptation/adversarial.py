"""Adversarial alignment of the outputs at one or two levels (paper section 3.1).

A discriminator per level learns to tell source from target predictions; the segmenter learns to make its target
predictions look like source ones.
"""

import jax
import jax.numpy as jnp

from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.precision import computing_params, widened
from dakd_jax.objectives import judges

LEVELS = {"multi": ("auxiliary", "main"), "single": ("main",)}


def generator_terms(
    model: Discriminator, params: dict, log_probs: dict, *, kind: str, precision: str = "float32"
) -> dict:
    """Per level, how far the discriminator is from taking target predictions for source ones.

    Args:
      params: {level: discriminator parameters}; constants here.
      log_probs: {level: [B, H, W, C]} of the segmenter on target pictures.
      kind: a key of losses.adversarial.JUDGES.
      precision: a key of models.precision.PRECISIONS, of the discriminators.

    Returns:
      {level: scalar}, unweighted.
    """
    judge = judges.JUDGES[kind]
    return {level: judge(_logits(model, params[level], log_probs[level], precision), judges.SOURCE) for level in params}


def discriminator_terms(
    model: Discriminator, params: dict, source: dict, target: dict, *, kind: str, precision: str = "float32"
) -> dict:
    """Per level and domain, half the loss of telling the domains apart; predictions are constants.

    Args:
      params: {level: discriminator parameters}, differentiated.
      source, target: {level: log-probabilities [B, H, W, C]}.

    Returns:
      {"source_<level>" | "target_<level>": scalar}, each already halved.
    """
    judge = judges.JUDGES[kind]
    terms = {}
    for name, log_probs, domain in (("source", source, judges.SOURCE), ("target", target, judges.TARGET)):
        for level in params:
            seen = jax.lax.stop_gradient(log_probs[level])
            terms[f"{name}_{level}"] = 0.5 * judge(_logits(model, params[level], seen, precision), domain)
    return terms


def _logits(model, params, log_probs, precision):
    return widened(model.apply({"params": computing_params(params, precision)}, jnp.exp(log_probs)))
