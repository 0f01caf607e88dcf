"""Reading and writing beside the network: threads that are a few items ahead, or behind."""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AHEAD = 2  # items that are read, and such that are written, at a time

Item, Made = TypeVar("Item"), TypeVar("Made")


def map_ahead(
    name: str, function: Callable[[Item], Made], items: Iterable[Item], threads: int = AHEAD
) -> Iterator[Made]:
    """function(item) in the order of the items, in threads called `name`; AHEAD are under way while one is used.

    Args:
      threads: with one, an item is begun when the one before is done.
    """
    pool, waiting = ThreadPoolExecutor(threads, thread_name_prefix=name), deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        getattr(items, "close", lambda: None)()  # now, not when a traceback lets go of them: threads may be in there


def drawn_ahead(name: str, items: Iterator[Item]) -> Iterator[Item]:
    """The items, each drawn in a thread called `name` while those before it are used."""
    end = object()
    with contextlib.closing(map_ahead(name, lambda _: next(items, end), itertools.repeat(None), threads=1)) as drawn:
        yield from itertools.takewhile(lambda item: item is not end, drawn)
