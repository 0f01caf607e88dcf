"""How the gradient of each loss term lies to that of the source segmentation.

A step's gradient is linear in the weights of its terms: the step's own gradient under one weight at a time is that
term's gradient, with nothing subtracted.
"""

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dakd_jax.studies.attribution import SEGMENTATION, Alignment
from dakd_jax.training.step.options import LossWeights, StepModels, StepOptions
from dakd_jax.training.step.train_step import losses_and_gradients
from dakd_jax.training.train_state import TrainState


def single_terms(weights: LossWeights, options: StepOptions) -> dict[str, LossWeights]:
    """Term -> the weights under which nothing but it is left, with the weight that it has.

    'segmentation', the adaptation methods ('adversarial'), target terms, and of distillation 'source KL', 'source MSE',
    'source quasi CE', and the same on target; a term that counts nothing in these settings is left out. Both heads of a
    term are in it.
    """
    none = weights.replace(
        terms=dict.fromkeys(weights.terms, 0.0),
        methods={name: dict.fromkeys(of, 0.0) for name, of in weights.methods.items()},
        distil_source=0.0,
        distil_target=0.0,
        watch_inactive=False,
    )
    found = {}
    for term, _ in options.terms:
        if term.group != "distillation" and (weight := weights.terms[term.name]):
            title = SEGMENTATION if term.name == SEGMENTATION else term.title
            found[title] = none.replace(terms=none.terms | {term.name: weight})
    for method in options.methods:
        if any((own := weights.methods.get(method.NAME, {})).values()):
            found[method.NAME.replace("_", " ")] = none.replace(methods=none.methods | {method.NAME: own})
    for domain in ("source", "target"):
        field = f"distil_{domain}"
        for term, values in options.terms:
            weight = weights.terms[term.name] if term.group == "distillation" and term.counts(dict(values)) else 0
            if weight and (of_domain := getattr(weights, field)):
                only = {"terms": none.terms | {term.name: weight}, field: of_domain}
                found[f"{domain} {term.title}"] = none.replace(**only)
    return {SEGMENTATION: found.pop(SEGMENTATION, none)} | found


@functools.partial(jax.jit, static_argnames=("models", "options"))
def _gradient(state, teacher, batch, weights, *, models, options):
    return losses_and_gradients(state, teacher, batch, weights, models=models, options=options).trained["params"]


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
        gradient = functools.partial(_gradient, state, teacher, batch, models=models, options=options)
        reference = gradient(terms[SEGMENTATION])
        found = [cosine_and_norm(reference, reference)]
        found += [cosine_and_norm(reference, gradient(one)) for t, one in terms.items() if t != SEGMENTATION]
        columns.append(jax.device_get(found))
    if not columns:
        raise ValueError("gradients are compared on at least one batch")
    cosine, norm = np.array(columns, np.float64).transpose(2, 1, 0)
    return Alignment(tuple(terms), cosine, norm)
