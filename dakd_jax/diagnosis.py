"""Where in a step the first value that is not finite comes up, followed layer by layer, outside of jit."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp

from dakd_jax.models.precision import computing_params
from dakd_jax.models.preprocessing import NORMALISERS
from dakd_jax.models.segmenter import log_probabilities
from dakd_jax.named_leaves import named_leaves
from dakd_jax.train_state import TrainState
from dakd_jax.train_step import LossWeights, StepModels, StepOptions, losses_and_gradients


def first_nonfinite(
    state: TrainState,
    teacher: dict | None,
    batch: dict,
    weights: LossWeights,
    *,
    models: StepModels,
    options: StepOptions,
) -> list[str]:
    """Places with values that are not finite, the one where they begin first; [] when there are none.

    Looked at in turn: the state, the layers of the student, the discriminators and the teacher (on source, then on
    target), the loss terms, the gradients (from the heads down, as they flow). The search ends with the first of these
    that has any. All networks compute in the precision of the options, as in the step.
    """
    looks = (
        _in_state(state),
        _in_layers(state, teacher, batch, models, options),
        _in_losses_and_gradients(state, teacher, batch, weights, models, options),
    )
    for look in looks:
        if found := list(look):
            return found
    return []


def _bad(array) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating) and not bool(jnp.isfinite(array).all())


def _in_state(state: TrainState) -> Iterator[str]:
    for name, leaf in named_leaves(state).items():
        if _bad(leaf):
            yield f"state before the step: {name}"


def _in_layers(state, teacher, batch, models, options) -> Iterator[str]:
    student = {"params": state.params, "batch_stats": state.batch_stats}
    for domain in ("source", "target"):
        images = batch.get(f"{domain}_image")
        if images is None:
            continue
        heads, bad = _segmenter_layers(models.segmenter, student, images, True, options)
        yield from (f"student on {domain}: {layer}" for layer in bad)
        for level, params in state.discriminators.items():
            log_probs = log_probabilities(getattr(heads, level), images.shape[1:3])
            bad = _discriminator_layers(models.discriminator, params, log_probs, options)
            yield from (f"discriminator_{level} on {domain}: {layer}" for layer in bad)
        if models.teacher is not None:
            train = options.teacher_statistics == "batch"
            _, bad = _segmenter_layers(models.teacher, teacher, images, train, options)
            yield from (f"teacher on {domain}: {layer}" for layer in bad)


def _segmenter_layers(model, variables, images, train: bool, options):
    """(heads, names of the layers with a bad output, in the order in which they are computed)."""
    params = variables["params"]
    x = NORMALISERS[model.normaliser](jnp.asarray(images), jax.tree.leaves(params)[0].dtype)
    variables = variables | {"params": computing_params(params, options.precision)}
    heads, captured = model.apply(
        variables, x, train=train, capture_intermediates=True, mutable=["batch_stats", "intermediates"]
    )
    return heads, list(_in_order(captured["intermediates"], ""))


def _discriminator_layers(model, params, log_probs, options) -> list[str]:
    variables = {"params": computing_params(params, options.precision)}
    _, captured = model.apply(variables, jnp.exp(log_probs), capture_intermediates=True, mutable=["intermediates"])
    return list(_in_order(captured["intermediates"], ""))


def _in_order(tree: dict, prefix: str) -> Iterator[str]:
    """Bad outputs of a tree of intermediates; a module's own output comes after those of its parts."""
    for name, value in tree.items():
        if name != "__call__":
            yield from _in_order(value, f"{prefix}{name}.")
    if any(_bad(leaf) for leaf in jax.tree.leaves(tree.get("__call__", ()))):
        yield prefix.rstrip(".") or "output"


def _in_losses_and_gradients(state, teacher, batch, weights, models, options) -> Iterator[str]:
    grads, discriminator_grads, _, losses = losses_and_gradients(
        state, teacher, batch, weights, models=models, options=options
    )
    bad = [name for name, value in losses.items() if _bad(value)]
    if bad:
        yield from bad
        return
    for owner, tree in {"student": grads, **(discriminator_grads or {})}.items():
        for name, leaf in reversed(named_leaves(tree).items()):
            if _bad(leaf):
                yield f"gradient of {owner}: {name}"
