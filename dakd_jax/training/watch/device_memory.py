"""What steps need of a device's memory: by the compiler's plan, as observed, and one message where it ran out."""

import contextlib
import ctypes
import gc
import os
import pathlib
from collections.abc import Callable, Iterator

import jax

from dakd_jax.basics.errors import UserError

MARK = "RESOURCE_EXHAUSTED"  # in the runtime's message
FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"
GIB = 2**30
_PROCESS = pathlib.Path("/proc/self")
_OBSERVED = 2  # steps whose memory is looked at


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


class Rise:
    """By how much memory rises over a few steps: what they need besides what was there before them.

    A CPU's is the resident memory of the process, of which Linux keeps the most; a GPU tells its peak. It never
    disturbs: where nothing tells it is 0.
    """

    def __init__(self, device):
        self._device, self._first, self.bytes = device, None, 0

    def after(self, count: int, state) -> None:
        """After each step of a process, from 1, with its state: the first one compiles, the next ones are looked at."""
        if count == 1:
            jax.block_until_ready(state)
            self.begin()
        elif count == 1 + _OBSERVED:
            jax.block_until_ready(state)
            self.close()

    def begin(self) -> None:
        """Looks at what there is, and from now on at what there is besides."""
        with contextlib.suppress(Exception):
            if self._device.platform == "cpu":
                gc.collect()
                ctypes.CDLL(None).malloc_trim(0)  # pages that are free already would hide what is taken
                (_PROCESS / "clear_refs").write_text("5")  # the most so far is forgotten
                self._first = _resident("VmRSS")
            else:
                self._first = self._device.memory_stats()["bytes_in_use"]

    def close(self) -> None:
        """Looks no longer; once more, or without a begin(), it does nothing."""
        first, self._first = self._first, None
        if first is None:
            return
        with contextlib.suppress(Exception):
            on_cpu = self._device.platform == "cpu"
            most = _resident("VmHWM") if on_cpu else self._device.memory_stats()["peak_bytes_in_use"]
            self.bytes = max(0, most - first)


def _resident(name: str) -> int:
    """Bytes of this process in memory, on Linux: 'VmRSS' now, 'VmHWM' the most."""
    lines = (line.partition(":") for line in (_PROCESS / "status").read_text().splitlines())
    return int({key: value for key, _, value in lines}[name].split()[0]) * 1024


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
