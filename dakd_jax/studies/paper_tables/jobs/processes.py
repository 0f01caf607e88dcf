"""The process of a job. No jax in here: a cluster's own process, which starts it, needs none."""

import dataclasses
import json
import os
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from dakd_jax.basics import installation

_LOG_TAIL = 64 * 1024  # bytes of a log that are searched for its error
STARTED = "--- a process starts ---"  # line of a log before what each process prints


class Ended(NamedTuple):
    """How a job ended: exit code 0 for done, and otherwise why, as far as the engine knows."""

    code: int
    reason: str = ""


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
        """What the newest process said last, as one line; '' for nothing."""
        try:
            with open(self.log, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        lines = [line.strip() for line in lines if line.strip()]
        if STARTED in lines:  # processes before it had other reasons
            lines = lines[len(lines) - lines[::-1].index(STARTED) :]
        told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return (told or lines or [""])[-1]


def deterministic(file: str) -> bool:
    """Whether the stage of a job wants config.train.deterministic; False for what is no job."""
    try:
        with open(file) as content:
            return bool(json.load(content)["config"]["train"]["deterministic"])
    except (OSError, ValueError, LookupError, TypeError):
        return False


class JobProcess:
    """The running process of a job.

    It is out of the reach of the terminal's Ctrl-C, which is for the one who started it, and stops by itself, after
    saving, when that one is gone: its standard input ends then.

    Args:
      environment: what differs from this process's own.
    """

    def __init__(self, job: Job, environment: Mapping[str, str]):
        with open(job.log, "ab") as log:
            log.write(("\n" * bool(log.tell()) + f"{STARTED}\n").encode())  # after what may be half a line
            log.flush()
            self._process = subprocess.Popen(
                [*installation.child_command(job.program), f"--job={job.file}"],
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
