"""The fresh process in which a network is measured: python -m dakd_jax.deploy.card.worker; latency.py talks to it.

It reads one JSON object a line and answers each with one: first the order (latency.Order), answered with what the start
took, then {"output": NAME, "calls": N}, answered with their seconds. What libraries print goes nowhere.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable

import numpy as np


def main() -> None:
    """Serves until the input ends."""
    answer, replies = None, os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            if answer is None:
                answer = _Subject(asked)
                told = answer.first(asked["labels"])
            else:
                told = {"seconds": answer.timed(asked["output"], asked["calls"])}
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0][:300]}"}
        replies.write(json.dumps(told) + "\n")
        replies.flush()


class _Subject:
    """A network in its runtime.

    Args:
      order: of latency.Order, as plain data.
    """

    def __init__(self, order: dict):
        if order["cores"] and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, order["cores"])
        for name in order["imports"]:
            importlib.import_module(name)
        module, _, function = order["opener"].partition(":")
        self._open, self._arguments = getattr(importlib.import_module(module), function), order["arguments"]
        self._picture, self._runs = np.load(order["picture"]), {}

    def first(self, labels: str) -> dict:
        """What loading and the first answer took, in seconds, and by how many bytes the process grew at most."""
        before, largest = _resident()
        began = time.perf_counter()
        run = self._run("labels")
        loaded = time.perf_counter()
        found = run(self._picture)
        ended = time.perf_counter()
        np.save(labels, np.asarray(found).astype(np.uint8))
        return {"load": loaded - began, "first": ended - loaded, "peak": max(largest() - before, 0)}

    def timed(self, output: str, calls: int) -> list[float]:
        """Seconds of so many calls, after one that is not timed."""
        run, seconds = self._run(output), []
        for _ in range(calls + 1):
            began = time.perf_counter()
            run(self._picture)
            seconds.append(time.perf_counter() - began)
        return seconds[1:]

    def _run(self, output: str) -> Callable[[np.ndarray], np.ndarray]:
        if output not in self._runs:
            self._runs[output] = self._open(output=output, **self._arguments)
        return self._runs[output]


def _resident() -> tuple[int, Callable[[], int]]:
    """(bytes of this process that are in memory now, what tells the most that ever were from now on)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # pages that are free already would hide what is taken
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the largest so far is forgotten
        return _kib("VmRSS") * 1024, lambda: _kib("VmHWM") * 1024
    except (OSError, KeyError):
        unit = 1 if sys.platform == "darwin" else 1024
        return _most() * unit, lambda: _most() * unit


def _kib(name: str) -> int:
    """Of /proc/self/status."""
    lines = (line.partition(":") for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int({key: value for key, _, value in lines}[name].split()[0])


def _most() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
