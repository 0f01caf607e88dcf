"""Batches on their way to the device while it computes, and how long it had to wait for them."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax

DEPTH = 2  # batches on the device beside the one in use
# So much of the time of so many rows of the log on end is a slow disk or too few threads.
SLOW_SHARE, SLOW_ROWS = 0.5, 5


def prefetch_to_device(
    batches: Iterator[dict], depth: int = DEPTH, place: Callable[[dict], dict] = jax.device_put
) -> Iterator[dict]:
    """The same batches as arrays of the device; up to `depth` of them are fetched and sent before their turn.

    A thread fetches, so that a late batch holds back none that is here. Closes `batches` when it is closed itself.

    Args:
      place: from a batch of numpy arrays to one on the device or devices.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="device")

    def fetch() -> dict | None:
        batch = next(batches, None)
        return None if batch is None else place(batch)

    queue = deque(pool.submit(fetch) for _ in range(depth))
    try:
        while (batch := queue.popleft().result()) is not None:
            queue.append(pool.submit(fetch))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
        if hasattr(batches, "close"):
            batches.close()


class DataWait:
    """Measures how much of the time the device stood still for want of a batch.

    Waiting counts only when the device has nothing left to do at its end: an upper bound, since it may have become
    idle half way. Starting up, evaluations and saves are nobody's wait: `restart` after them.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now, self._began = now, None
        self._waited = self._lap_waited = self._seconds = 0.0

    def next(self, batches: Iterator[dict], running: jax.Array | None) -> dict:
        """next(batches); `running` is a result of the latest step, None before the first one."""
        start = self._now()
        batch = next(batches)
        end = self._now()
        if self._began is None:
            self._began = end
        elif running is None or running.is_ready():
            self._lap_waited += end - start
        return batch

    def lap(self) -> float:
        """The share of waiting, 0 to 1, since the last lap or restart."""
        if self._began is None:
            return 0.0
        seconds, waited = self._now() - self._began, self._lap_waited
        self._seconds, self._waited = self._seconds + seconds, self._waited + waited
        self.restart()
        return waited / max(seconds, 1e-9)

    def restart(self) -> None:
        """Leaves the time since the last lap out."""
        self._began, self._lap_waited = self._now(), 0.0

    @property
    def share(self) -> float:
        """Over all laps, 0 to 1."""
        return self._waited / max(self._seconds, 1e-9)


class SlowDataAdvice:
    """Says once what to do when the device waited for data more than SLOW_SHARE of the time, SLOW_ROWS rows on end."""

    def __init__(self, say: Callable[[str], None]):
        self._say, self._rows = say, 0

    def add(self, share: float) -> None:
        """`share`: what DataWait.lap returned for a row."""
        self._rows = self._rows + 1 if share > SLOW_SHARE else 0
        if self._rows == SLOW_ROWS and self._say:
            self._say(
                f"the device waits for data {100 * share:.0f} % of the time: prepare records (python -m "
                "data_pipelines.prepare), or raise --config.data.num_parallel_calls or --config.data.cache_mb"
            )
            self._say = None
