"""Jobs of a table on a cluster: submitit (requirements-cluster.txt) hands them to Slurm, or to processes here.

The only file that knows submitit.
"""

import os
import pathlib
import signal
import subprocess
import time

from dakd_jax.basics.errors import UserError
from dakd_jax.studies.paper_tables.jobs.processes import Ended, Job, JobProcess

EXECUTORS = ("auto", "slurm", "local")
_PROJECT = pathlib.Path(__file__).resolve().parents[4]  # that the job's machine finds dakd_jax in
_SECONDS_TO_SAVE = 60  # of a job that is asked to end, less than the notice that the cluster is asked for
_NOTICE = 90
_SECONDS_BETWEEN_LOOKS = 0.2
_TIMES_QUEUED = 100  # at most, of a job whose time was up


class SubmittedJob:
    """What submitit calls on the machine of the job: the same process as everywhere, and its end on demand."""

    def __init__(self, job: Job):
        self._job, self._process = job, None

    def __call__(self) -> int:
        """The exit code of the job's process."""
        self._process = JobProcess(self._job, {})
        signal.signal(signal.SIGTERM, lambda *_: self._process.stop())  # submitit itself ignores a cancelled job's
        while (code := self._process.poll()) is None:  # Popen.wait would hold a lock that checkpoint() needs
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return code

    def checkpoint(self):
        """Called before the time is up or the machine is taken away: saves, and is queued again to go on."""
        from submitit.helpers import DelayedSubmission

        if self._process:
            self._process.stop()
            try:
                self._process.wait(_SECONDS_TO_SAVE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return DelayedSubmission(SubmittedJob(self._job))


class SubmititEngine:
    """An engine, see engines.Engine.

    Args:
      cluster: config.cluster, see configs/table1.py.
      folder: of submitit's own files; every machine must see it.

    Raises:
      UserError: submitit is not installed, or a setting cannot work.
    """

    def __init__(self, cluster, folder: os.PathLike):
        if cluster.executor not in EXECUTORS:
            raise UserError(f"config.cluster.executor={cluster.executor!r}: expected one of {', '.join(EXECUTORS)}")
        try:
            import submitit
        except ImportError:
            raise UserError(
                "config.cluster.engine='submitit' needs submitit: pip install -r requirements-cluster.txt"
            ) from None
        # The machines must find this package wherever the command was given.
        paths = [str(_PROJECT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
        try:
            wanted = None if cluster.executor == "auto" else cluster.executor
            self._executor = submitit.AutoExecutor(folder, cluster=wanted, slurm_max_num_timeout=_TIMES_QUEUED)
        except RuntimeError as error:  # Slurm was asked for and is not there
            raise UserError(f"config.cluster.executor={cluster.executor!r}: {error}") from error
        self._executor.update_parameters(**_parameters(cluster))
        self.poll_seconds = 0.2 if self._executor.cluster == "local" else 5.0

    def start(self, job: Job) -> "_Submitted":
        """Submits a job."""
        return _Submitted(self._executor.submit(SubmittedJob(job)))


class _Submitted:
    def __init__(self, job):
        self._job, self.where = job, f"job {job.job_id}"

    def poll(self) -> Ended | None:
        if not self._job.done():
            return None
        error = self._job.exception()
        if error is None:
            code = self._job.result()
            return Ended(code, f"killed by signal {-code}" if code < 0 else "")
        return Ended(1, " ".join(str(error).split())[:200])

    def stop(self) -> None:
        self._job.cancel(check=False)

    kill = stop


def _parameters(cluster) -> dict:
    """Settings of the executor."""
    found = {
        "name": "dakd_table",
        "timeout_min": cluster.minutes,
        "gpus_per_node": cluster.gpus,
        "cpus_per_task": cluster.cpus,
        "mem_gb": cluster.memory_gb,
        "slurm_signal_delay_s": _NOTICE,
    }
    if cluster.partition:
        found["slurm_partition"] = cluster.partition
    if cluster.options:
        pairs = [option.partition("=") for option in cluster.options.split(",")]
        if not all(name and value for name, _, value in pairs):
            raise UserError(f"config.cluster.options={cluster.options!r}: expected NAME=VALUE[,NAME=VALUE ...]")
        found["slurm_additional_parameters"] = {name.strip(): value for name, _, value in pairs}
    return found
