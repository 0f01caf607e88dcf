"""What sets a step up: what it asks of the data, its learning rates, the shapes of its state, and a trial of it."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dakd_jax.models import segmenter
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives.adaptation import METHODS, Method, Tools
from dakd_jax.objectives.context import SOURCE, LossContext, Outputs
from dakd_jax.objectives.terms import TERMS
from dakd_jax.training import train_state
from dakd_jax.training.step.options import StepModels, StepOptions
from dakd_jax.training.step.passes import outputs_of, parts_of
from dakd_jax.training.step.train_step import train_step
from dakd_jax.training.teaching import forms
from dakd_jax.training.train_state import TrainState, named_leaves

FEATURES = "features"


def data_wanted(options: StepOptions) -> dict:
    """What the methods ask of the training batches besides source and target."""
    return {key: value for method in options.methods for key, value in method.data().items()}


def learning_rates(options: StepOptions, segmenter: float) -> dict[str, float]:
    """{name: learning rate at step 0} of the segmenter and of the methods' optimisers."""
    own = {name: rate for method in options.methods for name, rate in method.learning_rates().items()}
    return {"segmenter": segmenter} | own


def first_state(chosen, seed: int, student: dict, adaptation: dict | None = None) -> TrainState:
    """The state at step 0 of a stage with stage_job.StageSettings `chosen`.

    Args:
      seed: of what methods and loss terms draw.
      student: {'params', 'batch_stats'} that it starts from.
      adaptation: {method: its state}, where they do not start anew.
    """
    key = functools.partial(segmenter.init_key, seed)
    if adaptation is None:
        adaptation = train_state.init_methods(chosen.options.methods, seed, student, chosen.models.segmenter)
    terms = _init_terms(chosen.options, chosen.models, key, chosen.size)
    return train_state.create(student, adaptation, terms, optimizer=chosen.optimizer)


def _init_terms(options: StepOptions, models: StepModels, key: Callable, size: tuple[int, int]) -> dict:
    """{loss term: trainable parameters} of the terms that have some; `key` takes a role, as 'term/kl', to a key."""
    wanted = [term for term, _ in options.terms if term.init]
    if not wanted:
        return {}
    networks = {"student": models.segmenter, "teacher": models.teacher}
    shapes = {name: _shapes(model, size) for name, model in networks.items() if model}
    if options.answers and not models.teacher:
        (_, form), *_ = options.answers
        blank = jax.ShapeDtypeStruct((1, form.entries), form.dtype)
        shapes["teacher"] = jax.eval_shape(lambda of: form.said(of, size).expanded(), blank)
    return {term.name: term.init(key(f"term/{term.name}"), shapes) for term in wanted}


@functools.cache
def _shapes(model: Segmenter, size: tuple[int, int]) -> Outputs:
    """Of a network's outputs on a picture of (height, width)."""
    picture = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
    run = functools.partial(outputs_of, model, statistics="running")
    return jax.eval_shape(run, segmenter.shapes_of(model), picture)[0]


def read_of_teacher(chosen) -> dict[str, str]:
    """What terms of distillation look at in the teacher's outputs: {of LEVELS and FEATURES: name of the first term}.

    Args:
      chosen: stage_job.StageSettings with a teacher.
    """
    terms = tuple(active for active in chosen.options.terms if active.term.group == "distillation")
    return _read(terms, chosen.models, chosen.size)


@functools.cache
def _read(terms, models: StepModels, size: tuple[int, int]) -> dict[str, str]:
    shapes, found = _shapes(models.segmenter, size), {}
    picture, label = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8), jax.ShapeDtypeStruct((1, *size), jnp.uint8)
    own = {"student": shapes, "teacher": _shapes(models.teacher, size)}
    for term, values in terms:
        params = jax.eval_shape(lambda term=term: term.init(jax.random.key(0), own)) if term.init else {}

        def value(teacher, student, params, picture, label, term=term, values=values):
            batch = {"source_image": picture, "source_label": label, "target_image": picture}
            context = LossContext(
                SOURCE, picture, label, batch, jnp.zeros((), jnp.int32), student, teacher, 1.0, dict(values), params
            )
            parts = parts_of(TERMS, term.name, functools.partial(term.fn, context), term.curves)
            return {curve: part.weighted for curve, part in parts.items()}

        traced = jax.make_jaxpr(value)(own["teacher"], shapes, params, picture, label).jaxpr
        read = {id(one) for equation in traced.eqns for one in equation.invars} | set(map(id, traced.outvars))
        names = named_leaves(own["teacher"])  # the arguments that come first, in this order
        for name, one in zip(names, traced.invars, strict=False):
            if id(one) in read:
                kind, _, level = name.partition(".")
                found.setdefault(FEATURES if kind == FEATURES else level, term.name)
    return found


def redraws(chosen) -> dict[str, str]:
    """{domain: name of the first adaptation method that puts other pictures in the place of those the teacher sees}.

    Args:
      chosen: stage_job.StageSettings.
    """
    found: dict[str, str] = {}
    batch, state = _blank_batch(chosen), blank(chosen)
    student = {"params": state.params, "batch_stats": state.batch_stats}
    for method in chosen.options.methods:
        if type(method).prepare is Method.prepare:
            continue

        def prepare(own, batch, student, method=method):
            forward = functools.partial(outputs_of, chosen.models.segmenter, precision=chosen.options.precision)
            tools = Tools(jnp.zeros((), jnp.int32), student, forward, {}, chosen.options.precision)
            with METHODS.blamed(method.NAME):
                prepared = method.prepare(own, batch, tools)
            for domain in chosen.taught_on:
                name = f"teacher_{domain}_image" if f"teacher_{domain}_image" in batch else f"{domain}_image"
                if prepared.get(name) is not batch[name]:
                    found.setdefault(domain, method.NAME)

        jax.eval_shape(prepare, state.adaptation[method.NAME], batch, student)
    return found


def blank(chosen) -> TrainState:
    """A state of shapes alone for stage_job.StageSettings, to be filled from a file; compiles nothing."""
    # Of all stages of a plan most have one kind of state; the weights of losses and the number of steps are none of it.
    return _blank(dataclasses.replace(chosen, weights=None, steps=0))


def trace(chosen) -> None:
    """Traces a step of stage_job.StageSettings; computes and compiles nothing.

    Raises:
      UserError: a plugin's term or method does not keep to its contract.
    """
    models, options = chosen.models, chosen.options
    teacher = segmenter.blank_segmenter(models.teacher) if models.teacher else None
    step = functools.partial(train_step, models=models, options=options, optimizer=chosen.optimizer)
    jax.eval_shape(step, blank(chosen), teacher, _blank_batch(chosen), chosen.weights, learning_rates(options, 1.0))


def _blank_batch(chosen) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a batch of two pictures."""
    height, width = chosen.size
    picture = jax.ShapeDtypeStruct((2, height, width, 3), jnp.uint8)
    label = jax.ShapeDtypeStruct((2, height, width), jnp.uint8)
    batch = {"source_image": picture, "source_label": label, "target_image": picture}
    for name in data_wanted(chosen.options):
        batch |= {f"{name}_image": picture, f"{name}_label": label}
    if any(chosen.teacher_size):
        width, height = chosen.teacher_size
        seen = jax.ShapeDtypeStruct((2, height, width, 3), jnp.uint8)
        batch |= {f"teacher_{domain}_image": seen for domain in chosen.taught_on}
    answers = {domain: (form.entries, form.dtype) for domain, form in chosen.options.answers}
    return batch | {
        forms.entry(domain): jax.ShapeDtypeStruct((2, entries), dtype) for domain, (entries, dtype) in answers.items()
    }


@functools.cache
def _blank(chosen):
    return jax.eval_shape(functools.partial(first_state, chosen, 0), segmenter.shapes_of(chosen.models.segmenter))
