"""Who runs the jobs of a table: processes on this machine, or a cluster through submitit."""

import os
import subprocess
from collections.abc import Sequence
from typing import Protocol

from dakd_jax.basics.errors import UserError
from dakd_jax.studies.paper_tables.jobs.processes import Ended, Job, JobProcess

ENGINES = ("local", "submitit")


class Running(Protocol):
    """A job under way."""

    where: str  # for people; '' for nothing to tell

    def poll(self) -> Ended | None:
        """How it ended; None while it runs."""

    def stop(self) -> None:
        """Asks it to save and end."""

    def kill(self) -> None:
        """Ends it at once."""


class Engine(Protocol):
    """Starts jobs; `poll_seconds` is how often it makes sense to ask for their end."""

    poll_seconds: float

    def start(self, job: Job) -> Running:
        """Starts a job; at most as many run at once as were asked for."""


def make(cluster, folder: os.PathLike, jobs: int) -> Engine:
    """The engine of config.cluster, for so many jobs at once; what it writes goes to `folder`.

    Raises:
      UserError: there is no such engine, or it is not installed.
    """
    if cluster.engine not in ENGINES:
        raise UserError(f"config.cluster.engine={cluster.engine!r}: expected one of {', '.join(ENGINES)}")
    if cluster.engine == "local":
        return LocalEngine(jobs, devices())
    from dakd_jax.studies.paper_tables.jobs.submitit_engine import SubmititEngine

    return SubmititEngine(cluster, folder)


def devices() -> list[str]:
    """The GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them; none where there are none or jax is not to."""
    if os.environ.get("JAX_PLATFORMS", "") == "cpu":
        return []
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [device.strip() for device in visible.split(",") if device.strip()]
    try:
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        found = subprocess.run(query, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found.stdout.split() if found.returncode == 0 else []


class LocalEngine:
    """Processes on this machine, dealt out over its GPUs.

    Args:
      jobs: at most so many at once.
      gpus: names of the GPUs; without any the jobs share the processor.
    """

    poll_seconds = 0.1

    def __init__(self, jobs: int, gpus: Sequence[str]):
        self._places = [gpus[place % len(gpus)] if gpus else "" for place in range(jobs)]
        self._shared = -(-jobs // len(gpus)) if gpus else 1
        self._taken: dict[int, _LocalJob] = {}

    def start(self, job: Job) -> "_LocalJob":
        """Starts a job on the first place that is free."""
        free = (p for p in range(len(self._places)) if p not in self._taken or self._taken[p].poll() is not None)
        place = next(free)
        self._taken[place] = _LocalJob(job, self._environment(self._places[place]), self._places[place])
        return self._taken[place]

    def _environment(self, gpu: str) -> dict[str, str]:
        if not gpu:
            return {}
        found = {"CUDA_VISIBLE_DEVICES": gpu}
        if self._shared > 1 and "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ:
            found["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 / self._shared:.3f}"
        return found


class _LocalJob:
    def __init__(self, job: Job, environment: dict[str, str], gpu: str):
        self.where = f"GPU {gpu}" if gpu else ""
        self._process = JobProcess(job, environment)

    def poll(self) -> Ended | None:
        code = self._process.poll()
        if code is None or code >= 0:
            return None if code is None else Ended(code)
        return Ended(code, f"killed by signal {-code}")

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()
