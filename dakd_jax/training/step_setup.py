"""What sets a step up: what it asks of the data, its learning rates, the shapes of its state, and a trial of it."""

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


def init_terms(options: StepOptions, models: StepModels, key: Callable, size: tuple[int, int]) -> dict:
    """{loss term: trainable parameters} of the terms that have some.

    Args:
      key: from a role, as 'term/kl', to a key.
      size: (height, width) of the pictures that they are made for.
    """
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
    return _blank(chosen.models, chosen.options, chosen.optimizer, chosen.size)


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
    teacher = segmenter.blank_segmenter(models.teacher) if models.teacher else None
    step = functools.partial(train_step, models=models, options=options, optimizer=chosen.optimizer)
    jax.eval_shape(step, blank(chosen), teacher, batch, chosen.weights, learning_rates(options, 1.0))


@functools.cache  # of all stages of a plan, most have one kind of state
def _blank(models, options, optimizer, size):
    def make():
        variables = segmenter.init_variables(models.segmenter, jax.random.key(0))
        adaptation = train_state.init_methods(options.methods, 0, variables, models.segmenter)
        terms = init_terms(options, models, functools.partial(segmenter.init_key, 0), size)
        return train_state.create(variables, adaptation, terms, optimizer=optimizer)

    return jax.eval_shape(make)
