"""Everything that training changes, and how it starts."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from dakd_jax.models.segmenter import Segmenter, init_key
from dakd_jax.objectives.adaptation import Method
from dakd_jax.objectives.optimizers import SegmenterOptimizer


class TrainState(flax.struct.PyTreeNode):
    """A pytree of all that training changes. The frozen teacher is no part of it: it is an argument of the step.

    Attributes:
      step: int32 scalar, how many were made.
      params, batch_stats, opt_state: of the segmenter.
      adaptation: {method: its state}; {} without any.
      terms, terms_opt_state: {loss term: its trainable parameters}, and the optimiser's state; {} without any.
    """

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: tuple
    adaptation: dict
    terms: dict
    terms_opt_state: Any


def init_methods(methods: Sequence[Method], seed: int, student: dict, model: Segmenter) -> dict:
    """{method: its state at step 0} beside a student that starts from {'params', 'batch_stats'}."""
    key = functools.partial(init_key, seed)
    return {method.NAME: method.init(key, student, model) for method in methods}


def create(
    segmenter: dict, adaptation: dict, terms: dict | None = None, *, optimizer: SegmenterOptimizer
) -> TrainState:
    """A state at step 0 around given weights: optimisers and schedules are always new.

    Args:
      segmenter: {'params', 'batch_stats'}.
      adaptation: see init_methods.
      terms: {loss term: its trainable parameters}.
    """
    tx = optimizer.build()
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=segmenter["params"],
        batch_stats=segmenter["batch_stats"],
        opt_state=tx.init(segmenter["params"]),
        adaptation=adaptation,
        terms=terms or {},
        terms_opt_state=tx.init(terms) if terms else {},
    )


class StateOfFormat3(flax.struct.PyTreeNode):
    """The state as checkpoints up to format 3 hold it."""

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: tuple
    discriminators: dict
    discriminators_opt_state: dict


def as_format_3(state: TrainState) -> StateOfFormat3:
    """The same in the older form, which knows the adversarial method alone."""
    own = state.adaptation.get("adversarial", {"discriminators": {}, "opt_state": {}})
    return StateOfFormat3(
        state.step, state.params, state.batch_stats, state.opt_state, own["discriminators"], own["opt_state"]
    )


def from_format_3(old: StateOfFormat3, like: TrainState) -> TrainState:
    """A state of the form of `like` with what the older one holds."""
    own = {"discriminators": old.discriminators, "opt_state": old.discriminators_opt_state}
    return like.replace(
        step=old.step,
        params=old.params,
        batch_stats=old.batch_stats,
        opt_state=old.opt_state,
        adaptation={"adversarial": own} if "adversarial" in like.adaptation else {},
    )


@jax.jit
def copied(state: TrainState) -> TrainState:
    """New buffers on the device: the step that follows eats those of the state."""
    return jax.tree.map(jnp.copy, state)


def named_leaves(tree: Any) -> dict[str, Any]:
    """{path joined by dots: leaf} in the order of the tree."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in flat}
