"""One iteration of training, from state and batch to state and losses.

Order (as in the released code): gradients of the source losses, then of the target losses, added up; then what the
adaptation methods train (the discriminators on the detached predictions); then all optimisers step. Batch-norm
statistics are those of each pass's own batch.
"""

import dataclasses
import functools
import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax

from dakd_jax.basics.errors import UserError
from dakd_jax.basics.plugs import Registry
from dakd_jax.models import segmenter
from dakd_jax.models.precision import widened
from dakd_jax.models.segmenter import Heads, Segmenter
from dakd_jax.objectives.adaptation import METHODS, Method, Tools
from dakd_jax.objectives.context import SOURCE, TARGET, LossContext, Outputs, Part, total
from dakd_jax.objectives.optimizers import SegmenterOptimizer, descend
from dakd_jax.objectives.terms import TERMS, LossTerm
from dakd_jax.training import teaching
from dakd_jax.training.teaching import Views, forms
from dakd_jax.training.train_state import TrainState

FINITE = "finite"
# Of a step with Savings.ordered. On a CPU XLA orders what it computes for several cores at once, and keeps twice as
# much at a time; within an operation the cores are busy anyway. A version without the option would refuse it.
COMPILER_OPTIONS = (
    {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
    if importlib.metadata.version("jaxlib").startswith("0.10.")
    else {}
)


class LossWeights(flax.struct.PyTreeNode):
    """The lambdas of the objective, all traced: changing one compiles nothing.

    Attributes:
      terms: {loss term: weight}.
      methods: {adaptation method: {weight: value}}.
      seg_auxiliary: weighs every auxiliary term of segmentation and KL.
      distil_source, distil_target: 0 or lambda_target; multiply the whole distillation loss of a domain; at 0 the
        teacher is not run there, unless watch_inactive asks for the terms' values.
    """

    terms: dict[str, float]
    methods: dict[str, dict[str, float]]
    seg_auxiliary: float = 0.1
    distil_source: float = 0.0
    distil_target: float = 0.0
    watch_inactive: bool = False


class ActiveTerm(NamedTuple):
    """A loss term that has a weight, and the values of its options."""

    term: LossTerm
    options: tuple[tuple[str, Any], ...] = ()


class Savings(NamedTuple):
    """What a step does to need less memory and more time. Its numbers differ by rounding alone.

    Attributes:
      ordered: what is computed comes in the order that keeps least at a time, see COMPILER_OPTIONS.
      outputs: log-probabilities at the pictures' size are computed anew for each term that looks at them, and freed.
      blocks: of the student what its blocks give stays for the way back; what they compute within is computed anew.
      parts: equal parts of a batch that the student is run on one after another; only without statistics of the batch.
    """

    ordered: bool = False
    outputs: bool = False
    blocks: bool = False
    parts: int = 1

    def __str__(self) -> str:
        """For people; '' where nothing is saved."""
        said = {
            "an order that keeps less at a time": self.ordered,
            "predictions at the pictures' size computed anew for each loss": self.outputs,
            "the student's blocks run again on the way back": self.blocks,
            f"{self.parts} parts of a batch one after another": self.parts > 1,
        }
        return ", ".join(text for text, holds in said.items() if holds)


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """What shapes the compiled step.

    Attributes:
      terms: loss terms in the order in which they are added up.
      methods: adaptation methods in the order in which they act.
      sees_target: whether the student is run on target pictures.
      teacher_statistics: 'running', or those of the 'batch'.
      teacher_views: what the teacher is shown of a picture.
      answers: {domain: form} as pairs, of the domains on which its answers come with the batch; there it is not run.
      student_statistics: the same of the network that is trained; with 'running' they stay as they are.
      statistics_groups: equal parts of a batch, each with batch statistics of its own; 1: those of the whole batch.
      skip_nonfinite: leave the state as it was where anything that is watched is not finite.
      precision: what all networks compute in, a key of models.precision.PRECISIONS.
      savings: of memory.
    """

    terms: tuple[ActiveTerm, ...]
    methods: tuple[Method, ...] = ()
    sees_target: bool = True
    teacher_statistics: str = "running"
    teacher_views: Views = Views()
    answers: tuple[tuple[str, forms.AnswerForm], ...] = ()
    student_statistics: str = "batch"
    statistics_groups: int = 1
    skip_nonfinite: bool = False
    precision: str = "float32"
    savings: Savings = Savings()

    @property
    def passes(self) -> tuple[str, ...]:
        """What the student is run on, in order: source, target, and what methods add."""
        more = [name for method in self.methods for name in method.PASSES if name not in (SOURCE, TARGET)]
        return (SOURCE, *[TARGET] * self.sees_target, *dict.fromkeys(more))


@dataclasses.dataclass(frozen=True)
class StepModels:
    """The networks of a step; teacher is None without distillation, and where another program's answers are given."""

    segmenter: Segmenter
    teacher: Segmenter | None = None


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


def outputs_of(
    model: Segmenter, variables: dict, images: jax.Array, statistics: str, precision: str = "float32", groups: int = 1
):
    """(Outputs, new batch statistics) of a segmenter on uint8 pictures [B, H, W, 3]; arguments as segmenter.forward."""
    found, stats = _unexpanded(model, variables, images, statistics, precision, groups)
    return found.expanded(), stats


def _unexpanded(model, variables, images, statistics, precision, groups):
    """As outputs_of, Unexpanded."""
    how = {"statistics": statistics, "precision": precision, "groups": groups}
    heads, stats = segmenter.forward(model, variables, images, **how)
    return Unexpanded(heads, images.shape[1:3], model.auxiliary_tap), stats


class Unexpanded(flax.struct.PyTreeNode):
    """Outputs before their log-probabilities are computed from the logits: a fraction of the memory."""

    heads: Heads
    size: tuple[int, int] = flax.struct.field(pytree_node=False)
    tap: str = flax.struct.field(pytree_node=False)

    def expanded(self) -> Outputs:
        features = {name: widened(feature) for name, feature in self.heads.features.items()}
        return Outputs(self.heads.log_probabilities(self.size), features, self.tap)


def _expanded(outputs: Outputs | Unexpanded | None) -> Outputs | None:
    return outputs.expanded() if isinstance(outputs, Unexpanded) else outputs


def compiled_forward(model: Segmenter, precision: str) -> Callable:
    """(variables, images, statistics 'running' | 'batch') -> (Outputs, new batch statistics), under jit."""
    return jax.jit(
        functools.partial(outputs_of, model, precision=precision), static_argnames=("statistics",), static_argnums=(2,)
    )


def _teacher_outputs(teacher, batch, domain, weight, weights, *, model, options) -> Outputs:
    """The teacher's outputs without gradient, from the batch if it brings them; zeros where nothing is distilled."""
    images = batch[f"{domain}_image"]
    form, size = dict(options.answers).get(domain), images.shape[1:3]
    seen = batch.get(f"teacher_{domain}_image", images) if form is None else batch[forms.entry(domain)]

    def once(images):
        how = (options.teacher_statistics, options.precision, options.statistics_groups)
        return outputs_of(model, teacher, images, *how)[0]

    def run(seen):
        if form is not None:
            return form.outputs(seen, size)
        return teaching.answers(once, seen, size, options.teacher_views)

    shapes = jax.eval_shape(run, seen)

    def skip(seen):
        return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    active = (weight != 0) | weights.watch_inactive
    return jax.lax.stop_gradient(jax.lax.cond(active, run, skip, seen))


class _Sum:
    """Adds up weighted terms in the order in which they come, and notes their values."""

    def __init__(self):
        self.value, self.terms = None, {}

    def add(self, value: jax.Array, terms: Mapping[str, jax.Array]) -> None:
        """Adds a weighted value that comes of these unweighted terms."""
        self.value = value if self.value is None else self.value + value
        self.terms |= terms

    def add_parts(self, parts: Mapping[str, Part], weight=None) -> None:
        if parts:
            value = total(parts) if weight is None else weight * total(parts)
            self.add(value, {curve: part.value for curve, part in parts.items()})


def parts_of(registry: Registry, name: str, give: Callable, curves: tuple[str, ...] = ()) -> Mapping[str, Part]:
    """What a term or method gives, if it is {curve: Part}; `curves` are those that it may give, () = any."""
    with registry.blamed(name):
        parts = give()
        if not isinstance(parts, Mapping) or not all(isinstance(part, Part) for part in parts.values()):
            kinds = type(parts).__name__
            if isinstance(parts, Mapping):
                kinds = ", ".join(f"{curve}: {type(part).__name__}" for curve, part in parts.items())
            raise UserError(f"{registry.kind} {name!r} gave {kinds}; expected {{curve: Part(value, factor)}}")
        if others := [curve for curve in parts if curves and curve not in curves]:
            raise UserError(f"{registry.kind} {name!r} gave the curve {others[0]!r}; expected {', '.join(curves)}")
    return parts


def _add_terms(found: _Sum, group: str, context: LossContext, term_params, weights, options) -> None:
    for term, values in options.terms:
        if term.group == group:
            mine = dataclasses.replace(context, options=dict(values), params=term_params.get(term.name, {}))
            parts = _parts(TERMS, term.name, term.fn, mine, term.curves)
            found.add_parts(parts, weights.terms[term.name])


def _parts(registry, name, fn, context, curves=()):
    """parts_of `fn` on a context, whose outputs may be Unexpanded: then log-probabilities live within it alone."""
    if not isinstance(context.student, Unexpanded):
        return parts_of(registry, name, functools.partial(fn, context), curves)

    def expanding(student, teacher, params):
        outputs = {"student": _expanded(student), "teacher": _expanded(teacher)}
        whole = dataclasses.replace(context, params=params, **outputs)
        return dict(parts_of(registry, name, functools.partial(fn, whole), curves))

    return jax.checkpoint(expanding)(context.student, context.teacher, context.params)


def _student_outputs(model, variables, images, options):
    """As outputs_of, with what options.savings say; Unexpanded where they save outputs."""
    how = (options.student_statistics, options.precision, options.statistics_groups)

    def run(images):
        return _unexpanded(model, variables, images, *how)

    if options.savings.blocks:
        run = segmenter.block_by_block(run)
    found, stats = run(images) if options.savings.parts == 1 else _by_parts(run, images, options.savings.parts)
    return (found if options.savings.outputs else found.expanded()), stats


def _by_parts(run, images, count):
    """What `run` finds of equal parts of a batch, one after another; the pictures alone stay for the way back."""
    parts = images.reshape(count, len(images) // count, *images.shape[1:])
    found, stats = jax.lax.map(jax.checkpoint(run), parts)
    # Statistics that are not the batch's stay as they are, in each part.
    return jax.tree.map(lambda of: of.reshape(-1, *of.shape[2:]), found), jax.tree.map(lambda of: of[0], stats)


def pass_loss(trained, batch_stats, adaptation, teacher, batch, step, weights, *, domain, models, options):
    """The loss of one pass.

    Returns:
      (scalar, ({curve: unweighted value}, Outputs, new batch statistics)).
    """
    images = batch[f"{domain}_image"]
    variables = {"params": trained["params"], "batch_stats": batch_stats}
    outputs, batch_stats = _student_outputs(models.segmenter, variables, images, options)
    context = LossContext(
        domain, images, batch.get(f"{domain}_label"), batch, step, outputs,
        auxiliary_weight=weights.seg_auxiliary, precision=options.precision,
    )  # fmt: skip
    found = _Sum()
    _add_terms(found, domain, context, trained["terms"], weights, options)
    for method in options.methods:
        if domain in method.PASSES:
            own, mine = adaptation[method.NAME], weights.methods.get(method.NAME, {})

            def terms(context, method=method, own=own, mine=mine):
                return method.terms(own, context, mine)

            found.add_parts(_parts(METHODS, method.NAME, terms, context))
    if (models.teacher is not None and domain in (SOURCE, TARGET)) or domain in dict(options.answers):
        weight, how = getattr(weights, f"distil_{domain}"), {"model": models.teacher, "options": options}
        guide = _teacher_outputs(teacher, batch, domain, weight, weights, **how)
        distilled, context = _Sum(), dataclasses.replace(context, teacher=guide)
        _add_terms(distilled, "distillation", context, trained["terms"], weights, options)
        if distilled.value is not None:
            found.add(weight * distilled.value, distilled.terms)
    value = jnp.zeros(()) if found.value is None else found.value
    return value, (found.terms | {"total": value}, outputs, batch_stats)


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
        outputs = {domain: _expanded(jax.lax.optimization_barrier(of)) for domain, of in outputs.items()}
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
