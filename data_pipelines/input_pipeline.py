"""Streams of training batches and padded evaluation batches, as dicts of numpy arrays."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines import loaders, loading, transforms
from data_pipelines.domains import Domains, check_settings, check_size, open_domains
from data_pipelines.errors import DataError
from data_pipelines.example_order import ExampleOrder
from data_pipelines.examples import Example, Split
from data_pipelines.label_spaces import IGNORE_LABEL

__all__ = ["Domains", "eval_batches", "open_domains", "train_batches"]

# Numbers of the two training streams: they are shuffled and augmented independently.
_LABELLED_STREAM, _TARGET_STREAM = 0, 1


def train_batches(
    data_config: Any,
    domains: Domains,
    *,
    seed: int,
    start_step: int,
    source: str = "source",
    with_target: bool = True,
) -> Iterator[dict[str, np.ndarray]]:
    """An endless iterator of training batches, from `start_step` on.

    The batch of a step depends on the seed, the step and the data only: not on the loader, the number of
    threads, the cache, or on where the iteration began.

    Args:
      data_config: config.data.
      domains: what open_domains returned.
      seed: >= 0.
      start_step: number of the first batch; a late one costs no more than 0.
      source: 'source', or 'target' to train on the target's labels, at target_size (the upper bound).
      with_target: whether batches hold target pictures.

    Returns:
      dicts of `source_image` uint8 [B, H, W, 3] RGB, `source_label` uint8 [B, H, W] train ids with 255 =
      ignore, and with_target `target_image` uint8 [B, H', W', 3].

    Raises:
      DataError: wrong setting, unusable split, loader 'tf' without tensorflow; while iterating, a bad file.
    """
    check_settings(data_config)
    if source not in ("source", "target"):
        raise DataError(f"source={source!r}: expected 'source' or 'target'")
    make_stream = _stream_factory(data_config, seed)
    labelled_split = domains.source_train if source == "source" else domains.target_train
    labelled = make_stream(labelled_split, data_config[f"{source}_size"], _LABELLED_STREAM, labelled=True)
    target = None
    if with_target:
        target = make_stream(domains.target_train, data_config.target_size, _TARGET_STREAM, labelled=False)

    def make_arrays(step: int) -> list[np.ndarray]:
        positions = range(step * data_config.batch_size, (step + 1) * data_config.batch_size)
        images, labels = zip(*map(labelled.load, positions), strict=True)
        arrays = [np.stack(images), np.stack(labels)]
        return arrays + ([np.stack([target.load(p)[0] for p in positions])] if target else [])

    keys = ("source_image", "source_label") + (("target_image",) if target else ())
    run = loaders.LOADERS[data_config.loader]
    calls, prefetch = data_config.num_parallel_calls, data_config.prefetch
    return run(make_arrays, keys, start_step, num_parallel_calls=calls, prefetch=prefetch)


def eval_batches(
    split: Split | None,
    *,
    image_size: tuple[int, int],
    batch_size: int,
    label_size: tuple[int, int] | None = None,
    resample: str = "bicubic",
) -> Iterator[dict[str, Any]]:
    """Every picture of a labelled split once, in order, in batches of constant size; one batch is made ahead.

    A batch is filled up with padding at the end of the split and where the labels' size changes.

    Args:
      split: a labelled split.
      image_size: (width, height) of the pictures.
      batch_size: >= 1.
      label_size: (width, height) of the labels, resized by nearest neighbour; None keeps their native size.
      resample: 'bicubic' or 'bilinear', for the pictures.

    Returns:
      dicts of `image` uint8 [B, h, w, 3] RGB, `label` uint8 [B, H, W] train ids with 255 = ignore, `mask`
      bool [B] and `names`, a tuple of B strings. Padding is mask False, name '', a black picture, label 255.

    Raises:
      DataError: a split without labels or with a problem; while iterating, a broken file.
    """
    split = _usable(split, labelled=True)
    check_size("image_size", image_size)
    if label_size is not None and min(label_size) < 1:
        raise DataError(f"label_size={tuple(label_size)}: expected (width, height) of at least 1")
    if batch_size < 1:
        raise DataError(f"batch_size={batch_size}: expected a number >= 1")
    if resample not in ("bicubic", "bilinear"):
        raise DataError(f"resample={resample!r}: expected 'bicubic' or 'bilinear'")

    def make_batch(examples: list[Example]) -> dict[str, Any]:
        loaded = [loading.load_example(example, image_size, label_size, resample) for example in examples]
        for example, (_, _, unknown_pixels) in zip(examples, loaded, strict=True):
            split.count_unknown(example, unknown_pixels)
        padding = batch_size - len(examples)
        return {
            "image": _stack_padded([e.image for e in loaded], padding, 0),
            "label": _stack_padded([e.label for e in loaded], padding, IGNORE_LABEL),
            "mask": np.arange(batch_size) < len(examples),
            "names": tuple(example.name for example in examples) + ("",) * padding,
        }

    return loaders.map_ahead(make_batch, _plan(split, batch_size, label_size), num_threads=1, ahead=1)


def _usable(split: Split | None, *, labelled: bool) -> Split:
    """Returns the split, or raises the reason why it cannot be used."""
    if split is None:
        raise DataError("this run was opened without that split; open the domains with what the stage needs")
    if split.problem:
        raise DataError(split.problem)
    if labelled and any(example.label is None for example in split.examples):
        raise DataError(f"{split.dataset} {split.split} in {split.root} was opened without labels; they are needed")
    return split


def _plan(split: Split, batch_size: int, label_size: tuple[int, int] | None) -> Iterator[list[Example]]:
    """Groups consecutive examples whose labels stack; looks at one label's header at a time."""
    group: list[Example] = []
    group_size = None
    for example in split.examples:
        size = label_size or loading.picture_size(example.label)
        if group and (len(group) == batch_size or size != group_size):
            yield group
            group = []
        group.append(example)
        group_size = size
    if group:
        yield group


def _stack_padded(arrays: list[np.ndarray], padding: int, fill: int) -> np.ndarray:
    return np.stack([*arrays, *[np.full_like(arrays[0], fill)] * padding])


@dataclasses.dataclass(frozen=True)
class _Stream:
    """A shuffled, endless sequence of decoded examples."""

    split: Split
    size: tuple[int, int]
    labelled: bool
    number: int
    order: ExampleOrder
    augmentation: transforms.Augmentation
    cache: "_PictureCache"

    def load(self, position: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Picture uint8 [H, W, 3] and label uint8 [H, W] (None for an unlabelled stream) at a position."""
        index = self.order.index(position)
        image, label = self.cache.get((self.number, index), lambda: self._decode(self.split.examples[index]))
        if self.augmentation.active:
            rng = self.order.augmentation_rng(position)
            image, label = transforms.augment(image, label, self.augmentation, rng)
        return image, label

    def _decode(self, example: Example) -> tuple[np.ndarray, np.ndarray | None]:
        example = example if self.labelled else dataclasses.replace(example, label=None)
        image, label, unknown_pixels = loading.load_example(example, self.size, self.size)
        self.split.count_unknown(example, unknown_pixels)
        return image, label


def _stream_factory(data: Any, seed: int) -> Callable[..., _Stream]:
    """Streams that share one cache."""
    cache = _PictureCache(data.cache_mb * 2**20)
    augmentation = transforms.Augmentation(data.mirror, tuple(data.scale))

    def make(split: Split | None, size: tuple[int, int], number: int, *, labelled: bool) -> _Stream:
        split = _usable(split, labelled=labelled)
        order = ExampleOrder(len(split), seed=seed, stream=number)
        return _Stream(split, tuple(size), labelled, number, order, augmentation, cache)

    return make


class _PictureCache:
    """Keeps decoded, resized examples up to a number of bytes; what does not fit is made anew each time."""

    def __init__(self, limit_bytes: int):
        self._kept: dict = {}
        self._free_bytes = limit_bytes
        self._lock = threading.Lock()

    def get(self, key, make: Callable[[], tuple[np.ndarray, np.ndarray | None]]):
        """The pair of arrays under the key; make() is called, outside the lock, when it is not kept."""
        if (found := self._kept.get(key)) is not None:
            return found
        made = make()
        num_bytes = sum(array.nbytes for array in made if array is not None)
        with self._lock:
            if key not in self._kept and num_bytes <= self._free_bytes:
                self._kept[key] = made
                self._free_bytes -= num_bytes
        return made
