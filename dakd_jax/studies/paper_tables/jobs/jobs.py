"""One stage as a job: the file that says all about it, and what the process does that is given the file."""

import os
import pathlib
import re
import signal
import stat
import threading
from collections.abc import Callable

from ml_collections import ConfigDict
from rich.console import Console

from dakd_jax.basics import plugs, records
from dakd_jax.basics.errors import UserError
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages import older_configs, settings
from dakd_jax.stages.experiment import Experiment
from dakd_jax.studies.paper_tables.jobs.processes import Job
from dakd_jax.studies.paper_tables.planning import Task
from dakd_jax.training.runtime import compilation_cache

# For a job of an earlier command that was killed: it notices, ends its step, saves and ends.
WAIT_SECONDS = 180


def write(folder: pathlib.Path, task: Task, workdir: pathlib.Path, program: pathlib.Path) -> Job:
    """Writes the job of a task into a folder, which is made where missing."""
    folder.mkdir(parents=True, exist_ok=True)
    planned = task.planned
    slug = re.sub(r"[^a-z0-9.]+", "-", task.title.lower()).strip("-")
    file = folder / f"{slug}-{planned.hash.removeprefix('file:')[:8]}.json"
    content = {
        "title": task.title,
        "stage": planned.name,
        "hash": planned.hash,
        "workdir": str(workdir),
        "config": records.plain(task.experiment.config),
    }
    records.write_json(file, content)
    return Job(str(program.resolve()), str(file.resolve()), str(file.with_suffix(".log").resolve()))


def do(path: str, open_feed: Callable[[ConfigDict], TrainingData], console: Console) -> None:
    """What the process of a job does: trains and evaluates its stage, whose parents are finished.

    Args:
      path: of a file that write() made.
      open_feed: from config.data to the data.

    Raises:
      UserError: the file is no job, or the data or the code have changed since it was written.
    """
    told = records.read_json(pathlib.Path(path))
    if not told or not {"stage", "hash", "workdir", "config"} <= set(told):
        raise UserError(f"--job={path} is no job of a table; give the command of the table again")
    _stop_with_starter()
    config = ConfigDict(older_configs.modernise(_with_tuples(told["config"])))
    plugs.load(settings.words(config.plugins))
    folder = pathlib.Path(told["workdir"])
    experiment = Experiment(config, open_feed(config.data), folder, console)
    if (planned := experiment.plan[told["stage"]]).hash != told["hash"]:
        raise UserError(
            f"{told['title']}: its data or parents have changed since the table was planned "
            f"({planned.hash[:8]}, not {told['hash'][:8]}); give the command of the table again"
        )
    compilation_cache.enable(folder)
    experiment.ensure(told["stage"], wait_seconds=WAIT_SECONDS)


def workdir(path: str) -> pathlib.Path:
    """The workdir of a job's file; the folder of the file where it tells none."""
    told = records.read_json(pathlib.Path(path)) or {}
    return pathlib.Path(str(told.get("workdir", pathlib.Path(path).parent)))


def _with_tuples(content):
    """The config as it was before JSON, which has lists only."""
    if isinstance(content, dict):
        return {name: _with_tuples(value) for name, value in content.items()}
    return tuple(map(_with_tuples, content)) if isinstance(content, list) else content


def _stop_with_starter() -> None:
    """From now on this process stops, as by a polite kill, when the other end of its standard input is closed."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):  # started by hand
        return

    def watch():
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
