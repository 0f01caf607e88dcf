"""Fingerprints of the data that a run reads: they change with the files, not with where they lie."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_pipelines.basics import data_files

_SAMPLE_BYTES = 4096
_DIGITS = 64


def of_roles(roles: Iterable[tuple[str, str]]) -> str:
    """sha256 in hex over (role, fingerprint) pairs, e.g. ('source_train', split.fingerprint), in their order."""
    digest = hashlib.sha256()
    for role, fingerprint in roles:
        digest.update(f"{role}\0{fingerprint}\0".encode())
    return digest.hexdigest()


def of_files(root: Path, paths: Sequence[Path], samples: Sequence[str]) -> str:
    """sha256 in hex of files: their names relative to a folder, and the sample of each."""
    return of_roles(zip((data_files.below(path, root) for path in paths), samples, strict=True))


def content(sample: str) -> str:
    """What a sample says of a file's bytes, without a mark."""
    return sample[:_DIGITS]


def sample_files(paths: Sequence[Path], mark: Callable[[Path, bytes], str] | None = None) -> list[str]:
    """A sample of each file: 64 hex digits that stand for its size and for 4 KiB from its start, middle and end.

    A change that keeps the size and misses all three goes unnoticed: the price of not reading 60 GB at each start.

    Args:
      paths: the files.
      mark: (file, its first 4 KiB) to what is put behind the digits: how it is read, where not as usual.

    Raises:
      DataError: a file cannot be read.
    """
    with ThreadPoolExecutor(8) as pool:  # small reads: waiting for the disk dominates
        return list(pool.map(lambda path: _sample(path, mark), paths))


def _sample(path: Path, mark: Callable[[Path, bytes], str] | None) -> str:
    with data_files.reading(path, restore="restore the file"), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        first, *others = 0, size // 2, max(0, size - _SAMPLE_BYTES)
        file.seek(first)
        digest.update(start := file.read(_SAMPLE_BYTES))
        for place in others:
            file.seek(place)
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest() + (mark(path, start) if mark else "")
