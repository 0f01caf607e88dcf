"""What steps need of a device's memory: by the compiler's plan, as observed, and one message where it ran out."""

import contextlib
import ctypes
import gc
import os
import pathlib
import threading
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


class Rise:
    """By how much memory rises from begin() to close(): what steps need besides what was there before them.

    A CPU's is the resident memory of the process, looked at every few milliseconds; a GPU tells its peak. It never
    disturbs: where nothing tells it is 0.
    """

    def __init__(self, device, seconds_between: float = 0.005):
        self._device, self._seconds = device, seconds_between
        self._stopping, self._thread = threading.Event(), None
        self._first, self.bytes = 0, 0

    def begin(self) -> None:
        """Looks at what there is, and from now on at what there is besides."""
        with contextlib.suppress(Exception):
            if self._device.platform == "cpu":
                _give_back()
                self._first = _resident()
                self._thread = threading.Thread(target=self._look, name="memory", daemon=True)
                self._thread.start()
            else:
                self._first = self._device.memory_stats()["bytes_in_use"]

    def close(self) -> None:
        """Looks no longer; once more, or without a begin(), it does nothing."""
        with contextlib.suppress(Exception):
            if self._thread:
                self._stopping.set()
                self._thread.join()
            elif self._first:
                self.bytes = self._device.memory_stats()["peak_bytes_in_use"] - self._first
        self._thread, self._first = None, 0

    def _look(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while not self._stopping.wait(self._seconds):
                self.bytes = max(self.bytes, _resident() - self._first)


def _resident() -> int:
    """Bytes of this process in memory, on Linux."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _give_back() -> None:
    """What compiling has freed would else be taken again without a rise."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


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
