"""Two processes make one run on this machine: what they count, and what becomes of one when the other is killed."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.stages.experiment import Experiment
from dakd_jax.training.runtime import supervision
from data_pipelines.feeding.feed import Feed

STEPS = 40
CHANGES = {
    "goal": ("source_only",), "train.steps": STEPS, "train.eval_every": 0, "train.checkpoint_every": 3,
    "eval.batch_size": 2, "eval.pictures": 2,
}  # fmt: skip
# run.py without the report, whose figures take as long as all else.
PROGRAM = """
import sys
import dakd_jax.studies.experiment.page as page
page.write_report = lambda found, folder: folder / "index.html"
import run
sys.exit(run.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def pair(toy_city, tmp_path_factory):
    """Starts two processes of a run; those that are left are killed at the end."""
    started, workdir = [], tmp_path_factory.mktemp("pair")

    def start():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = [*tiny_runs.arguments(toy_city, workdir, **CHANGES), f"--coordinator=127.0.0.1:{port}"]
        found = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *common, "--processes=2", f"--process={index}"],
                cwd=tiny_runs.PROJECT, env=tiny_runs.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True,
            )
            for index in range(2)
        ]  # fmt: skip
        started.extend(found)
        return found

    yield workdir, start
    for process in started:
        process.kill()


def test_one_is_killed_the_other_ends_and_the_same_command_goes_on(pair, toy_city):
    workdir, start = pair
    first, second = start()
    deadline = time.monotonic() + 180
    while not any(path.name.isdecimal() for path in workdir.glob("stages/*/checkpoints/*")):
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()
        time.sleep(0.02)
    os.kill(second.pid, signal.SIGKILL)
    out, error = first.communicate(timeout=60)
    assert (first.returncode, error) == (supervision.LOST, supervision.LINE + "\n"), out
    assert second.wait() == -signal.SIGKILL

    ended = [(*process.communicate(timeout=300), process.returncode) for process in start()]
    assert [code for *_, code in ended] == [0, 0], ended
    assert "on 2 devices of 2 processes" in ended[0][0] and "goes on at step" in ended[0][0]
    assert not [error for _, error, _ in ended if error]

    # Every row once, by one process; and each picture counted once: the matrix is that of this process alone.
    folder = tiny_runs.stage_folder(workdir, "source_only")
    rows = [row["step"] for row in tiny_runs.metric_rows(folder) if row["kind"] == "train"]
    assert rows == list(range(1, STEPS + 1))
    chosen = tiny_runs.config(toy_city, **CHANGES)
    experiment = Experiment(chosen, Feed(chosen.data), workdir, Console(file=io.StringIO()))
    confusion, predictions = experiment.evaluator.stored(planned := experiment.plan["source_only"])
    model = experiment._settings(planned).models.segmenter
    alone, own = experiment.evaluator.score("", model, experiment.variables("source_only"))
    np.testing.assert_array_equal(confusion, alone)
    assert {name: of.tobytes() for name, of in predictions.items()} == {n: of.tobytes() for n, of in own.items()}
    assert json.loads((folder / "record.json").read_text())["status"] == "finished"


def test_a_supervisor_passes_on_what_is_said_and_what_it_is_told(tmp_path):
    code = (
        "import os, signal, sys, time\n"
        "from dakd_jax.training.runtime import interruption, supervision\n"
        "interruption.stop_on_signals()\n"
        "if (code := supervision.split()) is not None: sys.exit(code)\n"
        "what = sys.argv[1]\n"
        "print('said', file=sys.stderr, flush=True)\n"
        "if what == 'lost': os.write(2, b'F1128 10:00:00 client.h:80] JAX distributed service\\npage\\n'); os.abort()\n"
        "if what == 'abort': os.write(2, b'Fatal: memory\\n'); os.abort()\n"
        "if what == 'exchange': raise ValueError('UNKNOWN: Gloo all-reduce failed: Connection closed by peer')\n"
        "if what == 'other': raise ValueError('wrong')\n"
        "with interruption.StopRequest() as stop:\n"
        "    print('ready', flush=True)\n"
        "    while not stop.made: time.sleep(0.01)\n"
        "os._exit(128 + stop.made)\n"
    )

    def started(what):
        command = [sys.executable, "-c", code, what]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=tiny_runs.PROJECT, env=tiny_runs.environment(), text=True, **pipes)

    processes = {what: started(what) for what in ("lost", "abort", "exchange", "other", "stop")}
    assert processes["stop"].stdout.readline() == "ready\n"
    processes["stop"].terminate()
    found = {what: (process.communicate()[1], process.returncode) for what, process in processes.items()}
    line = f"said\n{supervision.LINE}\n"
    assert found["lost"] == found["exchange"] == (line, supervision.LOST)
    assert found["abort"] == ("said\nFatal: memory\n", 128 + signal.SIGABRT)
    assert found["other"][1] == 1 and found["other"][0].endswith("ValueError: wrong\n")
    assert found["stop"] == ("said\n", 128 + signal.SIGTERM)
