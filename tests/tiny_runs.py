"""The smallest runs of the whole system: one compilation of each kind of step serves all tests."""

import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import NamedTuple

import jax
from rich.console import Console

from configs import base
from dakd_jax.commands import COMMANDS, Context
from dakd_jax.stages.experiment import Experiment
from dakd_jax.studies.kit import stamp
from data_pipelines.feeding.feed import Feed

PROJECT = pathlib.Path(__file__).resolve().parents[1]
SIZE = (64, 32)
STEPS = 6
TINY = {
    "data.name": "toy",
    "data.toy.size": (64, 48),
    "data.toy.num_train": 6,
    "data.toy.num_val": 5,
    "data.source_size": SIZE,
    "data.target_size": SIZE,
    "data.loader": "numpy",
    "student.arch": "tiny",
    "student.width": 1.0,
    "teacher.arch": "tiny",
    "teacher.width": 1.0,
    "discriminator.width": 0.05,
    "optim.learning_rate": 1e-2,
    "train.steps": STEPS,
    "train.teacher_steps": STEPS,
    "train.log_every": 1,
    "train.eval_every": 3,
    "train.select": "last",
    "train.checkpoint_every": 2,
    "eval.pictures": 3,
}
ALL_BUT_CONTINUED = ("source_only", "target_supervised", "student", "teacher", "case_a", "case_b", "case_d")


def config(root, **changes):
    """Base settings made tiny, on the toy city under `root`; changes as {"group.field": value}."""
    made = base.get_config()
    made.update_from_flattened_dict({**TINY, "data.root": str(root), **changes})
    return made


@contextlib.contextmanager
def quick_compilation():
    """Fewer passes of XLA: half the time, and the numbers of these tests are compared among themselves."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def run(chosen, workdir, mode="train", name="tiny"):
    """Text on the console of a command in this process."""
    console = Console(file=io.StringIO(), width=300)  # so that no path is folded
    cache = jax.config.jax_compilation_cache_dir
    with quick_compilation():
        try:
            COMMANDS[mode].run(context(chosen, workdir, console, mode, name))
        finally:
            jax.config.update("jax_compilation_cache_dir", cache)
    return console.file.getvalue()


def context(chosen, workdir, console, mode="train", name="tiny", **flags):
    """What a command is handed, of a command line that sets no field of the config."""
    defaults = {flag.name: flag.default for flag in COMMANDS[mode].flags}
    return Context(
        chosen, name, mode, pathlib.Path(workdir), defaults | flags, console=console, typed="python run.py",
        open_feed=Feed,
    )  # fmt: skip


def plain_report(chosen, workdir):
    """A page in the place of the report of a config, which leads nowhere yet."""
    page = workdir / "report_tiny" / "index.html"
    page.parent.mkdir(parents=True)
    plan = Experiment(chosen, Feed(chosen.data), workdir, Console(file=io.StringIO())).plan
    with stamp.writing(page, {"stages": {name: planned.hash for name, planned in plan.items()}}):
        page.write_text("<!-- more pages --><!-- end of more pages -->")
    return page


def stage_folder(workdir, name):
    """The only folder of a stage."""
    (found,) = (pathlib.Path(workdir) / "stages").glob(f"{name}-*")
    return found


def metric_rows(folder):
    """Rows of metrics.jsonl without what a clock measured."""
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in ("images_per_second", "data_wait_percent")} for row in rows]


def arguments(root, workdir, **changes):
    """The command line of config(root, **changes), on configs/base.py."""
    fields = {**TINY, "data.root": str(root), **changes}
    return ["--config=configs/base.py", f"--workdir={workdir}", *(f"--config.{k}={v}" for k, v in fields.items())]


class Ended(NamedTuple):
    """A command that ended."""

    code: int
    stdout: str
    stderr: str


def environment(**more):
    """Of a child process: CPU, quick compilation, quiet."""
    quiet = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **quiet, "PYTHONPATH": str(PROJECT), "COLUMNS": "160", **more}


def start_training(root, workdir, **changes):
    """A process of run.py of its own, returned once it has logged a step."""
    process = subprocess.Popen(
        [sys.executable, "run.py", *arguments(root, workdir, **changes)],
        cwd=PROJECT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any(f.stat().st_size for f in workdir.glob("stages/*/metrics.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    return process


class WarmRunner:
    """run.py on lists of arguments, in processes that have imported jax already, see warm_runner.py.

    A run is made by a process that makes one after the other, and has compiled the steps of those before; in a fork
    of its own where that is asked for, because it is to be killed or changes more than attributes of modules.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder, self._processes = folder, {}

    def __call__(self, arguments, *, before="", fork=False) -> Ended:
        """`before`: Python that is executed first, to inject a fault."""
        files = [self._folder / name for name in ("stdout", "stderr")]
        order = {"arguments": list(arguments), "before": before, "files": list(map(str, files))}
        process = self._process("forks" if fork else "runs")
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return Ended(int(process.stdout.readline()), *(f.read_text() for f in files))

    def _process(self, kind):
        if kind not in self._processes:
            self._processes[kind] = subprocess.Popen(
                [sys.executable, str(PROJECT / "tests" / "warm_runner.py"), kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=PROJECT,
                env=environment(),
            )
        return self._processes[kind]

    def close(self):
        for process in self._processes.values():
            process.kill()
            # The system may take half a minute to free what such a process held: nothing here waits for that.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)


def one_line(ended, *parts, code=2):
    """The only line on stderr, which names every one of the parts."""
    assert ended.code == code, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert re.search(part, line), (part, line)
    return line


def nothing_finished(workdir):
    """No result, no temporary file."""
    names = [p.name for p in workdir.rglob("*") if "xla_cache" not in p.parts]
    assert not [n for n in names if n.endswith((".tmp", ".pth", ".npz")) or "orbax-checkpoint-tmp" in n], names
