"""Streams of training batches and padded evaluation batches, as dicts of numpy arrays."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.augmentation import class_mix, transforms
from data_pipelines.augmentation.example_order import ExampleOrder
from data_pipelines.augmentation.rare_classes import RareClassOrder
from data_pipelines.basics import parallel
from data_pipelines.basics.errors import DataError, UnreadableFile
from data_pipelines.domains import Domains, check_settings, check_size, class_counts_dir, teacher_size, training_size
from data_pipelines.feeding import loaders
from data_pipelines.feeding.streams import PictureCache, Stream
from data_pipelines.reading.examples import Split
from data_pipelines.reading.label_spaces import IGNORE_LABEL
from data_pipelines.reading.loading import LoadedExample
from data_pipelines.reading.reading import Reader
from data_pipelines.reading.unreadable import Unreadable

# Numbers of the two training streams: they are shuffled and augmented independently.
_LABELLED_STREAM, _TARGET_STREAM = 0, 1
_OF_TEACHER = 2  # added to them for what is kept of the same pictures at the teacher's size


def train_batches(
    data_config: Any,
    domains: Domains,
    *,
    seed: int,
    start_step: int,
    source: str = "source",
    with_target: bool = True,
    mix_classes: bool = True,
    extras: Mapping[str, Any] | None = None,
    host: tuple[int, int] = (0, 1),
    unreadable: Unreadable | None = None,
    network: str = "student",
    taught_on: tuple[str, ...] = (),
    clean: bool = False,
    identified: tuple[str, ...] = (),
) -> Iterator[dict[str, np.ndarray]]:
    """An endless iterator of training batches, from `start_step` on.

    The batch of a step depends on the seed, the step and the data only: not on the loader, the number of
    threads, the cache, records or files, or on where the iteration began. Pictures that cannot be read are replaced:
    then it depends on which they are as well.

    Args:
      data_config: config.data.
      domains: what open_domains returned.
      seed: >= 0.
      start_step: number of the first batch; a late one costs no more than 0.
      source: 'source', or 'target' to train on the target's labels, at target_size (the upper bound).
      with_target: whether batches hold target pictures.
      mix_classes: whether data.class_mix applies; it has no use where the target is not learnt from.
      extras: what adaptation methods ask for besides: {'mixed': {'colour_jitter', 'jitter_probability', 'blur',
        'blur_probability'}} for mixtures of source and target, see class_mix.strongly_mixed.
      host: (index, count): of `count` hosts this one gets its own part of every step's batch.
      unreadable: counts the pictures that cannot be read and are replaced, see streams.py; None counts anew.
      network: who is trained: the 'teacher' sees data.teacher_size, where there is one.
      taught_on: of 'source' and 'target', those whose pictures a teacher is asked about; where data.teacher_size is
        set they come once more at that size, with the same augmentation.
      clean: whether they come once more, and without colour jitter and blur.
      identified: of taught_on, the domains whose batches tell which pictures the teacher sees.

    Returns:
      dicts of `source_image` uint8 [B, H, W, 3] RGB, `source_label` uint8 [B, H, W] train ids with 255 =
      ignore, with_target `target_image` uint8 [B, H', W', 3], and with class-mix `target_label` uint8 [B, H', W']:
      train ids where source classes were pasted, 255 elsewhere. B is data.batch_size / hosts. With mixtures also
      `mixed_image` uint8 [B, H', W', 3] and `mixed_label` uint8 [B, H', W'], as target_label; target_image stays clean.
      With taught_on and a size of the teacher's own also `teacher_source_image`, `teacher_target_image`. For each
      domain of `identified` `source_picture` or `target_picture`, int64 [B, 2]: index of a picture in its split, and
      1 where it is mirrored, else 0.

    Raises:
      DataError: wrong setting, unusable split, a tensorflow that is there and cannot be imported for the loader 'tf';
        while iterating, a wrong label, or more unreadable pictures than data.max_unreadable.
    """
    check_settings(data_config)
    if source not in ("source", "target"):
        raise DataError(f"source={source!r}: expected 'source' or 'target'")
    positions = _positions(data_config.batch_size, host)
    cache = PictureCache(data_config.cache_mb * 2**20)
    unreadable = Unreadable(data_config.max_unreadable) if unreadable is None else unreadable
    open_stream = functools.partial(_stream, data_config, domains, seed, cache, unreadable)
    labelled = open_stream(source, labelled=True, of=network)
    target = open_stream("target", labelled=False, of=network) if with_target else None
    mixes = with_target and mix_classes and data_config.class_mix > 0
    mixed = (extras or {}).get("mixed") if with_target else None
    if mixes and mixed:
        raise DataError(
            f"data.class_mix={data_config.class_mix} and an adaptation method that mixes pictures itself: set "
            "--config.data.class_mix=0"
        )

    identified = tuple(domain for domain in identified if domain == "source" or with_target)
    # The labels tell where the source was pasted.
    taught_on = taught_on if (any(teacher_size(data_config)) or clean) and network != "teacher" else ()
    sizes = {domain: training_size(data_config, domain, "teacher") for domain in ("source", "target")}
    larger = {"source": labelled.seen_otherwise(sizes[source], clean, _OF_TEACHER)} if taught_on else {}
    if "target" in taught_on:
        larger["target"] = target.seen_otherwise(sizes["target"], clean, _OF_TEACHER)

    def make_arrays(step: int) -> list[np.ndarray]:
        drawn = {"source": [labelled.load(position) for position in positions(step)]}
        sources = [one.pair for one in drawn["source"]]
        columns = [*zip(*sources, strict=True)]
        if target:
            drawn["target"] = [target.load(position) for position in positions(step)]
            pictures = [one.image for one in drawn["target"]]
            columns.append(pictures)
        if mixes:
            rngs = [target.order.mixing_rng(position) for position in positions(step)]
            columns[2:] = zip(*map(mix, sources, pictures, rngs), strict=True)
        if mixed:
            rngs = [target.order.mixing_rng(position) for position in positions(step)]
            pairs = zip(sources, pictures, rngs, strict=True)
            columns += zip(*(class_mix.strongly_mixed(*s, p, r, **mixed) for s, p, r in pairs), strict=True)
        if taught_on:
            columns += teachers_columns(positions(step), columns[3] if mixes else None, drawn)
        columns += ([np.array(one[2:], np.int64) for one in drawn[domain]] for domain in identified)
        return [np.stack(column) for column in columns]

    def teachers_columns(where, pasted, drawn) -> list[list[np.ndarray]]:
        """Of each domain of taught_on; what is drawn for it takes the place of the student's in `drawn`."""
        found = {}
        if "source" in taught_on or pasted is not None:
            drawn["source"] = [larger["source"].load(position) for position in where]
            found["source"] = [one.image for one in drawn["source"]]
        if "target" in taught_on:
            drawn["target"] = [larger["target"].load(position) for position in where]
            found["target"] = [one.image for one in drawn["target"]]
            if pasted is not None:
                parts = zip(drawn["source"], found["target"], pasted, strict=True)
                found["target"] = [class_mix.mix_alike(*of.pair, picture, label) for of, picture, label in parts]
        return [found[domain] for domain in taught_on]

    def mix(source: tuple[np.ndarray, np.ndarray], picture: np.ndarray, rng: np.random.Generator) -> tuple:
        if rng.random() < data_config.class_mix:
            return class_mix.mix(*source, picture, rng)
        return picture, np.full(picture.shape[:2], IGNORE_LABEL, np.uint8)

    keys = ("source_image", "source_label", *["target_image"] * bool(target), *["target_label"] * bool(mixes))
    keys += ("mixed_image", "mixed_label") * bool(mixed)
    keys += tuple(f"teacher_{domain}_image" for domain in taught_on)
    keys += tuple(f"{domain}{loaders.WHICH}" for domain in identified)
    run, calls = loaders.chosen(data_config.loader), parallel.num_threads(data_config.num_parallel_calls)
    return run(make_arrays, keys, start_step, num_parallel_calls=calls, prefetch=data_config.prefetch)


def _positions(batch_size: int, host: tuple[int, int]):
    """Step to the positions of this host's part of its batch. Raises DataError when the parts are unequal."""
    index, count = host
    share, rest = divmod(batch_size, count)
    if rest or not 0 <= index < count:
        raise DataError(
            f"data.batch_size={batch_size} for host {index} of {count}: expected a batch that divides among the hosts; "
            "set --config.data.batch_size"
        )
    return lambda step: range(step * batch_size + index * share, step * batch_size + (index + 1) * share)


def _stream(
    data: Any,
    domains: Domains,
    seed: int,
    cache: PictureCache,
    unreadable: Unreadable,
    domain: str,
    *,
    labelled: bool,
    of: str,
) -> Stream:
    """The training pictures of 'source' or 'target', with their labels or without, as a network sees them."""
    split = usable(domains.source_train if domain == "source" else domains.target_train, labelled=labelled)
    own, size = training_size(data, domain), training_size(data, domain, of)
    number = _LABELLED_STREAM if labelled else _TARGET_STREAM
    if labelled and data.rare_class_temperature:
        from data_pipelines.reading.class_histogram import class_histogram

        workers = parallel.num_threads(data.num_parallel_calls)
        counts = class_histogram(split, class_counts_dir(data, split), num_workers=workers).counts
        order = RareClassOrder(counts, seed=seed, stream=number, temperature=data.rare_class_temperature)
    else:
        order = ExampleOrder(len(split), seed=seed, stream=number)
    reader = Reader(split, size, size, labelled=labelled)
    return Stream(reader, order, augmentation_of(data).at(size, own), cache, number, unreadable)


def images(split: Split, size: tuple[int, int], indices: Sequence[int], *, threads: int) -> Iterator[np.ndarray | None]:
    """Pictures of a split, uint8 [h, w, 3] RGB at a (width, height), as train_batches reads them, in that order.

    None in the place of one that cannot be read; some are read ahead. Raises DataError for an unusable split.
    """
    reader = Reader(usable(split, labelled=False), tuple(size), tuple(size), labelled=False)
    reader.require()

    def load(index: int) -> np.ndarray | None:
        try:
            return reader.load(index).image
        except UnreadableFile:
            return None

    threads = parallel.num_threads(threads)
    return loaders.map_ahead(load, indices, num_threads=threads, ahead=2 * threads)


def eval_batches(
    split: Split,
    *,
    image_size: tuple[int, int],
    batch_size: int,
    label_size: tuple[int, int] | None = None,
    resample: str = "bicubic",
    host: tuple[int, int] = (0, 1),
    num_parallel_calls: int = 1,
) -> Iterator[dict[str, Any]]:
    """Every picture of a labelled split once, in order, in batches of constant size.

    A batch is filled up with padding at the end of the split and where the labels' size changes. While one is used
    the pictures of the next are read, or one for each thread where these are more: what is in memory at a time.

    Args:
      split: a labelled split.
      image_size: (width, height) of the pictures.
      batch_size: >= 1.
      label_size: (width, height) of the labels, resized by nearest neighbour; None keeps their native size.
      resample: 'bicubic' or 'bilinear', for the pictures.
      host: (index, count): of `count` hosts this one gets every count-th batch; all together get each once.
      num_parallel_calls: >= 0, as data.num_parallel_calls: pictures read at the same time. The batches are the same.

    Returns:
      dicts of `image` uint8 [B, h, w, 3] RGB, `label` uint8 [B, H, W] train ids with 255 = ignore, `mask`
      bool [B] and `names`, a tuple of B strings. Padding is mask False, name '', a black picture, label 255.

    Raises:
      DataError: a split without labels or with a problem; while iterating, a broken file.
    """
    split = usable(split, labelled=True)
    check_size("image_size", image_size)
    if label_size is not None and min(label_size) < 1:
        raise DataError(f"label_size={tuple(label_size)}: expected (width, height) of at least 1")
    if batch_size < 1:
        raise DataError(f"batch_size={batch_size}: expected a number >= 1")
    if resample not in ("bicubic", "bilinear"):
        raise DataError(f"resample={resample!r}: expected 'bicubic' or 'bilinear'")

    reader = Reader(split, tuple(image_size), label_size and tuple(label_size), resample)
    reader.require()

    def make_batch(indices: list[int], loaded: list[LoadedExample]) -> dict[str, Any]:
        names = [split.examples[index].name for index in indices]
        return {
            "image": stacked([e.image for e in loaded], batch_size),
            "label": stacked([e.label for e in loaded], batch_size, IGNORE_LABEL),
            "mask": np.arange(batch_size) < len(indices),
            "names": (*names, *[""] * (batch_size - len(names))),
        }

    indices, key = range(len(split)), lambda index, loaded: loaded.label.shape  # labels of one size stack
    if host[1] > 1:
        groups = list(itertools.islice(_plan(reader, batch_size), host[0], None, host[1]))
        group_of = {index: number for number, group in enumerate(groups) for index in group}
        indices, key = list(group_of), lambda index, loaded: group_of[index]
    threads = parallel.num_threads(num_parallel_calls)
    return loaders.batches_ahead(reader.load, indices, make_batch, key=key, batch_size=batch_size, num_threads=threads)


def _plan(reader: Reader, batch_size: int) -> Iterator[list[int]]:
    """The batches, by index of their pictures; looks at one label's header at a time."""
    sizes = (reader.label_size or reader.native_label_size(index) for index in range(len(reader.split)))
    for _, alike in itertools.groupby(enumerate(sizes), key=lambda pair: pair[1]):
        while group := [index for index, _ in itertools.islice(alike, batch_size)]:
            yield group


def usable(split: Split, *, labelled: bool) -> Split:
    """Returns the split, or raises the reason why it cannot be used."""
    if split.problem:
        raise DataError(split.problem)
    if labelled and any(example.label is None for example in split.examples):
        raise DataError(f"{split.dataset} {split.split} in {split.root} was opened without labels; they are needed")
    return split


def stacked(arrays: list[np.ndarray], count: int, fill: int = 0) -> np.ndarray:
    """[count, ...] of at most `count` arrays of one shape, and at the end arrays of `fill`."""
    return np.stack([*arrays, *[np.full_like(arrays[0], fill)] * (count - len(arrays))])


def augmentation_of(data: Any) -> transforms.Augmentation:
    """The random operations that config.data asks for."""
    return transforms.Augmentation(
        mirror=data.mirror,
        scale=tuple(data.scale),
        crop=tuple(data.crop),
        colour_jitter=tuple(data.colour_jitter),
        blur=tuple(data.blur),
    )
