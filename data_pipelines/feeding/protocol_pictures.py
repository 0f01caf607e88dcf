"""Pictures for many evaluation protocols at once: each file is decoded once, and resized as often as is asked for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.basics import data_files, parallel
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import LAYOUTS, Instances
from data_pipelines.feeding import loaders
from data_pipelines.feeding.input_pipeline import stacked, usable
from data_pipelines.reading import fingerprint, loading
from data_pipelines.reading.examples import Example, Split

View = tuple[tuple[int, int], str]  # (width, height) of a picture, and the Pillow filter that makes it so


class _Loaded(NamedTuple):
    """All that is wanted of a picture: {view or label size: array}; instances are None where there are none."""

    picture: np.ndarray
    views: dict[View, np.ndarray]
    labels: dict[tuple[int, int] | None, np.ndarray]
    instances: np.ndarray | None


def batches(
    split: Split,
    *,
    views: Sequence[View],
    label_sizes: Sequence[tuple[int, int] | None] = (),
    batch_size: int,
    instances: bool = False,
    skip: frozenset[str] = frozenset(),
    num_parallel_calls: int = 1,
) -> Iterator[dict[str, Any]]:
    """The pictures of a split in order, in batches of one native size, read ahead as by input_pipeline.eval_batches.

    Pictures and labels are the same bytes that input_pipeline.eval_batches gives at these sizes, from files always:
    prepared records hold a picture at one size only.

    Args:
      views: sizes and filters that the pictures are wanted at.
      label_sizes: (width, height) that labels are wanted at, by nearest neighbour; None is the native one. () reads
        no labels.
      batch_size: >= 1.
      instances: whether to read the instances.
      skip: names of pictures that are passed over.
      num_parallel_calls: as of eval_batches.

    Returns:
      dicts of `names`, a tuple of n <= batch_size strings; `size`, the (height, width) of these pictures' files;
      `pictures`, a list of n uint8 [H, W, 3] RGB; `views` {view: uint8 [batch_size, h, w, 3]}, black where there is
      no picture; `labels` {label size: uint8 [n, h, w] of train ids, 255 = ignore}; `instances`, a list of n int32
      [H, W] (Instances.counted) or of None.

    Raises:
      DataError: a split with a problem or without files or labels; while iterating, a broken file.
    """
    split = usable(split, labelled=bool(label_sizes))
    if not data_files.is_folder(split.root):
        raise DataError(
            f"{split.dataset}: no folder {split.root}; this reads the pictures at several sizes, so prepared records "
            "are not enough: restore the folder"
        )

    of_dataset = LAYOUTS[split.dataset].instances if instances else None

    def load(example: Example) -> _Loaded:
        picture = loading.decode_image(example, split.bit_depth)
        label = _label(split, example, picture) if label_sizes else None
        return _Loaded(
            picture,
            {view: loading.resize(picture, *view) for view in views},
            {size: _resized(label, size) for size in label_sizes},
            of_dataset and _instances(example, of_dataset),
        )

    def make_batch(examples: list[Example], loaded: list[_Loaded]) -> dict[str, Any]:
        return {
            "names": tuple(example.name for example in examples),
            "size": loaded[0].picture.shape[:2],
            "pictures": [one.picture for one in loaded],
            "views": {view: stacked([one.views[view] for one in loaded], batch_size) for view in views},
            "labels": {size: np.stack([one.labels[size] for one in loaded]) for size in label_sizes},
            "instances": [one.instances for one in loaded],
        }

    return loaders.batches_ahead(
        load,
        (example for example in split.examples if example.name not in skip),
        make_batch,
        key=lambda example, one: one.picture.shape,
        batch_size=batch_size,
        num_threads=parallel.num_threads(num_parallel_calls),
    )


def _label(split: Split, example: Example, picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W] of train ids at native size."""
    label, unknown_pixels = loading.load_label(example.label, example.encoding)
    if label.shape != picture.shape[:2]:
        raise loading.sizes_differ(example, picture.shape[1::-1], label.shape[1::-1])
    split.count_unknown(example, unknown_pixels)
    return label


def _resized(label: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    return label if size is None else loading.resize(label, size, "nearest")


def _instances(example: Example, of_dataset: Instances) -> np.ndarray:
    path = of_dataset.file(example.label)
    pixels = loading.decode(path)
    (height, width), size = pixels.shape[:2], loading.picture_size(example.label)
    if (width, height) != size:
        raise DataError(
            f"{path}: these instances are {width}x{height} (width x height) but {example.label} is "
            f"{size[0]}x{size[1]}; restore the files"
        )
    if pixels.ndim != 2 or pixels.dtype.kind not in "iu":
        raise DataError(f"{path}: expected one whole number per pixel, got colours or fractions; restore the file")
    return of_dataset.counted(pixels)


def instances_problem(split: Split) -> str:
    """Why the instances of a labelled split cannot be scored, '' when every picture has them."""
    if not LAYOUTS[split.dataset].instances:
        return f"{split.dataset} has no instance labels"
    missing = [path for path in instance_files(split) if not data_files.is_file(path)]
    if not missing:
        return ""
    first, wanted = data_files.below(missing[0], split.root), LAYOUTS[split.dataset].instances.wanted
    return f"{len(missing)} of {len(split)} pictures have no {wanted}, the first {first}"


def instance_files(split: Split) -> list[Path]:
    """Files of the instances of a labelled split, there or not."""
    return [LAYOUTS[split.dataset].instances.file(example.label) for example in split.examples]


def instances_fingerprint(split: Split) -> str:
    """sha256 in hex of the instance files, '' where they are not complete."""
    if instances_problem(split):
        return ""
    files = instance_files(split)
    return fingerprint.of_files(split.root, files, fingerprint.sample_files(files))
