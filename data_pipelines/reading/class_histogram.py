"""How many pixels of each class every label of a split has, at native size: for the doctor and rare-class sampling."""

import dataclasses
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.basics import atomic_files, parallel
from data_pipelines.basics.errors import DataError
from data_pipelines.reading import loading
from data_pipelines.reading.examples import Example, Split
from data_pipelines.reading.label_spaces import NUM_CLASSES

# Raise it when the counts of unchanged files change, e.g. with a table of label_spaces.
_VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class ClassHistogram:
    """Pixels of each class in each label of a split.

    Attributes:
      names: of the examples, in the split's order.
      counts: int64 [len(names), 20]: pixels of the 19 train ids and, last, of 255, at the label's native size.
    """

    names: tuple[str, ...]
    counts: np.ndarray


def class_histogram(
    split: Split,
    cache_dir: str | os.PathLike | None = None,
    progress: Callable[[int, int], None] | None = None,
    num_workers: int = 1,
) -> ClassHistogram:
    """Counts the classes of every label of a split, or finds them counted before: in prepared records, or the cache.

    Args:
      split: a labelled split.
      cache_dir: folder for one file per content of a split; None counts anew and keeps nothing.
      progress: called with (labels done, labels in all) as they are counted.
      num_workers: >= 1, processes to count with.

    Raises:
      DataError: a split without labels, a label that cannot be read, or a cache folder that cannot be written.
    """
    unlabelled = next((example for example in split.examples if example.label is None), None)
    if unlabelled or not split.examples:
        what = f"{unlabelled.name} has none" if unlabelled else "it has no pictures"
        raise DataError(f"{split.dataset} {split.split} in {split.root}: its classes are counted in labels, but {what}")
    names = tuple(example.name for example in split.examples)
    if split.parts:
        parts = [class_histogram(part, cache_dir, progress, num_workers) for part in split.parts]
        return ClassHistogram(names, np.concatenate([part.counts for part in parts]))
    if split.records:
        return ClassHistogram(names, split.records[0].class_counts(names))
    if cache_dir is not None and (counts := _cached(cache_file(split, cache_dir), len(names))) is not None:
        return ClassHistogram(names, counts)
    counts = np.stack(parallel.map_in_processes(_of_example, split.examples, num_workers, progress))
    histogram = ClassHistogram(names, counts)
    if cache_dir is not None:
        save(histogram, cache_file(split, cache_dir))
    return histogram


def of_train_ids(train_ids: np.ndarray) -> np.ndarray:
    """int64 [20]: pixels of the 19 classes and, last, of everything else in a label uint8 [H, W]."""
    values = np.array(Image.fromarray(train_ids).histogram(), np.int64)  # ten times as fast as np.bincount
    return np.append(values[:NUM_CLASSES], values[NUM_CLASSES:].sum())


def cache_file(split: Split, cache_dir: str | os.PathLike) -> Path:
    """Where class_histogram keeps the counts of a split."""
    return Path(cache_dir).expanduser() / f"{split.dataset}-{split.split}-v{_VERSION}-{split.fingerprint[:32]}.npz"


def save(histogram: ClassHistogram, file: Path) -> None:
    """Writes a cache file as a whole. Raises a DataError when that cannot be done."""
    try:
        with atomic_files.replacing(file) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(stream, names=np.array(histogram.names), counts=histogram.counts)
    except OSError as error:
        raise DataError(
            f"cannot write {file}: {error.strerror or error}; make room, allow writing or choose another folder"
        ) from error


def _cached(file: Path, number: int) -> np.ndarray | None:
    """The counts in a cache file; None when there is no such file, or a damaged one."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            counts = stored["counts"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return counts if counts.shape == (number, NUM_CLASSES + 1) else None


def _of_example(example: Example) -> np.ndarray:
    return of_train_ids(loading.load_label(example.label, example.encoding)[0])
