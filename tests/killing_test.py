"""A process that is killed at any moment, again and again, ends with the bits of one that never was."""

import json
import random
import re
import shutil
import time

import plug_tools
import tiny_runs

from dakd_jax.stages import weights

RANDOM_KILLS = 5
# The network is the worked example of docs/EXTENDING.md: most of a run that is killed goes into tracing its layers.
CHANGES = {
    "student.arch": "plain4",
    "goal": ("source_only", "student"),
    "train.eval_every": 2,
    "train.select": "source",
    "train.select_pictures": 2,
    "train.keep_checkpoints": 1,
}
SPARED = """
import dakd_jax.stages.preflight as f, dakd_jax.studies.experiment.page as p
f.check_plugins = lambda *of: None
p.write_report = lambda found, folder: folder / "index.html"
"""

# Python for the process that is to die: what it does in its last moment. `die` sends it SIGKILL.
DIE = "import os, signal\ndef die(*args, **kwargs): os.kill(os.getpid(), signal.SIGKILL)\n"
MOMENTS = {
    "before the first step": "import dakd_jax.training.loop as t; t._loop = die",
    "in a step": (
        "import dakd_jax.training.loop as t; plain, count = t.train_step, []\n"
        "def step(*a, **k):\n count.append(0)\n if len(count) > 2: die()\n return plain(*a, **k)\n"
        "t.train_step = step"
    ),
    "before a checkpoint is written": "import dakd_jax.training.checkpointing as c; c.Checkpoints._write = die",
    "in a checkpoint, its tensors on disk": "import dakd_jax.training.checkpointing as c; c.checksum = die",
    "in a checkpoint, not yet renamed": (
        "import pathlib; plain = pathlib.Path.rename\n"
        "def rename(self, to):\n '.unfinished-' in self.name and die()\n return plain(self, to)\n"
        "pathlib.Path.rename = rename"
    ),
    "before an old checkpoint is removed": (
        "import shutil; plain = shutil.rmtree\n"
        "def rmtree(path, **k):\n '.removed-' in str(path) and die()\n return plain(path, **k)\n"
        "shutil.rmtree = rmtree"
    ),
    "in the middle of a line of metrics": (
        "import dakd_jax.evaluation.logs as l; plain = l.MetricLog.row\n"
        "def row(self, step, kind, values):\n"
        ' if step == 5:\n  self._file.write(\'{"step": 5, "ki\'); self._file.flush(); die()\n'
        " return plain(self, step, kind, values)\n"
        "l.MetricLog.row = row"
    ),
    "in an evaluation": "import dakd_jax.evaluation.predict as e; e.predict = die",
    "while a candidate is scored": "import dakd_jax.evaluation.checkpoint_choice as s; s.Selection.score = die",
    "before one is chosen": "import dakd_jax.training.loop as t; t._chosen = die",
    "before the weights are saved": "import dakd_jax.stages.weights as w; w.save = die",
    "between two stages": "import dakd_jax.evaluation.evaluation_store as e; e.Evaluator.ensure = die",
    "before the report": "import dakd_jax.studies.experiment.results as r; r.collect = die",
}
FILES = (weights.FILE, "evaluation-*.npz")


def outcome(workdir):
    """All that a run leaves and no clock has touched: {stage: (bytes of files, rows of metrics, chosen step)}."""
    found = {}
    for folder in sorted((workdir / "stages").iterdir()):
        files = {file.name: file.read_bytes() for pattern in FILES for file in folder.glob(pattern)}
        record = json.loads((folder / "record.json").read_text())
        found[folder.name] = files, tiny_runs.metric_rows(folder), record["weights_of_step"]
        assert len(files) == 2 and len(found[folder.name][1]) > tiny_runs.STEPS
        assert not [p.name for p in folder.rglob("*") if re.search(r"\.(tmp|unfinished|removed)", p.name)]
    return found


def test_killed_at_any_moment_and_the_same_bits_at_the_end(run_py, toy_city, tmp_path):
    plugin = tmp_path / "plain.py"
    plugin.write_text(plug_tools.example("A backbone"))

    def new(name):
        workdir = tmp_path / name
        arguments = tiny_runs.arguments(toy_city, workdir, plugins=str(plugin), **CHANGES)

        def run(moment=""):
            began = time.monotonic()
            code = run_py(arguments, before=SPARED + DIE + moment, fork=True).code
            return code, time.monotonic() - began

        return workdir, run

    workdir, run = new("whole")
    assert run()[0] == 0
    expected = outcome(workdir)
    assert len(expected) == 2

    workdir, run = new("again")  # what was compiled for the first is read: as long as one takes that is to be killed
    code, whole = run()
    assert code == 0 and outcome(workdir) == expected

    workdir, run = new("killed")
    draw, kills = random.Random(0), 0
    for moment in [*MOMENTS.values(), *(draw.uniform(0.0, 1.0) for _ in range(RANDOM_KILLS))]:
        any_moment = isinstance(moment, float)
        die = f"import threading; threading.Timer({moment * whole:.3f}, die).start()" if any_moment else moment
        code, _ = run(die)
        if code == 0:  # it got to its end before: once more from the start
            assert outcome(workdir) == expected
            shutil.rmtree(workdir / "stages")
            code, seconds = run(die)
            whole = min(whole, seconds) if code == 0 else whole
        assert code in (-9, 0) if any_moment else code == -9
        kills += code == -9
    assert kills >= 15
    assert run()[0] == 0
    assert outcome(workdir) == expected
