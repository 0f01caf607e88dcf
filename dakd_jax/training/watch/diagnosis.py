"""Where in a step the first value that is not finite comes up, followed layer by layer."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from dakd_jax.models import segmenter
from dakd_jax.objectives.context import SOURCE, TARGET, Outputs
from dakd_jax.training import teaching
from dakd_jax.training.step.options import LossWeights, StepModels, StepOptions
from dakd_jax.training.step.train_step import losses_and_gradients
from dakd_jax.training.teaching import forms
from dakd_jax.training.train_state import TrainState, named_leaves

# Outside of jit a network would compile each of its operations by itself. Inside, XLA must round what is of bfloat16
# between two operations, or an overflow shows in a later layer than the one that it comes from.
EVERY_ROUNDING = {"xla_allow_excess_precision": False}


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
    return (
        list(_in_state(state))
        or list(_in_layers(state, teacher, batch, models, options))
        or list(_in_losses_and_gradients(state, teacher, batch, weights, models, options))
    )


def _bad(array) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating) and not bool(jnp.isfinite(array).all())


def _in_state(state: TrainState) -> Iterator[str]:
    for name, leaf in named_leaves(state).items():
        if _bad(leaf):
            yield f"state before the step: {name}"


def _in_layers(state, teacher, batch, models, options) -> Iterator[str]:
    student = {"params": state.params, "batch_stats": state.batch_stats}
    for domain in options.passes:
        if f"{domain}_image" not in batch:
            continue
        images = jnp.asarray(batch[f"{domain}_image"])
        how = {"model": models.segmenter, "statistics": options.student_statistics, "precision": options.precision}
        how |= {"groups": options.statistics_groups}
        outputs, finite = _segmenter_layers(student, images, **how)
        yield from (f"student on {domain}: {layer}" for layer in _bad_layers(finite))
        for method in options.methods:
            layers = method.layers(state.adaptation[method.NAME], outputs, options.precision)
            for name, module, variables, inputs in layers:
                finite = _layers(variables, inputs, module=module)
                yield from (f"{name} on {domain}: {layer}" for layer in _bad_layers(finite))
        if (answers := batch.get(forms.entry(domain))) is not None:
            yield from [f"the teacher's answers on {domain}"] * _bad(jnp.asarray(answers))
        elif models.teacher is not None and domain in (SOURCE, TARGET):
            how |= {"model": models.teacher, "statistics": options.teacher_statistics}
            seen = jnp.asarray(batch.get(f"teacher_{domain}_image", images))
            for view in teaching.pictures_of(seen, options.teacher_views):
                _, finite = _segmenter_layers(teacher, view, **how)
                yield from (f"teacher on {domain}: {layer}" for layer in _bad_layers(finite))


@functools.partial(
    jax.jit, static_argnames=("model", "statistics", "precision", "groups"), compiler_options=EVERY_ROUNDING
)
def _segmenter_layers(variables, images, *, model, statistics: str, precision: str, groups: int):
    """(Outputs, what _finite_layers says)."""
    heads, captured = segmenter.apply(
        model,
        variables,
        images,
        statistics=statistics,
        precision=precision,
        groups=groups,
        collections=("intermediates",),
        capture_intermediates=True,
    )
    return Outputs(heads.log_probabilities(images.shape[1:3]), {}, ""), _finite_layers(captured)


@functools.partial(jax.jit, static_argnames=("module",), compiler_options=EVERY_ROUNDING)
def _layers(variables, inputs, *, module):
    """What _finite_layers says of another network."""
    _, captured = module.apply(variables, inputs, capture_intermediates=True, mutable=["intermediates"])
    return _finite_layers(captured)


def _finite_layers(captured: dict) -> dict[str, jax.Array]:
    """'<place> <layer>' to whether its outputs are finite; jit sorts them by these names, which is the right order."""
    layers = _in_order(captured["intermediates"], "")
    return {f"{place:04d} {name}": _finite(outputs) for place, (name, outputs) in enumerate(layers)}


def _bad_layers(finite: dict[str, jax.Array]) -> list[str]:
    return [name.split(" ", 1)[1] for name in sorted(finite) if not finite[name]]


def _in_order(tree: dict, prefix: str) -> Iterator[tuple[str, tuple]]:
    """(name, outputs) of the layers in the order in which they are computed; a module comes after its parts."""
    for name, value in tree.items():
        if name != "__call__":
            yield from _in_order(value, f"{prefix}{name}.")
    if "__call__" in tree:
        yield prefix.rstrip(".") or "output", tree["__call__"]


def _finite(tree) -> jax.Array:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return functools.reduce(jnp.logical_and, [jnp.isfinite(leaf).all() for leaf in leaves], jnp.array(True))


def _in_losses_and_gradients(state, teacher, batch, weights, models, options) -> Iterator[str]:
    step = jax.jit(functools.partial(_everything, models=models, options=options))
    grads, losses = step(state, teacher, batch, weights)
    if bad := [name for name, value in losses.items() if _bad(value)]:
        yield from bad
        return
    for owner, tree in grads.items():
        for name, leaf in reversed(named_leaves(tree).items()):
            if _bad(leaf):
                yield f"gradient of {owner}: {name}"


def _everything(state, teacher, batch, weights, *, models, options):
    """({owner: gradients}, losses) of a step, those of the methods' networks among them."""
    found = losses_and_gradients(state, teacher, batch, weights, models=models, options=options)
    grads, losses = {"student": found.trained["params"], "loss terms": found.trained["terms"]}, found.losses
    for method in options.methods:
        mine = state.adaptation[method.NAME]
        more, terms = method.gradients(mine, found.outputs, found.batch, options.precision)
        grads, losses = grads | more, losses | terms
    return grads, losses
