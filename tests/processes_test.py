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

STEPS = 12
CHANGES = {
    "goal": ("source_only",), "train.steps": STEPS, "train.eval_every": 0, "train.checkpoint_every": 2,
    "eval.batch_size": 2, "eval.pictures": 2,
}  # fmt: skip
# Forks two processes of a run for each line that it reads, without the report, whose figures take as long as all else.
PROGRAM = """
import json, os, sys
import jax, orbax.checkpoint
import dakd_jax.commands.train as train
import dakd_jax.stages.experiment
import data_pipelines.feeding.feed
import run
from dakd_jax.commands.kit import workdirs
train._once = lambda context, name: workdirs.planned(context).run()
for line in sys.stdin:
    pids = []
    for arguments, files in json.loads(line):
        if not (pid := os.fork()):
            for name, number in zip(files, (1, 2)):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.exit(run.main(arguments))
        pids.append(pid)
    print(json.dumps(pids), flush=True)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]), flush=True)
"""


class Pair:
    """Two processes of a run in one workdir, again and again."""

    def __init__(self, root, folder):
        self.workdir, self.out = folder / "workdir", [(folder / f"out{i}", folder / f"error{i}") for i in range(2)]
        self._arguments = tiny_runs.arguments(root, self.workdir, **CHANGES)
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=tiny_runs.PROJECT, env=tiny_runs.environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(self) -> list[int]:
        """Their process ids."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            where = f"--coordinator=127.0.0.1:{free.getsockname()[1]}"
        both = [
            ([*self._arguments, where, "--processes=2", f"--process={i}"], list(map(str, self.out[i])))
            for i in range(2)
        ]
        self._process.stdin.write(json.dumps(both) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def ended(self) -> list[tuple[int, str, str]]:
        """(exit code, stdout, stderr) of each."""
        codes = json.loads(self._process.stdout.readline())
        return [(code, *(file.read_text() for file in files)) for code, files in zip(codes, self.out, strict=True)]

    def close(self):
        self._process.kill()


@pytest.fixture
def pair(toy_city, tmp_path):
    made = Pair(toy_city, tmp_path)
    yield made
    made.close()


def test_one_is_killed_the_other_ends_and_the_same_command_goes_on(pair, toy_city):
    workdir, (_, second) = pair.workdir, pair.start()
    deadline = time.monotonic() + 180
    while not any(path.name.isdecimal() for path in workdir.glob("stages/*/checkpoints/*")):
        assert time.monotonic() < deadline, pair.out
        time.sleep(0.01)
    os.kill(second, signal.SIGKILL)
    began = time.monotonic()
    (code, out, error), (killed, *_) = pair.ended()
    assert (code, error, killed) == (supervision.LOST, supervision.LINE + "\n", -signal.SIGKILL), out
    assert time.monotonic() - began < 60

    pair.start()
    first, second = pair.ended()
    assert [first[0], second[0], first[2], second[2]] == [0, 0, "", ""], (first, second)
    assert (
        "Each step on 2 devices of 2 processes, 1 of a batch's pictures on each." in first[1]
        and "goes on at step" in first[1]
    )

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
        "if what == 'both': os.write(2, b'F1128 10:00:00 client.h:80] JAX distributed service\\n')\n"
        "if what in ('exchange', 'both'): raise ValueError('Gloo all-reduce failed: Connection closed')\n"
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

    processes = {what: started(what) for what in ("lost", "abort", "exchange", "both", "other", "stop")}
    assert processes["stop"].stdout.readline() == "ready\n"
    processes["stop"].terminate()
    found = {what: (process.communicate()[1], process.returncode) for what, process in processes.items()}
    line = f"said\n{supervision.LINE}\n"
    assert found["lost"] == found["exchange"] == found["both"] == (line, supervision.LOST)
    assert found["abort"] == ("said\nFatal: memory\n", 128 + signal.SIGABRT)
    assert found["other"][1] == 1 and found["other"][0].endswith("ValueError: wrong\n")
    assert found["stop"] == ("said\n", 128 + signal.SIGTERM)
