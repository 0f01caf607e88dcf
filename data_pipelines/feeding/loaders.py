"""Two ways to run the same batch function ahead of the training loop: plain threads, or tf.data."""

import contextlib
import importlib.util
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, groupby, islice
from typing import Any, TypeVar

import numpy as np

from data_pipelines.basics.errors import DataError

Batch = dict[str, np.ndarray]
WHICH = "_picture"  # ends the names of arrays that tell which pictures a batch holds: int64; all others are uint8
MakeArrays = Callable[[int], list[np.ndarray]]
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, num_threads: int, ahead: int
) -> Iterator[Result]:
    """Yields function(item) in the order of the items; `ahead` >= 1 of them are under way, or ready, while one is used.

    An exception of the function is raised where its result would have come.
    """
    items = iter(items)
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="data")
    pending = deque(pool.submit(function, item) for item in islice(items, ahead))
    try:
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(items, 1))
            yield result
    finally:  # also when the caller stops early
        pool.shutdown(wait=False, cancel_futures=True)


def batches_ahead(
    load: Callable[[Item], Result],
    items: Iterable[Item],
    make_batch: Callable[[list[Item], list[Result]], Any],
    *,
    key: Callable[[Item, Result], Any],
    batch_size: int,
    num_threads: int,
) -> Iterator[Any]:
    """Yields make_batch(items, what `load` made of them) of neighbours of one key, at most batch_size together.

    Each item is loaded by itself, in one of the threads. While a batch is used the items of the next are under way, or
    as many as there are threads where these are more: no more is in memory. Exceptions are raised as by map_ahead.
    """

    def pair(item: Item) -> tuple[Item, Result]:
        return item, load(item)

    pairs = map_ahead(pair, items, num_threads=num_threads, ahead=max(batch_size, num_threads))
    with contextlib.closing(pairs):
        for _, alike in groupby(pairs, key=lambda pair: key(*pair)):
            while group := list(islice(alike, batch_size)):
                yield make_batch(*map(list, zip(*group, strict=True)))


def numpy_batches(
    make_arrays: MakeArrays, keys: Sequence[str], start_step: int, *, num_parallel_calls: int, prefetch: int
) -> Iterator[Batch]:
    """Batches of step start_step, start_step + 1, ... from a pool of threads.

    Args:
      make_arrays: step to the arrays of its batch.
      keys: names of these arrays.
      start_step: number of the first batch.
      num_parallel_calls: >= 1, batches made at the same time.
      prefetch: >= 0, batches that wait ready beyond those.
    """
    ahead = num_parallel_calls + prefetch
    for arrays in map_ahead(make_arrays, count(start_step), num_threads=num_parallel_calls, ahead=ahead):
        yield dict(zip(keys, arrays, strict=True))


def tf_batches(
    make_arrays: MakeArrays, keys: Sequence[str], start_step: int, *, num_parallel_calls: int, prefetch: int
) -> Iterator[Batch]:
    """The same batches from a tf.data pipeline; arguments as above, dtypes as WHICH says.

    Raises:
      DataError: tensorflow cannot be imported; while iterating, what make_arrays raises.
    """
    tf = _import_tensorflow()
    failures: list[Exception] = []

    def call(step: np.ndarray) -> list[np.ndarray]:
        try:
            return make_arrays(int(step))
        except Exception as error:
            failures.append(error)
            raise

    dtypes = [tf.int64 if key.endswith(WHICH) else tf.uint8 for key in keys]

    def make_batch(step):
        return dict(zip(keys, tf.numpy_function(call, [step], dtypes), strict=True))

    steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
    dataset = steps.map(make_batch, num_parallel_calls=num_parallel_calls, deterministic=True).prefetch(prefetch)

    def iterate() -> Iterator[Batch]:
        try:
            yield from dataset.as_numpy_iterator()
        except tf.errors.OpError:
            if failures:  # tensorflow wraps the error in a page of text: raise the plain one
                raise failures[0] from None
            raise

    return iterate()


def chosen(name: str) -> Callable[..., Iterator[Batch]]:
    """What data.loader means on this machine: where no tensorflow is installed 'tf' is 'numpy', see `notes`."""
    return numpy_batches if name == "numpy" or not _tensorflow_is_installed() else tf_batches


def notes(name: str) -> list[str]:
    """What to tell people of the loader that is taken for data.loader, a line at most."""
    if name == "numpy" or _tensorflow_is_installed():
        return []
    return [
        f"data.loader={name!r}: tensorflow is not installed, so the loader is 'numpy', which gives the same batches"
    ]


def _tensorflow_is_installed() -> bool:
    """Without importing it, which takes seconds."""
    return importlib.util.find_spec("tensorflow") is not None


def _import_tensorflow() -> Any:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # no arithmetic here, and it greets on stderr
    try:
        import tensorflow as tf
    except ImportError as error:
        raise DataError(
            f"data.loader='tf' needs tensorflow, which is installed and cannot be imported ({error}); repair it, "
            "or set --config.data.loader=numpy for the same batches without it"
        ) from None
    # Decoding needs no GPU, and jax wants all of its memory. RuntimeError: the process has used them before.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return tf
