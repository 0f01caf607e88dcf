"""Writing a set of prepared records, shard by shard, so that a killed preparation goes on where it was.

Everything is written to NAME.partial, every file under a temporary name until it is whole, the description last; then
the folder is renamed to NAME. What is called NAME is therefore whole.
"""

import contextlib
import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from data_pipelines.basics import atomic_files, data_files
from data_pipelines.basics.errors import DataError
from data_pipelines.reading import class_histogram, loading, prepared_records
from data_pipelines.reading.examples import Example, Split
from data_pipelines.reading.label_spaces import NUM_CLASSES
from data_pipelines.reading.loading import LoadedExample
from data_pipelines.reading.prepared_records import RESAMPLE, Description

NO_COUNTS = np.zeros(NUM_CLASSES + 1, np.int64)  # of a picture without a label
COMPRESSIONS = {"none": "uncompressed", "zstd": "zstd:3"}
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """One shard to write; goes to other processes and machines.

    Attributes:
      examples: what goes into it, in order.
      image_size: (width, height).
      native_labels: whether labels keep their size.
      path: the finished file, on a disk that all workers share.
      compression: a key of COMPRESSIONS.
      bit_depth: of the split.
    """

    examples: tuple[Example, ...]
    image_size: tuple[int, int]
    native_labels: bool
    path: Path
    compression: str
    bit_depth: int = 0


@dataclasses.dataclass(frozen=True)
class Preparation:
    """A set to be made: from what, where, and in which shards."""

    split: Split
    image_size: tuple[int, int]
    native_labels: bool
    folder: Path
    shards: tuple[tuple[int, int], ...]  # first example and the one after the last
    compression: str = "none"

    @property
    def partial_folder(self) -> Path:
        """Where it grows."""
        return self.folder.with_name(f"{self.folder.name}.partial")

    def jobs(self) -> list[ShardJob]:
        """The shards that are still missing."""
        jobs = []
        for number, (start, stop) in enumerate(self.shards):
            path = self.partial_folder / prepared_records.shard_name(number, len(self.shards))
            examples = self.split.examples[start:stop]
            how = self.image_size, self.native_labels, path, self.compression, self.split.bit_depth
            jobs.append(ShardJob(examples, *how))
        return [job for job in jobs if not is_written(job)]

    def plan(self) -> dict:
        """All that the bytes of the set depend on, as JSON."""
        return {
            "format": prepared_records.FORMAT,
            "fingerprint": self.split.fingerprint,
            "image_size": list(self.image_size),
            "native_labels": self.native_labels,
            "shards": [list(shard) for shard in self.shards],
            "compression": self.compression,
        }


def prepare(
    split: Split, image_size: tuple[int, int], native_labels: bool, output: Path, *, shard_mb: int, compression: str
) -> Preparation:
    """Lays out the set of a split in shards of about `shard_mb` MiB; writes nothing."""
    pixels = image_size[0] * image_size[1] * (4 if split.labelled else 3)
    each = max(1, shard_mb * 2**20 // pixels)
    starts = range(0, len(split), each)
    shards = tuple((start, min(start + each, len(split))) for start in starts)
    folder = output / prepared_records.folder_name(split.dataset, split.split, image_size)
    return Preparation(split, tuple(image_size), native_labels, folder, shards, compression)


def is_done(preparation: Preparation) -> bool:
    """Whether the very set is there already."""
    if not data_files.is_file(preparation.folder / prepared_records.DESCRIPTION):
        return False
    there = Description.read(preparation.folder)
    wanted = _description(preparation, there.label_sizes)
    return dataclasses.replace(there, notes=()) == dataclasses.replace(wanted, notes=(), shards=there.shards)


@contextlib.contextmanager
def alone(preparation: Preparation) -> Iterator[None]:
    """Keeps other preparations of the same set away; the system lets go of the lock when the process ends.

    Raises:
      DataError: one is under way, or the disk has no locks to find that out by.
      OSError: the lock's file cannot be written.
    """
    folder = preparation.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # No fallback to a file that merely exists: it would outlive a killed process.
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise DataError(f"{folder}: another preparation of it is under way; wait for its end") from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        reason = getattr(error, "strerror", None) or "not implemented"
        raise DataError(
            f"{folder.parent}: this file system has no locks ({reason}), so that two preparations of one set would "
            "not notice each other; mount it with locks, or choose an --output on another disk and move the set here"
        ) from None
    try:
        yield
    finally:
        lock.release()


def begin(preparation: Preparation) -> int:
    """Makes the partial folder, or keeps the finished shards of the same plan; returns how many examples they hold."""
    folder, plan = preparation.partial_folder, preparation.plan()
    plan_file = folder / "plan.json"
    try:
        same = json.loads(plan_file.read_text(encoding="utf-8")) == plan
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        atomic_files.write_bytes(plan_file, json.dumps(plan).encode())
    atomic_files.remove_leftovers(folder)
    return len(preparation.split) - sum(len(job.examples) for job in preparation.jobs())


def is_written(job: ShardJob) -> bool:
    """Whether a shard is whole: its side file comes last."""
    return _side_file(job.path).exists()


def write_shard(job: ShardJob) -> int:
    """Writes one shard and, after it, its side file; returns the number of its examples.

    Raises:
      DataError: a broken picture or label.
      OSError: no space or no permission.
    """
    from array_record.python.array_record_module import ArrayRecordWriter  # only where records are written

    counts, sizes = [], []
    with atomic_files.replacing(job.path) as temporary:
        writer = ArrayRecordWriter(str(temporary), f"group_size:1,{COMPRESSIONS[job.compression]}")
        try:
            for example in job.examples:
                loaded = loading.load_example(example, job.image_size, None, RESAMPLE, bit_depth=job.bit_depth)
                counts.append(NO_COUNTS if loaded.label is None else class_histogram.of_train_ids(loaded.label))
                sizes.append(_size(loaded.label))
                writer.write(prepared_records.pack(loaded if job.native_labels else _at_picture_size(loaded)))
        finally:
            _close(writer, temporary)
    side = {"class_counts": np.array(counts).tolist(), "label_sizes": sizes}
    atomic_files.write_bytes(_side_file(job.path), json.dumps(side).encode())
    return len(job.examples)


def finish(preparation: Preparation) -> Path:
    """Describes the whole set and moves it into place; returns its folder."""
    folder = preparation.partial_folder
    paths = [folder / prepared_records.shard_name(n, len(preparation.shards)) for n in range(len(preparation.shards))]
    sides = [json.loads(_side_file(path).read_text(encoding="utf-8")) for path in paths]
    counts = np.concatenate([np.array(side["class_counts"], np.int64) for side in sides])
    with atomic_files.replacing(folder / prepared_records.CLASS_COUNTS) as temporary, open(temporary, "wb") as stream:
        np.save(stream, counts)
    sizes = tuple(tuple(size) for side in sides for size in side["label_sizes"] if size)
    description = _description(preparation, sizes).to_json().encode()
    atomic_files.write_bytes(folder / prepared_records.DESCRIPTION, description)
    replaced = preparation.folder.with_name(f"{preparation.folder.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if preparation.folder.exists():  # a set of other files, or of another format
        os.replace(preparation.folder, replaced)
    os.replace(folder, preparation.folder)
    # Last of all, so that a kill before it loses nothing.
    shutil.rmtree(replaced, ignore_errors=True)
    for done in (*preparation.folder.glob("shard-*.json"), preparation.folder / "plan.json"):
        done.unlink()
    return preparation.folder


def _description(preparation: Preparation, label_sizes: Sequence) -> Description:
    split = preparation.split
    return Description(
        dataset=split.dataset,
        split=split.split,
        image_size=preparation.image_size,
        native_labels=preparation.native_labels,
        labelled=split.labelled,
        names=tuple(example.name for example in split.examples),
        files=tuple(data_files.below(path, split.root) for path in split.files),
        samples=tuple(split.file_samples),
        label_sizes=tuple(label_sizes),
        shards=tuple(stop - start for start, stop in preparation.shards),
        notes=split.notes,
        source=split.source,
    )


def _at_picture_size(loaded: LoadedExample) -> LoadedExample:
    if loaded.label is None:
        return loaded
    height, width = loaded.image.shape[:2]
    return loaded._replace(label=loading.resize(loaded.label, (width, height), "nearest"))


def _size(label: np.ndarray | None) -> tuple[int, int] | None:
    return None if label is None else (label.shape[1], label.shape[0])


def _close(writer, path: Path) -> None:
    """Closes a writer, which reports a full disk only now, and not by its errno."""
    try:
        writer.close()
    except RuntimeError as error:
        raise DataError(f"{path.parent}: cannot write ({' '.join(str(error).split())[:200]}); make room") from None


def _side_file(path: Path) -> Path:
    return path.with_suffix(".json")
