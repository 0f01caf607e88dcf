"""Runs the tasks of a plan through an engine: parents first, so many at once, and no failure stops the others."""

import dataclasses
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence

from rich.console import Console

from dakd_jax.basics.progress import duration
from dakd_jax.studies.paper_tables.jobs.engines import Engine, Running
from dakd_jax.studies.paper_tables.jobs.processes import Ended, Job
from dakd_jax.studies.paper_tables.planning import Task

SECONDS_TO_SAVE = 120  # of the jobs, when the whole table is stopped


@dataclasses.dataclass(frozen=True)
class Failure:
    """A task that did not come to its end: why, and the file that its process wrote ('' when it never started)."""

    title: str
    reason: str
    log: str = ""


@dataclasses.dataclass
class _Started:
    task: Task
    job: Job
    running: Running
    number: int
    began: float


class Schedule:
    """One pass over the tasks.

    Args:
      tasks: what is to be done, parents before children.
      make_job: writes the job of a task.
      engine, at_once: who runs the jobs, and how many at a time.
      report: called with a line for people.
      score: of a task that is done, for people; '' for nothing to tell.
      after: called after each task that was done.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        make_job: Callable[[Task], Job],
        engine: Engine,
        at_once: int,
        report: Callable[[str], None],
        score: Callable[[Task], str] = lambda task: "",
        after: Callable[[], None] = lambda: None,
    ):
        self._waiting = list(tasks)
        self._make_job, self._engine, self._at_once = make_job, engine, at_once
        self._report, self._score, self._after = report, score, after
        self._running: list[_Started] = []
        self._open = {task.key for task in tasks}  # not done yet
        self._failed: dict[str, Failure] = {}
        self._total, self._count = len(tasks), 0
        self._seconds: dict[str, list[float]] = {}

    def run(self) -> list[Failure]:
        """Runs all; returns those that failed, and those that could not start because of them.

        KeyboardInterrupt reaches the jobs as a request to save and end; it is raised again when all have ended.
        """
        try:
            while self._waiting or self._running:
                self._start_ready()
                ended = self._collect()
                if not ended and self._running:
                    time.sleep(self._engine.poll_seconds)
        except KeyboardInterrupt:
            self._stop()
            raise
        return list(self._failed.values())

    def _start_ready(self) -> None:
        for task in list(self._waiting):
            lost = next((parent for parent in task.parents if parent in self._failed), None)
            if lost:
                self._waiting.remove(task)
                self._fail(task, f"not started: {self._failed[lost].title} failed")
            elif len(self._running) < self._at_once and not self._open.intersection(task.parents):
                self._waiting.remove(task)
                self._start(task)

    def _start(self, task: Task) -> None:
        self._count += 1
        job = self._make_job(task)
        started = _Started(task, job, self._engine.start(job), self._count, time.monotonic())
        self._running.append(started)
        where = f" on {started.running.where}" if started.running.where else ""
        log = job.log.removeprefix(f"{pathlib.Path.cwd()}{os.sep}")
        self._report(f"{self._place(started)}: started{where}, log {log}")

    def _collect(self) -> bool:
        """Takes note of the jobs that have ended; whether there were any."""
        found = [(started, ended) for started in self._running if (ended := started.running.poll()) is not None]
        for started, ended in found:
            self._running.remove(started)
            self._end(started, ended)
        return bool(found)

    def _end(self, started: _Started, ended: Ended) -> None:
        task, seconds = started.task, time.monotonic() - started.began
        # A process that dies on its way out, with everything written, has done its job.
        if not task.done:
            told = started.job.error()
            reason = "; ".join(filter(None, (ended.reason, told))) or f"exit code {ended.code}"
            self._fail(task, reason, started.job.log)
            self._report(f"{self._place(started)}: FAILED after {seconds:,.0f} s: {reason}")
            return
        self._open.discard(task.key)
        self._seconds.setdefault(task.planned.stage.network, []).append(seconds)
        score = self._score(task)
        self._report(f"{self._place(started)}: done in {seconds:,.0f} s{', ' * bool(score)}{score}; {self._left()}")
        self._after()

    def _fail(self, task: Task, reason: str, log: str = "") -> None:
        self._failed[task.key] = Failure(task.title, reason, log)

    def _place(self, started: _Started) -> str:
        return f"{started.number}/{self._total} {started.task.title}"

    def _left(self) -> str:
        """How much there is still to do, and how long it may take: as long as others of the same network took."""
        left = [*self._waiting, *(started.task for started in self._running)]
        if not left:
            return "nothing left"
        every = statistics.mean(second for seconds in self._seconds.values() for second in seconds)
        kinds = [self._seconds.get(task.planned.stage.network) for task in left]
        whole = sum(statistics.mean(seconds) if seconds else every for seconds in kinds)
        whole -= sum(time.monotonic() - started.began for started in self._running)
        at_once = min(self._at_once, len(left))
        return f"{len(left)} left, about {duration(max(whole, 0) / at_once)}"

    def _stop(self) -> None:
        """Asks the jobs to save and end, and waits; a second request, or too long a wait, ends them at once."""
        for started in self._running:
            started.running.stop()
        if self._running:
            self._report(f"stopping: {len(self._running)} running jobs save their state")
        deadline = time.monotonic() + SECONDS_TO_SAVE
        try:
            while any(started.running.poll() is None for started in self._running) and time.monotonic() < deadline:
                time.sleep(self._engine.poll_seconds)
        finally:
            for started in self._running:
                if started.running.poll() is None:
                    started.running.kill()


def print_failures(failures: Sequence[Failure], console: Console) -> None:
    """Says at the end what went wrong, and where to look."""
    for failure in failures:
        log = f" (log {failure.log})" if failure.log else ""
        line = f"failed: {failure.title}: {failure.reason}{log}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if failures:
        console.print(f"{len(failures)} stages failed; the same command goes on with them", highlight=False)
