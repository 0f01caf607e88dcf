"""Batches on their way to the device while it computes, and how long it had to wait for them."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

import jax

DEPTH = 2  # batches on the device beside the one in use


def prefetch_to_device(batches: Iterator[dict], depth: int = DEPTH) -> Iterator[dict]:
    """The same batches as arrays of the device; the transfer of up to `depth` of them has begun before their turn.

    Closes `batches` when it is closed itself.
    """
    # A transfer is begun and not waited for, so this runs on the thread of the loop.
    queue = deque(map(jax.device_put, islice(batches, depth)))
    try:
        while queue:
            yield queue.popleft()
            queue.extend(map(jax.device_put, islice(batches, 1)))
    finally:
        if hasattr(batches, "close"):
            batches.close()


class DataWait:
    """Measures how much of the time the device stood still for want of a batch.

    Waiting counts only when the device has nothing left to do at its end: an upper bound, since it may have become
    idle half way. `share` is that time divided by all time, from the first `next` on.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now, self._began, self._waited = now, None, 0.0

    def next(self, batches: Iterator[dict], running: jax.Array | None) -> dict:
        """next(batches); `running` is a result of the latest step, None before the first one."""
        start = self._now()
        batch = next(batches)
        end = self._now()
        if self._began is None:
            self._began = end  # the start-up is not the loop's wait
        elif running is None or running.is_ready():
            self._waited += end - start
        return batch

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self._waited / max(self._now() - self._began, 1e-9) if self._began is not None else 0.0
