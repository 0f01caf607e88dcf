"""The loss of one pass: what the student says of its pictures, the teacher's answers, loss terms, what methods add."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dakd_jax.basics.errors import UserError
from dakd_jax.basics.plugs import Registry
from dakd_jax.models import segmenter
from dakd_jax.models.precision import widened
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives.adaptation import METHODS
from dakd_jax.objectives.context import SOURCE, TARGET, LossContext, Part, total
from dakd_jax.objectives.outputs import Outputs, Unexpanded
from dakd_jax.objectives.terms import TERMS
from dakd_jax.training import teaching
from dakd_jax.training.step import strips
from dakd_jax.training.teaching import forms


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
    return Unexpanded.of(heads, images.shape[1:3], model.auxiliary_tap), stats


def compiled_forward(model: Segmenter, precision: str) -> Callable:
    """(variables, images, statistics 'running' | 'batch') -> (Outputs, new batch statistics), under jit."""
    return jax.jit(
        functools.partial(outputs_of, model, precision=precision), static_argnames=("statistics",), static_argnums=(2,)
    )


def _teacher_outputs(teacher, batch, domain, weight, weights, *, model, options) -> Outputs | Unexpanded:
    """The teacher's outputs without gradient, from the batch if it brings them; zeros where nothing is distilled.

    Unexpanded where losses are computed by rows, and what it says is not of another size or of several views.
    """
    images = batch[f"{domain}_image"]
    form, size = dict(options.answers).get(domain), images.shape[1:3]
    seen = batch.get(f"teacher_{domain}_image", images) if form is None else batch[forms.entry(domain)]

    def once(images):
        how = (options.teacher_statistics, options.precision, options.statistics_groups)
        return _unexpanded(model, teacher, images, *how)[0]

    def run(seen):
        said = teaching.answers(once, seen, size, options.teacher_views) if form is None else form.said(seen, size)
        return said if options.savings.by_strips else said.expanded()

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


class _Asked(NamedTuple):
    """A loss term, or a method, that is asked what it adds to a pass.

    Attributes:
      registry, name: where it is registered.
      give: LossContext to {curve: Part}.
      by_rows: whether it can be asked of strips of rows.
      curves: those that it may give, () = any.
      weight: of all that it gives; None: 1.
      options, params: of the LossContext.
    """

    registry: Registry
    name: str
    give: Callable
    by_rows: bool
    curves: tuple[str, ...] = ()
    weight: Any = None
    options: Mapping[str, Any] = {}
    params: Any = {}

    def parts(self, context: LossContext) -> Mapping[str, Part]:
        context = dataclasses.replace(context, options=self.options, params=self.params)
        return parts_of(self.registry, self.name, functools.partial(self.give, context), self.curves)

    def parts_of_rows(self, context: LossContext) -> Mapping[str, Part]:
        """As parts, each with a count."""
        found = self.parts(context)
        for curve, part in found.items():
            if part.count is None:
                raise UserError(
                    f"{self.registry.kind} {self.name!r} is computed by rows and gave {curve!r} without a count; "
                    "expected Part(mean, factor, of how many numbers), or no by_rows"
                )
        return found


def _asked_terms(group: str, term_params: dict, weights, options) -> list[_Asked]:
    return [
        _Asked(
            TERMS, term.name, term.fn, term.by_rows(dict(values)), term.curves, weights.terms[term.name], dict(values),
            term_params.get(term.name, {}),
        )
        for term, values in options.terms
        if term.group == group
    ]  # fmt: skip


def _asked_methods(domain: str, adaptation: dict, weights, options) -> list[_Asked]:
    found = []
    for method in options.methods:
        if domain in method.PASSES:
            own, mine = adaptation[method.NAME], weights.methods.get(method.NAME, {})

            def give(context, method=method, own=own, mine=mine):
                return method.terms(own, context, mine)

            found.append(_Asked(METHODS, method.NAME, give, method.BY_ROWS))
    return found


def _added(found: _Sum, asked: Sequence[_Asked], context: LossContext) -> _Sum:
    for one in asked:
        found.add_parts(_parts(one, context), one.weight)
    return found


def _parts(asked: _Asked, context: LossContext) -> Mapping[str, Part]:
    """Of a context whose outputs may be Unexpanded: then log-probabilities live within what is asked alone."""
    if not isinstance(context.student, Unexpanded):
        return asked.parts(context)

    def expanding(student, teacher, params):
        outputs = {"student": student.expanded(), "teacher": teacher and teacher.expanded()}
        return dict(asked._replace(params=params).parts(dataclasses.replace(context, **outputs)))

    return jax.checkpoint(expanding)(context.student, context.teacher, asked.params)


def _added_by_rows(found: _Sum, asked: Sequence[_Asked], context: LossContext, said: Unexpanded) -> None:
    """Adds what is asked of strips of the pictures' rows.

    Args:
      context: without outputs of the student, and with the teacher's, Unexpanded if they can be.
      said: by the student.
    """
    logits = jax.tree.map(widened, said.logits)  # the gradients of strips are added up in float32 at least

    def parts(differentiated, start, count):
        logits, params = differentiated
        mine = dataclasses.replace(context, rows=(start, count))
        mine = dataclasses.replace(
            mine,
            images=mine.cut(context.images),
            labels=None if context.labels is None else mine.cut(context.labels),
            student=said.replace(logits=logits).rows(start, count),
            teacher=context.teacher and context.teacher.rows(start, count),
        )
        of_rows = {}
        for one, own in zip(asked, params, strict=True):
            for curve, part in one._replace(params=own).parts_of_rows(mine).items():
                of_rows[curve] = part._replace(factor=_product(part.factor, one.weight))
        return of_rows

    count = strips.height(len(context.images), said.size, logits["main"].shape[-1])
    found.add(*strips.total(parts, (logits, [one.params for one in asked]), said.size[0], count))


def _product(a, b):
    """Of two factors, each of which None is 1."""
    return b if a is None else a if b is None else a * b


def _student_outputs(model, variables, images, options):
    """As outputs_of, Unexpanded, with what options.savings say of the network."""
    how = (options.student_statistics, options.precision, options.statistics_groups)

    def run(images):
        return _unexpanded(model, variables, images, *how)

    if options.savings.blocks:
        run = segmenter.block_by_block(run)
    return run(images) if options.savings.parts == 1 else _by_parts(run, images, options.savings.parts)


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
    said, batch_stats = _student_outputs(models.segmenter, variables, images, options)
    outputs = said if options.savings.outputs else said.expanded()
    context = LossContext(
        domain, images, batch.get(f"{domain}_label"), batch, step, outputs,
        auxiliary_weight=weights.seg_auxiliary, precision=options.precision,
    )  # fmt: skip
    own = _asked_terms(domain, trained["terms"], weights, options)
    own += _asked_methods(domain, adaptation, weights, options)
    taught, weight, guide = [], None, None
    if (models.teacher is not None and domain in (SOURCE, TARGET)) or domain in dict(options.answers):
        weight, how = getattr(weights, f"distil_{domain}"), {"model": models.teacher, "options": options}
        guide = _teacher_outputs(teacher, batch, domain, weight, weights, **how)
        taught = _asked_terms("distillation", trained["terms"], weights, options)
    found, distilled = _Sum(), _Sum()
    if options.savings.by_strips:
        by_rows = [one for one in own if one.by_rows]
        by_rows += [one._replace(weight=one.weight * weight) for one in taught if one.by_rows]
        if by_rows:
            _added_by_rows(found, by_rows, dataclasses.replace(context, student=None, teacher=guide), said)
        own, taught = ([one for one in asked if not one.by_rows] for asked in (own, taught))
        guide = guide.expanded() if taught and not options.savings.outputs else guide
    _added(found, own, context)
    if _added(distilled, taught, dataclasses.replace(context, teacher=guide)).value is not None:
        found.add(weight * distilled.value, distilled.terms)
    value = jnp.zeros(()) if found.value is None else found.value
    return value, (found.terms | {"total": value}, outputs, batch_stats)
