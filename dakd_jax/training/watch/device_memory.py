"""Out of memory on the device: one message with what a step needs, and what to lower."""

import contextlib
import os
from collections.abc import Callable, Iterator

import jax

from dakd_jax.basics.errors import UserError

MARK = "RESOURCE_EXHAUSTED"  # in the runtime's message
FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"
GIB = 2**30


@contextlib.contextmanager
def explained(plan: Callable[[], dict[str, int]]) -> Iterator[None]:
    """Turns the runtime's error into a UserError; everything else passes.

    Args:
      plan: what a step needs, bytes by name; called only when memory ran out.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if MARK not in str(error):
            raise
        raise UserError(_message(plan())) from error


def step_plan(compiled, **arguments) -> dict[str, int]:
    """Bytes by name: each argument of a step, and 'computing', what the compiler sets aside besides.

    Args:
      compiled: a jax.stages.Compiled of the step.
      arguments: its trees of arrays (or their shapes), by a name for people.
    """
    plan = {
        name: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)) for name, tree in arguments.items()
    }
    analysis = compiled.memory_analysis()
    return plan | ({"computing": int(analysis.temp_size_in_bytes)} if analysis else {})


def _message(plan: dict[str, int]) -> str:
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in plan.items())
    return (
        f"out of memory on {_device()}: a step needs about {sum(plan.values()) / GIB:.2f} GiB ({parts}). Lower "
        "--config.data.batch_size, --config.data.source_size, target_size or teacher_size, or set "
        "--config.train.precision=bfloat16 (a stage with other settings starts anew); in an evaluation lower "
        "--config.eval.batch_size, and the same command goes on from the last checkpoint"
    )


def _device() -> str:
    device = jax.devices()[0]
    limit = (device.memory_stats() or {}).get("bytes_limit")
    fraction = f", {FRACTION}={os.environ[FRACTION]}" if FRACTION in os.environ else ""
    return device.device_kind + (f" (of which {limit / GIB:.2f} GiB may be used{fraction})" if limit else "")
