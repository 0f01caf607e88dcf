"""One run at a time in a workdir."""

import contextlib
import errno
import json
import os
import pathlib
import socket
from collections.abc import Callable, Iterator

from filelock import FileLock, Timeout

from dakd_jax.basics import atomic_files
from dakd_jax.basics.errors import UserError

FILE = ".lock"
HOLDER = ".lock.json"  # who holds it; a file of its own, since the lock's is emptied by whoever asks for it
_POLL_SECONDS = 0.2
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


@contextlib.contextmanager
def hold(
    workdir: pathlib.Path, *, wait_seconds: float = 0, say: Callable[[str], None] = lambda line: None
) -> Iterator[None]:
    """Holds the lock of a workdir, which must exist; the system lets go of it when the process ends, however it ends.

    Args:
      wait_seconds: for another process that holds it.
      say: told in one line when it waits.

    Raises:
      UserError: another process holds it, and held it all that time; or the disk has no locks.
    """
    # No fallback to a file that merely exists: it would outlive a killed process.
    lock = FileLock(workdir / FILE, fallback_to_soft=False)
    if not _taken(lock, workdir, 0):
        if wait_seconds:
            say(f"{workdir} is in use by {_holder(workdir)}; waiting for its end, {wait_seconds:g} s at most")
        if not (wait_seconds and _taken(lock, workdir, wait_seconds)):
            raise UserError(
                f"{workdir} is in use by {_holder(workdir)}; wait for its end, stop it, or choose another --workdir"
            )
    try:
        told = {"process": os.getpid(), "host": socket.gethostname()}
        atomic_files.write_bytes(workdir / HOLDER, json.dumps(told).encode())
        yield
    finally:
        lock.release()


def _taken(lock: FileLock, workdir: pathlib.Path, wait_seconds: float) -> bool:
    """Whether the lock is this process's now."""
    try:
        lock.acquire(timeout=wait_seconds, poll_interval=_POLL_SECONDS)
    except Timeout:
        return False
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        reason = getattr(error, "strerror", None) or "not implemented"
        raise UserError(
            f"{workdir}: this file system has no locks ({reason}), so that two runs in it would not notice each "
            "other; mount it with locks, or choose a --workdir on another disk"
        ) from None
    return True


def _holder(workdir: pathlib.Path) -> str:
    try:
        told = json.loads((workdir / HOLDER).read_text())
        return f"process {told['process']} on {told['host']}"
    except (OSError, ValueError, KeyError):  # it has not written yet
        return "another run"
