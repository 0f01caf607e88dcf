"""What sets a step up: what it asks of the data, its learning rates, the shapes of its state, and a trial of it."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dakd_jax.models import segmenter
from dakd_jax.training import train_state
from dakd_jax.training.train_state import TrainState
from dakd_jax.training.train_step import StepModels, StepOptions, outputs_of, train_step


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

    def outputs(model):
        variables = segmenter.init_variables(model, key("shapes"))
        return outputs_of(model, variables, jnp.zeros((1, *size, 3), jnp.uint8), "running")[0]

    networks = {"student": models.segmenter, "teacher": models.teacher}
    shapes = {name: jax.eval_shape(functools.partial(outputs, model)) for name, model in networks.items() if model}
    return {term.name: term.init(key(f"term/{term.name}"), shapes) for term in wanted}


def blank(chosen) -> TrainState:
    """A state of shapes alone for stage_job.StageSettings, to be filled from a file; compiles nothing."""
    # Of all stages of a plan most have one kind of state; the weights of losses and the number of steps are none of it.
    return _blank(dataclasses.replace(chosen, weights=None, steps=0))


def trace(chosen) -> None:
    """Traces a step of stage_job.StageSettings; computes and compiles nothing.

    Raises:
      UserError: a plugin's term or method does not keep to its contract.
    """
    models, options, (height, width) = chosen.models, chosen.options, chosen.size
    picture = jax.ShapeDtypeStruct((2, height, width, 3), jnp.uint8)
    label = jax.ShapeDtypeStruct((2, height, width), jnp.uint8)
    batch = {"source_image": picture, "source_label": label, "target_image": picture}
    for name in data_wanted(options):
        batch |= {f"{name}_image": picture, f"{name}_label": label}
    if any(chosen.teacher_size):
        width, height = chosen.teacher_size
        seen = jax.ShapeDtypeStruct((2, height, width, 3), jnp.uint8)
        batch |= {f"teacher_{domain}_image": seen for domain in chosen.taught_on}
    teacher = segmenter.blank_segmenter(models.teacher) if models.teacher else None
    step = functools.partial(train_step, models=models, options=options, optimizer=chosen.optimizer)
    jax.eval_shape(step, blank(chosen), teacher, batch, chosen.weights, learning_rates(options, 1.0))


@functools.cache
def _blank(chosen):
    return jax.eval_shape(
        lambda: first_state(chosen, 0, segmenter.init_variables(chosen.models.segmenter, jax.random.key(0)))
    )
