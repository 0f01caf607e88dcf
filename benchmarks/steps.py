"""Training steps on made-up pictures, for benchmarks of what surrounds them."""

import platform
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from configs import base, demo
from dakd_jax import paradigms, settings, train_state, weights
from dakd_jax.train_step import LearningRates, train_step

NETWORKS = {"demo": demo.get_config, "full": base.get_config}  # the demo's small ones; DRN-D-22 and DRN-D-38
NUM_CLASSES = 19


class Steps(NamedTuple):
    """What is needed to train.

    Attributes:
      state: at step 0.
      step: state to the next state; the one given is used up.
    """

    state: train_state.TrainState
    step: Callable


def make(network: str, size: tuple[int, int], *, stage: str, precision: str = "float32", batch_size: int = 2) -> Steps:
    """A stage (a key of paradigms.STAGES) of the networks of NETWORKS; `size`: (width, height) of both domains."""
    config = NETWORKS[network]()
    config.train.precision = precision
    chosen = settings.stage_settings(config, paradigms.stage(stage), NUM_CLASSES)
    state = train_state.create(
        weights.start(chosen.models.segmenter, config.student, 0, "student"),
        weights.start_discriminators(config, chosen, NUM_CLASSES),
        optimizer=chosen.optimizer,
        discriminator_optimizer=chosen.discriminator_optimizer,
    )
    teacher = weights.start(chosen.models.teacher, config.teacher, 0, "teacher") if chosen.models.teacher else None
    draw = np.random.default_rng(0)
    shape = (batch_size, size[1], size[0])
    batch = {
        "source_image": draw.integers(0, 256, (*shape, 3), dtype=np.uint8),
        "source_label": draw.integers(0, NUM_CLASSES, shape, dtype=np.uint8),
        "target_image": draw.integers(0, 256, (*shape, 3), dtype=np.uint8),
    }
    batch = jax.device_put(batch)
    rates = LearningRates(np.float32(1e-3), np.float32(1e-4))

    def step(state):
        return train_step(
            state, teacher, batch, chosen.weights, rates, models=chosen.models, options=chosen.options,
            optimizer=chosen.optimizer, discriminator_optimizer=chosen.discriminator_optimizer,
        )[0]  # fmt: skip

    return Steps(state, step)


def machine() -> dict:
    """What the numbers were measured on."""
    device = jax.devices()[0]
    found = {"device": device.device_kind, "platform": device.platform, "jax": jax.__version__}
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return found | {"cpu": names[0] if names else platform.processor(), "cores": len(names)}
