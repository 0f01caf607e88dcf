"""How the gradient of each loss term lies to that of the source segmentation.

A step's gradient is linear in the weights of its terms, and exactly 0 from labels that are all void: the step's own
gradient under one weight at a time, without source labels, is that term's gradient with nothing subtracted.
"""

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dakd_jax.objectives.segmentation import IGNORE_LABEL
from dakd_jax.studies.attribution import SEGMENTATION, Alignment
from dakd_jax.training.train_state import TrainState
from dakd_jax.training.train_step import LossWeights, StepModels, StepOptions, losses_and_gradients

ADVERSARIAL = "adversarial"
DISTILLATION = {"kl": "KL", "mse": "MSE", "ce": "quasi CE"}  # LossWeights field -> what people call it


def single_terms(weights: LossWeights, options: StepOptions) -> dict[str, LossWeights]:
    """Term -> the weights under which nothing but it is left, with the weight that it has.

    'segmentation', 'adversarial', 'source KL', 'source MSE', 'source quasi CE', and the same on target; a term that
    counts nothing in these settings is left out. Both heads of a term are in it.
    """
    none = weights.replace(
        adversarial_auxiliary=0.0, adversarial_main=0.0, kl=0.0, mse=0.0, ce=0.0,
        distil_source=0.0, distil_target=0.0, watch_inactive=False,
    )  # fmt: skip
    terms = {SEGMENTATION: none}
    adversarial = {name: getattr(weights, name) for name in ("adversarial_auxiliary", "adversarial_main")}
    if options.adapt and any(adversarial.values()):
        terms[ADVERSARIAL] = none.replace(**adversarial)
    for domain in ("source", "target"):
        for term, title in DISTILLATION.items():
            values = {f"distil_{domain}": getattr(weights, f"distil_{domain}"), term: getattr(weights, term)}
            off = term == "kl" and options.kl_reduction == "off"
            if all(values.values()) and not off:
                terms[f"{domain} {title}"] = none.replace(**values)
    return terms


@functools.partial(jax.jit, static_argnames=("models", "options"))
def _gradient(state, teacher, batch, weights, *, models, options):
    return losses_and_gradients(state, teacher, batch, weights, models=models, options=options)[0]


@jax.jit
def cosine_and_norm(reference, gradient) -> tuple[jax.Array, jax.Array]:
    """(cosine of the angle of two trees, NaN where one is 0; global norm of the second)."""
    product, norm = optax.tree.vdot(reference, gradient), optax.tree.norm(gradient)
    for length in (optax.tree.norm(reference), norm):
        product = product / jnp.where(length > 0, length, jnp.nan)
    return product, norm


def align(
    state: TrainState,
    teacher: dict | None,
    batches: Iterable[dict],
    weights: LossWeights,
    *,
    models: StepModels,
    options: StepOptions,
) -> Alignment:
    """Looks at the gradients of a state, as train_step would take them, on each of some batches.

    Args: as train_step.train_step; the state is not used up.

    Raises:
      ValueError: there is no batch.
    """
    terms, columns = single_terms(weights, options), []
    state, teacher = jax.device_put((state, teacher))
    for batch in map(jax.device_put, batches):
        void = {**batch, "source_label": np.full(np.shape(batch["source_label"]), IGNORE_LABEL, np.uint8)}
        gradient = functools.partial(_gradient, state, teacher, models=models, options=options)
        reference = gradient(batch, terms[SEGMENTATION])
        found = [cosine_and_norm(reference, reference)]
        found += [cosine_and_norm(reference, gradient(void, one)) for t, one in terms.items() if t != SEGMENTATION]
        columns.append(jax.device_get(found))
    if not columns:
        raise ValueError("gradients are compared on at least one batch")
    cosine, norm = np.array(columns, np.float64).transpose(2, 1, 0)
    return Alignment(tuple(terms), cosine, norm)
