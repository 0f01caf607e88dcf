"""Everything that training changes, and how it starts."""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import blank_segmenter as blank_segmenter
from dakd_jax.models.segmenter import init_key, init_variables
from dakd_jax.models.segmenter import init_segmenter as init_segmenter
from dakd_jax.objectives.adaptation.adversarial import LEVELS
from dakd_jax.training.optimizers import DiscriminatorOptimizer, SegmenterOptimizer


class TrainState(flax.struct.PyTreeNode):
    """A pytree with the step, the segmenter and the discriminators (empty dicts without adaptation).

    The frozen teacher is no part of it: it is an argument of the step.
    """

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: tuple
    discriminators: dict
    discriminators_opt_state: dict


def init_discriminators(model: Discriminator, seed: int, num_classes: int, levels: str) -> dict:
    """{level: parameters} for the levels of LEVELS[levels]."""
    keys = {level: init_key(seed, f"discriminator/{level}") for level in LEVELS[levels]}
    return {level: _init_discriminator(key, model=model, num_classes=num_classes) for level, key in keys.items()}


@functools.partial(jax.jit, static_argnames=("model", "num_classes"))
def _init_discriminator(key, *, model, num_classes):
    return model.init(key, jnp.zeros((1, 32, 32, num_classes)))["params"]


def blank(chosen) -> TrainState:
    """A state of shapes alone for stage_job.StageSettings, to be filled from a file; compiles nothing."""
    levels = LEVELS[chosen.options.levels] if chosen.options.adapt else ()
    return _blank(chosen.models, levels, chosen.optimizer, chosen.discriminator_optimizer)


@functools.cache  # of all stages of a plan, most have one kind of state
def _blank(models, levels, optimizer, discriminator_optimizer):
    def make():
        key, classes = jax.random.key(0), jnp.zeros((1, 32, 32, models.segmenter.num_classes))
        discriminators = {level: models.discriminator.init(key, classes)["params"] for level in levels}
        return create(
            init_variables(models.segmenter, key),
            discriminators,
            optimizer=optimizer,
            discriminator_optimizer=discriminator_optimizer,
        )

    return jax.eval_shape(make)


def create(
    segmenter: dict,
    discriminators: dict,
    *,
    optimizer: SegmenterOptimizer,
    discriminator_optimizer: DiscriminatorOptimizer,
) -> TrainState:
    """A state at step 0 around given weights: optimisers and schedules are always new."""
    tx = discriminator_optimizer.build()
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=segmenter["params"],
        batch_stats=segmenter["batch_stats"],
        opt_state=optimizer.build().init(segmenter["params"]),
        discriminators=discriminators,
        discriminators_opt_state={level: tx.init(params) for level, params in discriminators.items()},
    )


@jax.jit
def copied(state: TrainState) -> TrainState:
    """New buffers on the device: the step that follows eats those of the state."""
    return jax.tree.map(jnp.copy, state)


def named_leaves(tree: Any) -> dict[str, Any]:
    """{path joined by dots: leaf} in the order of the tree."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in flat}
