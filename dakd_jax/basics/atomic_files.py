"""Files and folders that are there whole or not at all, however many write them at the same time."""

import contextlib
import errno
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator

# File systems on which a file cannot be flushed by itself, e.g. some of FUSE.
_NO_FLUSH = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path`; at a clean end the file there takes its place, else it is removed.

    Readers see the old file or the new one; of two writers, in processes or on hosts of their own, the one that ends
    later wins. Folders are made where they are missing. The content has reached the disk before it gets the name.

    Raises:
      OSError: no space, no permission, or nothing was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all, see replacing."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def new_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields an empty folder beside `path`; at a clean end it gets that name, else it is removed with all in it.

    What is written there should have been flushed, as write_bytes does it.

    Raises:
      OSError: something is there already, or there is no permission.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    temporary = _beside(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: pathlib.Path) -> pathlib.Path:
    """A name that nobody else takes."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(8)}.tmp")


def _flush(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)
