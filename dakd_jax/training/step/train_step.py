"""One iteration of training, from state and batch to state and losses.

Order (as in the released code): gradients of the source losses, then of the target losses, added up; then what the
adaptation methods train (the discriminators on the detached predictions); then all optimisers step. Batch-norm
statistics are those of each pass's own batch.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dakd_jax.basics.errors import UserError
from dakd_jax.objectives.adaptation import METHODS, Method, Tools
from dakd_jax.objectives.optimizers import SegmenterOptimizer, descend
from dakd_jax.training.step.options import LossWeights, StepModels, StepOptions
from dakd_jax.training.step.passes import outputs_of, pass_loss
from dakd_jax.training.train_state import TrainState

FINITE = "finite"


class Gradients(NamedTuple):
    """All that one iteration finds out before any optimiser steps.

    Attributes:
      trained: {'params': of the segmenter, 'terms': of the loss terms' own parameters}.
      batch_stats: of the segmenter after its passes.
      losses: {'loss/<pass>/<curve>': scalar}.
      outputs: {pass: Outputs}, constants.
      batch: as the methods prepared it.
    """

    trained: dict
    batch_stats: dict
    losses: dict
    outputs: dict
    batch: dict


def _tools(state, models, options, student, rates) -> Tools:
    how = {"precision": options.precision, "groups": options.statistics_groups}
    forward = functools.partial(outputs_of, models.segmenter, **how)
    return Tools(state.step, student, forward, rates, options.precision)


def losses_and_gradients(state, teacher, batch, weights, *, models, options) -> Gradients:
    """All gradients of one iteration; arguments as train_step's."""
    student = {"params": state.params, "batch_stats": state.batch_stats}
    for method in options.methods:
        if type(method).prepare is not Method.prepare:
            tools = _tools(state, models, options, student, {})
            with METHODS.blamed(method.NAME):
                prepared = method.prepare(state.adaptation[method.NAME], batch, tools)
                if missing := [name for name in batch if name not in prepared]:
                    there = ", ".join(prepared)
                    raise UserError(
                        f"adaptation method {method.NAME!r}: prepare gave a batch without {missing[0]}; it has {there}"
                    )
            batch = jax.lax.stop_gradient(prepared)
    trained, stats = {"params": state.params, "terms": state.terms}, state.batch_stats
    grads, losses, outputs = None, {}, {}
    for domain in options.passes:
        loss = functools.partial(pass_loss, domain=domain, models=models, options=options)
        (_, (terms, outputs[domain], stats)), found = jax.value_and_grad(loss, has_aux=True)(
            trained, stats, state.adaptation, teacher, batch, state.step, weights
        )
        grads = found if grads is None else jax.tree.map(jnp.add, grads, found)
        losses |= {f"loss/{domain}/{curve}": value for curve, value in terms.items()}
    if options.savings.outputs:
        # Without the barrier the compiler would take those of the passes, and keep them until here.
        outputs = {domain: jax.lax.optimization_barrier(of).expanded() for domain, of in outputs.items()}
    return Gradients(grads, stats, losses, jax.lax.stop_gradient(outputs), batch)


@functools.partial(jax.jit, static_argnames=("models", "options", "optimizer"), donate_argnames=("state",))
def train_step(
    state: TrainState,
    teacher: dict | None,
    batch: dict,
    weights: LossWeights,
    rates: dict,
    *,
    models: StepModels,
    options: StepOptions,
    optimizer: SegmenterOptimizer,
) -> tuple[TrainState, dict]:
    """One iteration.

    Args:
      state: donated; do not use it afterwards.
      teacher: {'params', 'batch_stats'}, constant; None without distillation, and where all answers are in the batch.
      batch: source_image uint8 [B, H, W, 3], source_label uint8 [B, H, W] (255 = ignore) and, where the target is seen,
        target_image uint8 [B, H', W', 3]. With class-mix also target_label uint8 [B, H', W']: the train ids of
        target_image where they are known, 255 elsewhere; only the quasi-teacher cross entropy looks at it. With a size
        of the teacher's own teacher_source_image, teacher_target_image uint8 [B, h, w, 3]. For each domain of
        options.answers teacher_source_answers, teacher_target_answers [B, entries], see teaching/forms.py. And what
        methods ask for.
      rates: {name: learning rate of this step}: 'segmenter', and those of the methods' optimisers.

    Returns:
      (next state, {'loss/...' and 'norm/...': float scalars on the device, FINITE: whether all of them are finite}).
    """
    found = losses_and_gradients(state, teacher, batch, weights, models=models, options=options)
    after = apply_gradients(state, found, rates["segmenter"], optimizer)
    watched = found.losses | _norms(found.trained, after)
    tools = _tools(state, models, options, {"params": after.params, "batch_stats": after.batch_stats}, rates)
    adaptation = {}
    for method in options.methods:
        with METHODS.blamed(method.NAME):
            adaptation[method.NAME], more = method.update(
                state.adaptation[method.NAME], found.outputs, found.batch, tools
            )
        watched |= more
    after = after.replace(adaptation=adaptation)
    finite = jnp.all(jnp.isfinite(jnp.stack([jnp.asarray(value, jnp.float32) for value in watched.values()])))
    if options.skip_nonfinite:
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
        after = kept.replace(step=after.step)
    return after, watched | {FINITE: finite}


def _norms(grads: dict, after: TrainState) -> dict:
    """Global norms of the gradients and of the parameters after the step."""
    norms = {
        "norm/gradient/segmenter": optax.tree.norm(grads["params"]),
        "norm/parameters/segmenter": optax.tree.norm(after.params),
    }
    if after.terms:
        norms |= {
            "norm/gradient/terms": optax.tree.norm(grads["terms"]),
            "norm/parameters/terms": optax.tree.norm(after.terms),
        }
    return norms


def apply_gradients(state: TrainState, found: Gradients, rate, optimizer: SegmenterOptimizer) -> TrainState:
    """The state after the segmenter's optimiser has stepped; that of the methods is as it was."""
    tx = optimizer.build()
    params, opt_state = descend(tx, found.trained["params"], state.opt_state, state.params, rate)
    state = state.replace(step=state.step + 1, params=params, batch_stats=found.batch_stats, opt_state=opt_state)
    if not state.terms:
        return state
    terms, opt_state = descend(tx, found.trained["terms"], state.terms_opt_state, state.terms, rate)
    return state.replace(terms=terms, terms_opt_state=opt_state)
