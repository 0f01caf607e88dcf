"""One run at a time in a workdir."""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import time
from collections.abc import Callable, Iterator

from dakd_jax.errors import UserError

FILE = ".lock"
_POLL_SECONDS = 0.2


@contextlib.contextmanager
def hold(
    workdir: pathlib.Path, *, wait_seconds: float = 0, say: Callable[[str], None] = lambda line: None
) -> Iterator[None]:
    """Holds the lock of a workdir, which must exist; the system lets go of it when the process ends, however it ends.

    Args:
      wait_seconds: for another process that holds it.
      say: told in one line when it waits.

    Raises:
      UserError: another process holds it, and held it all that time.
    """
    with open(workdir / FILE, "a+") as file:
        end = time.monotonic() + wait_seconds
        if wait_seconds and not _taken(file):
            say(f"{workdir} is in use by {_holder(workdir)}; waiting for its end, {wait_seconds:g} s at most")
        while not _taken(file):
            if time.monotonic() >= end:
                raise UserError(
                    f"{workdir} is in use by {_holder(workdir)}; wait for its end, stop it, or choose another --workdir"
                )
            time.sleep(_POLL_SECONDS)
        file.truncate(0)
        file.write(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        yield


def _taken(file) -> bool:
    """Whether the lock is this process's now; it stays so if it was before."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(workdir: pathlib.Path) -> str:
    try:
        told = json.loads((workdir / FILE).read_text())
        return f"process {told['process']} on {told['host']}"
    except (OSError, ValueError, KeyError):  # it has not written yet
        return "another run"
