"""Files that are there whole or not at all, however many write them at the same time."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

# File systems on which a file cannot be flushed by itself, e.g. some of FUSE.
_NO_FLUSH = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def beside(path: Path, kind: str) -> Path:
    """A hidden name in the folder of `path` that no other process has, on this or another host."""
    return path.with_name(f".{path.name}.{kind}-{os.getpid()}-{secrets.token_hex(8)}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; at a clean end the file there takes its place, else it is removed.

    Readers see the old file or the new one; of two writers the one that ends later wins. Folders are made where they
    are missing. The content has reached the disk before the name is given, so that no loss of power leaves an empty
    file under it.

    Raises:
      OSError: no space, no permission, or nothing was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path, "writing")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, see replacing."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes left; only where nobody else writes. Names of earlier releases are known too."""
    for leftover in folder.glob("*.writing-*"):
        leftover.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)
