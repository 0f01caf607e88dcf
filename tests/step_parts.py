"""Parts of a step with the paper's settings, but for what a test names."""

import dataclasses
import functools
import types

from configs import base
from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.objectives import options as plug_options
from dakd_jax.objectives.adaptation.adversarial import Adversarial
from dakd_jax.objectives.terms import TERMS
from dakd_jax.training import train_state
from dakd_jax.training.step.options import ActiveTerm, LossWeights, StepOptions


def rates(segmenter, discriminator):
    return {"segmenter": segmenter, "discriminator": discriminator}


def weights(**changes) -> LossWeights:
    """`changes`: fields of LossWeights, and weights as config.loss names them."""
    fields = LossWeights.__dataclass_fields__
    own = {name: changes.pop(name) for name in tuple(changes) if name in fields}
    config = base.get_config()
    for name, value in changes.items():
        assert name in config.loss, name
        with config.unlocked():
            config.loss[name] = float(value)
    found = LossWeights(plug_options.term_weights(config), plug_options.method_weights(config))
    return found.replace(**own)


def options(
    *,
    adapt=True,
    adversarial="vanilla",
    levels="multi",
    kl_reduction="mean",
    mse_on="log_probabilities",
    discriminator=None,
    **more,
) -> StepOptions:
    chosen = {"kl": {"reduction": kl_reduction}, "mse": {"on": mse_on}}
    terms = tuple(
        ActiveTerm(term, tuple(chosen.get(name, {}).items()))
        for name, term in TERMS.items()
        if term.weight and term.group in ("source", "distillation")
    )
    method = Adversarial(discriminator=discriminator or Discriminator(), kind=adversarial, levels=levels)
    return StepOptions(terms, (method,) * adapt, sees_target=adapt, **more)


def discriminators(model: Discriminator, seed: int, num_classes: int, levels: str = "multi") -> dict:
    """{level: fresh parameters}, as a stage starts with."""
    key, of = functools.partial(segmenter_module.init_key, seed), types.SimpleNamespace(num_classes=num_classes)
    return Adversarial(discriminator=model, levels=levels).init(key, {}, of)["discriminators"]


def create(segmenter: dict, discriminators: dict, *, optimizer, method: Adversarial | None = None):
    """A state at step 0 with given discriminators; {} for a stage that does not adapt."""
    adaptation = {"adversarial": (method or Adversarial()).start(discriminators)} if discriminators else {}
    return train_state.create(segmenter, adaptation, optimizer=optimizer)


def of_state(state) -> dict:
    """{level: parameters} of a state's discriminators."""
    return state.adaptation["adversarial"]["discriminators"]


def with_discriminators(state, found: dict):
    """The state with other discriminators."""
    own = state.adaptation["adversarial"] | {"discriminators": found}
    return state.replace(adaptation=state.adaptation | {"adversarial": own})


def of_method(options_, **changes) -> StepOptions:
    """The options with a changed adversarial method."""
    return dataclasses.replace(options_, methods=tuple(dataclasses.replace(m, **changes) for m in options_.methods))
