"""One run at a time in a workdir."""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator

from dakd_jax.errors import UserError

FILE = ".lock"


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[None]:
    """Holds the lock of a workdir, which must exist; the system lets go of it when the process ends, however it ends.

    Raises:
      UserError: another process holds it.
    """
    with open(workdir / FILE, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{workdir} is in use by {_holder(workdir)}; wait for its end, stop it, or choose another --workdir"
            ) from None
        file.truncate(0)
        file.write(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        yield


def _holder(workdir: pathlib.Path) -> str:
    try:
        told = json.loads((workdir / FILE).read_text())
        return f"process {told['process']} on {told['host']}"
    except (OSError, ValueError, KeyError):  # it has not written yet
        return "another run"
