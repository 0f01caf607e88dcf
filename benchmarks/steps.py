"""Training steps on made-up pictures, for benchmarks of what surrounds them."""

import dataclasses
import platform
import time
import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs import base, demo_drn
from dakd_jax.models import segmenter
from dakd_jax.objectives import paradigms
from dakd_jax.objectives.context import LEVELS, SOURCE, TARGET
from dakd_jax.stages import settings, weights
from dakd_jax.training import train_state
from dakd_jax.training.step import step_setup
from dakd_jax.training.step.train_step import train_step
from dakd_jax.training.teaching import Views, asking, forms

NUM_CLASSES = 19
RATES = {"segmenter": 1e-3, "discriminator": 1e-4}


def _tiny():
    """Of 5,000 parameters."""
    config = base.get_config()
    config.student.arch = config.teacher.arch = "tiny"
    config.discriminator.width = 0.05
    return config


# Small DRNs, those of demo_drn; DRN-D-22 and DRN-D-38; to try a benchmark out.
NETWORKS = {"demo": demo_drn.get_config, "full": base.get_config, "tiny": _tiny}


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
    return prepared(config, stage, made_up_batch(batch_size, source, target))


def prepared(
    config: ConfigDict, stage: str, batch: dict, rates: dict = RATES, num_classes: int = NUM_CLASSES
) -> tuple[tuple, dict]:
    """As prepare, of a config and a batch. Random weights are made up too: no initialisation is compiled."""
    settings.check(config)
    chosen = settings.stage_settings(config, paradigms.stage(stage), num_classes)
    state = jax.tree_util.tree_map_with_path(made_up, step_setup.blank(chosen))
    if config.student.pretrained:
        start = weights.start(chosen.models.segmenter, config.student, 0, "student")
        state = state.replace(**start)
    teacher = None
    if chosen.models.teacher:
        teacher = jax.tree_util.tree_map_with_path(made_up, segmenter.blank_segmenter(chosen.models.teacher))
    rates = {name: np.float32(rate) for name, rate in rates.items()}
    fixed = {"models": chosen.models, "options": chosen.options, "optimizer": chosen.optimizer}
    return (*jax.device_put((state, teacher, batch)), chosen.weights, rates), fixed


def with_answers(arguments: tuple, fixed: dict) -> tuple[tuple, dict]:
    """The same step without a teacher: what it says of the batch's pictures is a part of the batch."""
    state, teacher, batch, *others = arguments
    models, options, forms_of = fixed["models"], fixed["options"], {}
    batch = dict(batch)
    for domain in (SOURCE, TARGET):
        pictures = batch[f"{domain}_image"]
        how = {"views": Views(), "levels": LEVELS, "precision": options.precision, "dtype": "float32"}
        forms_of[domain] = asking.form(models.teacher, pictures.shape[1:3], **how)
        rows = [asking.said(teacher, picture[None], model=models.teacher, **how) for picture in pictures]
        batch[forms.entry(domain)] = jnp.concatenate(rows)
    options = dataclasses.replace(options, answers=tuple(forms_of.items()))
    return (state, None, batch, *others), fixed | {"options": options}


def made_up(path: tuple, leaf) -> np.ndarray:
    """A value of a state's leaf at step 0.

    Kernels as for ReLU, batch norms that keep a deep network within bounds, running statistics that are not those of
    any batch; what optimisers keep is 0.
    """
    draw = np.random.default_rng(zlib.crc32(jax.tree_util.keystr(path).encode()))
    names = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path]
    ranges = {"scale": (0.1, 0.3), "var": (0.5, 1.5), "bias": (-0.05, 0.05), "mean": (-0.05, 0.05)}
    if "opt_state" in names or "terms_opt_state" in names:
        values = np.zeros(leaf.shape)
    elif names[-1] == "kernel":
        values = draw.normal(0, np.sqrt(2 / np.prod(leaf.shape[:3])), leaf.shape)
    else:
        values = draw.uniform(*ranges[names[-1]], leaf.shape) if names[-1] in ranges else np.zeros(leaf.shape)
    return values.astype(leaf.dtype)


def made_up_batch(
    batch_size: int, source: tuple[int, int], target: tuple[int, int], num_classes: int = NUM_CLASSES
) -> dict:
    """Arrays of a step of random values; sizes are (width, height)."""
    draw = np.random.default_rng(0)
    shape = (batch_size, source[1], source[0])
    return {
        "source_image": draw.integers(0, 256, (*shape, 3), dtype=np.uint8),
        "source_label": draw.integers(0, num_classes, shape, dtype=np.uint8),
        "target_image": draw.integers(0, 256, (batch_size, target[1], target[0], 3), dtype=np.uint8),
    }


def make(
    network: str,
    source: tuple[int, int],
    target: tuple[int, int] | None = None,
    *,
    stage: str,
    precision: str = "float32",
) -> tuple[train_state.TrainState, Callable]:
    """(state at step 0, state to the next one; the one given is used up), with pictures of (width, height).

    target: as the source where it is None.
    """
    (state, *others), fixed = prepare(network, source, target or source, stage=stage, precision=precision)
    return state, lambda state: train_step(state, *others, **fixed)[0]


def peak_flop(precision: str) -> float:
    """FLOP per second of a large matrix product, the best of five."""
    device = jax.devices()[0]
    side = peak_side(device.platform)
    dtype = np.float32 if precision == "float32" else jnp.bfloat16
    factor = jax.device_put(np.random.default_rng(0).normal(size=(side, side)).astype(dtype))
    product = jax.jit(jnp.matmul)
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        jax.block_until_ready(product(factor, factor))
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds[1:])


def peak_side(platform: str) -> int:
    """Of the matrices that a machine's peak is measured with."""
    return 1024 if platform == "cpu" else 8192


def machine() -> dict:
    """What the numbers were measured on."""
    device = jax.devices()[0]
    found = {"device": device.device_kind, "platform": device.platform, "jax": jax.__version__}
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return found | {"cpu": names[0] if names else platform.processor(), "cores": len(names)}
