"""The same function over many items, in processes of this machine; how many threads it is worth."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from data_pipelines.basics import plugins

WORTH_A_POOL = 64  # items; fewer are done before a second process has started
_CHUNK = 8
MOST_THREADS = 16  # unless more are asked for: each holds pictures, and one interpreter serves them all
_PR_SET_PDEATHSIG = 1

Item = TypeVar("Item")
Result = TypeVar("Result")


def num_threads(asked: int) -> int:
    """`asked`; for 0 as many as there are cores that this process may use, MOST_THREADS at most."""
    if asked:
        return asked
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MOST_THREADS)


def map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """[function(item) for item in items], in their order.

    Args:
      function: of a module, so that another process can import it.
      num_workers: with 1, for few items, or where no process can be started, this one does it all.
      progress: called with (items done, items in all) after each item.

    Raises:
      whatever the function raises, for the first such item.
    """
    results: list[Result] = []

    def collect(found) -> None:
        for result in found:
            results.append(result)
            if progress:
                progress(len(results), len(items))

    if num_workers > 1 and len(items) >= WORTH_A_POOL:
        pool = worker_pool(num_workers)
        try:
            collect(pool.map(function, items, chunksize=_CHUNK))
        except BrokenProcessPool:
            # A caller without a main guard, or typed at a prompt, cannot be imported by a new process.
            pass
        finally:
            pool.shutdown(cancel_futures=True)
    collect(map(function, items[len(results) :]))
    return results


def worker_pool(num_workers: int) -> ProcessPoolExecutor:
    """A pool of worker processes in which the plugins that are loaded here now are loaded too."""
    # Spawned: a fork of a process with threads, as jax and tensorflow have, may hang.
    how = {"mp_context": get_context("spawn"), "initializer": be_a_worker, "initargs": (plugins.loaded(),)}
    return ProcessPoolExecutor(num_workers, **how)


def be_a_worker(names: Sequence[str] = ()) -> None:
    """Initialises a worker process: Ctrl-C and SIGHUP are left to its parent, and it ends when the parent does.

    Args:
      names: of the plugins that the parent has loaded: jobs may hold objects of their classes.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):  # Linux has this
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    plugins.load_as_a_worker(names)
