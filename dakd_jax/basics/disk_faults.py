"""A full disk, a folder that may not be written, a read that fails, in whatever exception it arrives."""

import errno
import os
import pathlib
import re
import shutil
import time
from collections.abc import Callable, Collection
from typing import TypeVar

_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}  # reading never ends in these
CODES = _OF_WRITING | {errno.EACCES, errno.EPERM}
# May be gone at the next try: a disk or network that hiccups, too many files that others hold open.
TRANSIENT = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT}
READING = TRANSIENT | {errno.EACCES, errno.EPERM, errno.ENOMEM}  # say nothing about the bytes on the disk
PAUSES = (0.1, 0.5, 2.0)  # seconds before another try
_IN_TEXT = re.compile(r"os_error_code='(\d+)'")  # how tensorstore, under orbax, tells
_Answer = TypeVar("_Answer")


_HEADROOM = 2**20  # for names and metadata


def require_space(folder: pathlib.Path, num_bytes: int) -> None:
    """Raises OSError (ENOSPC) unless that many bytes and a little more fit on the folder's disk."""
    if shutil.disk_usage(folder).free < num_bytes + _HEADROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def of_writing_to(error: OSError, workdir: pathlib.Path) -> bool:
    """Whether an error is a fault of the disk that the workdir lies on, or of another one that was written to.

    A permission that is missing elsewhere is none: it may be one to read.
    """
    if error.errno in _OF_WRITING:
        return True
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    home = pathlib.Path(os.path.realpath(workdir))
    return error.errno in CODES and any(pathlib.Path(os.path.realpath(name)).is_relative_to(home) for name in names)


def find(error: BaseException | None, path: object, codes: Collection[int] = CODES) -> OSError | None:
    """The fault behind an exception from writing to or reading `path`, None when it is none of `codes`."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in codes:
            return error
        for code in map(int, _IN_TEXT.findall(str(error))):
            if code in codes:
                return OSError(code, os.strerror(code), str(path))
        error = error.__cause__ or error.__context__
    return None


def retried(read: Callable[[], _Answer]) -> _Answer:
    """read(), tried again after each of PAUSES while it fails by what may pass; then its exception."""
    for pause in PAUSES:
        try:
            return read()
        except Exception as error:
            if find(error, "", TRANSIENT) is None:
                raise
        time.sleep(pause)
    return read()
