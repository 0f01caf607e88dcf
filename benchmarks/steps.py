"""Training steps on made-up pictures, for benchmarks of what surrounds them."""

import platform
from collections.abc import Callable

import jax
import numpy as np

from configs import base, demo_drn
from dakd_jax.objectives import paradigms
from dakd_jax.stages import settings, weights
from dakd_jax.training import step_setup, train_state
from dakd_jax.training.train_step import train_step

NETWORKS = {"demo": demo_drn.get_config, "full": base.get_config}  # the demo's small ones; DRN-D-22 and DRN-D-38
NUM_CLASSES = 19


def prepare(
    network: str,
    source: tuple[int, int],
    target: tuple[int, int],
    *,
    stage: str,
    precision: str = "float32",
    batch_size: int = 2,
) -> tuple[tuple, dict]:
    """The arguments of train_step for a stage (a key of paradigms.STAGES) of the networks of NETWORKS.

    Args:
      source, target: width, height.

    Returns:
      (state at step 0 (it is used up), teacher or None, batch, weights of the losses, learning rates), and what shapes
      the compiled step, by name.
    """
    config = NETWORKS[network]()
    config.train.precision = precision
    chosen = settings.stage_settings(config, paradigms.stage(stage), NUM_CLASSES)
    start = weights.start(chosen.models.segmenter, config.student, 0, "student")
    state = step_setup.first_state(chosen, 0, start)
    teacher = weights.start(chosen.models.teacher, config.teacher, 0, "teacher") if chosen.models.teacher else None
    batch = jax.device_put(made_up_batch(batch_size, source, target))
    rates = {"segmenter": np.float32(1e-3), "discriminator": np.float32(1e-4)}
    fixed = {"models": chosen.models, "options": chosen.options, "optimizer": chosen.optimizer}
    return (state, teacher, batch, chosen.weights, rates), fixed


def made_up_batch(batch_size: int, source: tuple[int, int], target: tuple[int, int]) -> dict:
    """Arrays of a step of random values; sizes are (width, height)."""
    draw = np.random.default_rng(0)
    shape = (batch_size, source[1], source[0])
    return {
        "source_image": draw.integers(0, 256, (*shape, 3), dtype=np.uint8),
        "source_label": draw.integers(0, NUM_CLASSES, shape, dtype=np.uint8),
        "target_image": draw.integers(0, 256, (batch_size, target[1], target[0], 3), dtype=np.uint8),
    }


def make(
    network: str, size: tuple[int, int], *, stage: str, precision: str = "float32"
) -> tuple[train_state.TrainState, Callable]:
    """(state at step 0, state to the next one; the one given is used up), with pictures of one size (width, height)."""
    (state, *others), fixed = prepare(network, size, size, stage=stage, precision=precision)
    return state, lambda state: train_step(state, *others, **fixed)[0]


def machine() -> dict:
    """What the numbers were measured on."""
    device = jax.devices()[0]
    found = {"device": device.device_kind, "platform": device.platform, "jax": jax.__version__}
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return found | {"cpu": names[0] if names else platform.processor(), "cores": len(names)}
