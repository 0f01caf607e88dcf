"""Pictures to choose a checkpoint by, without a label of the target: some of source val and of the target's own."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.basics import parallel
from data_pipelines.feeding import loaders
from data_pipelines.feeding.input_pipeline import eval_batches, stacked, usable
from data_pipelines.reading.examples import Split
from data_pipelines.reading.loading import LoadedExample
from data_pipelines.reading.reading import Reader


def spread(split: Split, count: int) -> Split:
    """The split with at most `count` of its examples, spread evenly over their order."""
    count = min(count, len(split))
    chosen = [i * len(split) // count for i in range(count)]
    return dataclasses.replace(split.subset(chosen), notes=())


def labelled_batches(
    split: Split,
    size: tuple[int, int],
    *,
    count: int,
    batch_size: int,
    num_parallel_calls: int = 1,
    host: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, Any]]:
    """Batches of eval_batches over some pictures of a labelled split, pictures and labels at one (width, height)."""
    how = {"batch_size": batch_size, "num_parallel_calls": num_parallel_calls, "host": host}
    return eval_batches(spread(split, count), image_size=size, label_size=size, **how)


def unlabelled_batches(
    split: Split,
    size: tuple[int, int],
    *,
    count: int,
    batch_size: int,
    num_parallel_calls: int = 1,
    host: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, Any]]:
    """Some pictures of a split in batches of constant size.

    Args:
      size: (width, height) of the pictures.
      count: >= 1, how many pictures at most.
      host: (index, count) of the hosts that share the batches, see eval_batches.
      num_parallel_calls: as of eval_batches.

    Returns:
      dicts of `image` uint8 [B, h, w, 3] RGB and `mask` bool [B], False for black padding at the end.

    Raises:
      DataError: a split with a problem; while iterating, a broken file.
    """
    chosen = spread(usable(split, labelled=False), count)
    reader = Reader(chosen, tuple(size), tuple(size), labelled=False)
    reader.require()

    def make_batch(indices: list[int], loaded: list[LoadedExample]) -> dict[str, Any]:
        return {"image": stacked([e.image for e in loaded], batch_size), "mask": np.arange(batch_size) < len(indices)}

    return loaders.batches_ahead(
        reader.load,
        [index for index in range(len(chosen)) if index // batch_size % host[1] == host[0]],
        make_batch,
        key=lambda index, loaded: index // batch_size,
        batch_size=batch_size,
        num_threads=parallel.num_threads(num_parallel_calls),
    )
