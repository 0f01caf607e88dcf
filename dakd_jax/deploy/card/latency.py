"""Memory and latency of networks in several runtimes, each in fresh processes, taking turns."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

import dakd_jax
from dakd_jax.deploy.export.program import LABELS, LOGITS

STARTS = 3  # fresh processes of each row, where as many runs are wanted
IN_A_TURN = 4  # timed calls, after one that is not timed
QUANTILES = {"p50": 50, "p90": 90, "p99": 99}
# For the record: how the figures come about.
METHODS = {
    "latency": "milliseconds from a picture uint8 [1, H, W, 3] in memory to the answer in memory, on the CPU; rows "
    f"take turns of one call that is not timed and up to {IN_A_TURN} that are",
    "cold": "a fresh process that has imported its runtime: loading (for jax compiling too) and the first answer",
    "threads": "the process is bound to that many cores, and the runtime told so",
    "peak_memory": "the largest resident memory of a fresh process through loading and the first answer, less that "
    "before loading, when the runtime was imported (Linux: VmHWM after /proc/self/clear_refs; elsewhere ru_maxrss)",
}


class Order(NamedTuple):
    """A row of the card.

    Attributes:
      opener: 'module:function' of what the worker calls.
      arguments: of it, plain data.
      imports: modules that it needs, imported before anything is measured.
      threads: how many.
      size: (width, height) of the picture.
      outputs: what is timed, of 'labels' and 'logits'.
    """

    opener: str
    arguments: Mapping
    imports: tuple[str, ...]
    threads: int
    size: tuple[int, int]
    outputs: tuple[str, ...] = (LABELS, LOGITS)


class Measured(NamedTuple):
    """Of a row.

    Attributes:
      starts: {'load', 'first', 'peak'} of each fresh process, in seconds and bytes.
      seconds: {output: of each timed call}.
      labels: uint8 [H, W], of the made-up picture.
      problem: why there is nothing more, '' where all went well.
    """

    starts: list[dict]
    seconds: dict[str, list[float]]
    labels: np.ndarray | None = None
    problem: str = ""


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def binds() -> bool:
    """Whether a process can be bound to cores, without which jax takes all."""
    return hasattr(os, "sched_setaffinity")


def picture(size: tuple[int, int]) -> np.ndarray:
    """uint8 [1, H, W, 3] of a (width, height): a made-up one; what a network computes does not depend on it."""
    width, height = size
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[None, :height, :width])


def units(orders: Sequence[Order], runs: int) -> int:
    """How often `on_progress` of measure is called."""
    return starts(runs) * len(orders) + len(_turns(runs)) * sum(len(order.outputs) for order in orders)


def measure(orders: Sequence[Order], runs: int, on_progress: Callable[[], None] = lambda: None) -> list[Measured]:
    """All rows, in their order. One that fails has a `problem`, and the others go on.

    Args:
      runs: timed calls of each row and output.
      on_progress: called after each turn of a row, `units` times.
    """
    found = [Measured([], {output: [] for output in order.outputs}) for order in orders]
    with tempfile.TemporaryDirectory(prefix="dakd_card_") as folder, contextlib.ExitStack() as stack:
        workers: dict[int, _Worker] = {}
        for _ in range(starts(runs)):
            for row, order in enumerate(orders):
                if row in workers:
                    workers.pop(row).close()
                if not found[row].problem:
                    workers[row] = worker = stack.enter_context(_started(order, pathlib.Path(folder, f"{row}.npy")))
                    found[row] = _first(found[row], worker)
                on_progress()
        for calls in _turns(runs):
            for row, output in ((row, output) for row, order in enumerate(orders) for output in order.outputs):
                if not found[row].problem:
                    found[row] = _turn(found[row], workers[row], output, calls)
                on_progress()
    return found


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds: {'p50', 'p90', 'p99', 'best'}."""
    values = 1e3 * np.asarray(seconds)
    found = {name: float(np.percentile(values, at)) for name, at in QUANTILES.items()}
    return {name: float(f"{value:.4g}") for name, value in (found | {"best": float(values.min())}).items()}


def starts(runs: int) -> int:
    """How many fresh processes each row gets."""
    return min(STARTS, runs)


def _turns(runs: int) -> list[int]:
    """How many calls are timed in each turn."""
    return [min(IN_A_TURN, runs - done) for done in range(0, runs, IN_A_TURN)]


def _first(found: Measured, worker: "_Worker") -> Measured:
    told = worker.ask(worker.order)
    if "error" in told:
        return found._replace(problem=told["error"])
    labels = np.load(worker.labels)
    return found._replace(starts=[*found.starts, told], labels=labels.reshape(labels.shape[-2:]))


def _turn(found: Measured, worker: "_Worker", output: str, calls: int) -> Measured:
    told = worker.ask({"output": output, "calls": calls})
    if "error" in told:
        return found._replace(problem=f"{output}: {told['error']}")
    return found._replace(seconds=found.seconds | {output: found.seconds[output] + told["seconds"]})


class _Worker:
    """A fresh process; worker.py says what it understands."""

    def __init__(self, order: Order, labels: pathlib.Path):
        self.labels = labels
        shown = labels.with_name("picture_{}x{}.npy".format(*order.size))
        if not shown.exists():
            np.save(shown, picture(order.size))
        files = {"picture": str(shown), "labels": str(labels)}
        self.order = order._asdict() | files | {"cores": usable_cores()[: order.threads]}
        root = pathlib.Path(dakd_jax.__file__).resolve().parents[1]
        paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        quiet = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(paths)}
        environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dakd_jax.deploy.card.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment | quiet,
        )

    def ask(self, asked: dict) -> dict:
        """What it answers, or {'error': what happened to it}."""
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if line:
            return json.loads(line)
        code = self._process.wait()
        return {"error": f"its process ended ({f'signal {-code}' if code < 0 else f'exit code {code}'})"}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()


@contextlib.contextmanager
def _started(order: Order, labels: pathlib.Path) -> Iterator[_Worker]:
    worker = _Worker(order, labels)
    try:
        yield worker
    finally:
        worker.close()
