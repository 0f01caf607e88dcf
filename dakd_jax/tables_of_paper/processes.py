"""The process of a job. No jax in here: a cluster's own process, which starts it, needs none."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping

_LOG_TAIL = 64 * 1024  # bytes of a log that are searched for its error


@dataclasses.dataclass(frozen=True)
class Job:
    """A stage to be done by a process of its own.

    Attributes:
      program: path of run.py.
      file: says what to do, see write().
      log: all that the process prints is added here.
    """

    program: str
    file: str
    log: str

    def error(self) -> str:
        """What a failed process said last, as one line."""
        try:
            with open(self.log, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        lines = [line.strip() for line in lines if line.strip()]
        told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return (told or lines or [""])[-1]


class JobProcess:
    """The running process of a job.

    It is out of the reach of the terminal's Ctrl-C, which is for the one who started it, and stops by itself, after
    saving, when that one is gone: its standard input ends then.

    Args:
      environment: what differs from this process's own.
    """

    def __init__(self, job: Job, environment: Mapping[str, str]):
        with open(job.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, job.program, f"--job={job.file}"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """The exit code, minus the signal's number if one killed it; None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float | None = None) -> int:
        """The exit code, once it has ended; subprocess.TimeoutExpired after so many seconds."""
        return self._process.wait(seconds)

    def stop(self) -> None:
        """Asks it to save and end."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
