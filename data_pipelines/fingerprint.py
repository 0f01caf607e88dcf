"""A fingerprint of the data that a run reads: changes with the files, not with where they lie."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_pipelines.errors import DataError
from data_pipelines.examples import Split

_SAMPLE_BYTES = 4096


def fingerprint(splits: Iterable[tuple[str, Split | None]]) -> str:
    """sha256 in hex over the files of the splits.

    Of every picture and label: its name relative to the dataset's folder, its size, and 4 KiB from its start,
    middle and end. A change that keeps the size and misses all three samples goes unnoticed: the price of not
    reading 60 GB at each start.

    Args:
      splits: (role, split) pairs, e.g. ('source_train', split); a role without a split is passed over.

    Raises:
      DataError: a file cannot be read.
    """
    files = [
        (role, split.root, path)
        for role, split in splits
        if split is not None
        for example in split.examples
        for path in (example.image, example.label)
        if path is not None
    ]
    digest = hashlib.sha256()
    with ThreadPoolExecutor(8) as pool:  # small reads: waiting for the disk dominates
        for (role, root, path), sample in zip(files, pool.map(_sample, (f[2] for f in files)), strict=True):
            digest.update(f"{role}\0{path.relative_to(root).as_posix()}\0".encode())
            digest.update(sample)
    return digest.hexdigest()


def _sample(path: Path) -> bytes:
    """32 bytes that stand for a file's size and three samples of its content."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            for start in (0, size // 2, max(0, size - _SAMPLE_BYTES)):
                file.seek(start)
                digest.update(file.read(_SAMPLE_BYTES))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file") from None
    return digest.digest()
