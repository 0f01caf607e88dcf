"""A full disk or a folder that may not be written, in whatever exception it arrives."""

import errno
import os
import pathlib
import re
import shutil

CODES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_IN_TEXT = re.compile(r"os_error_code='(\d+)'")  # how tensorstore, under orbax, tells


_HEADROOM = 2**20  # for names and metadata


def require_space(folder: pathlib.Path, num_bytes: int) -> None:
    """Raises OSError (ENOSPC) unless that many bytes and a little more fit on the folder's disk."""
    if shutil.disk_usage(folder).free < num_bytes + _HEADROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def find(error: BaseException | None, path: object) -> OSError | None:
    """The fault behind an exception from writing to `path`, None when it is of another kind."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in CODES:
            return error
        for code in map(int, _IN_TEXT.findall(str(error))):
            if code in CODES:
                return OSError(code, os.strerror(code), str(path))
        error = error.__cause__ or error.__context__
    return None
