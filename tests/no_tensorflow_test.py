"""dakd_jax without tensorflow and without data_pipelines; run.py without tensorflow."""

import ast
import subprocess
import sys

import pytest
import rooms
import tiny_runs

# As where they are not installed: nothing finds them.
BLOCK = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
# Static, since some call it of the class and some of an instance.
PathFinder.find_spec = staticmethod(
    lambda name, *a, **k: None if name.split(".")[0] in {blocked!r} else find(name, *a, **k)
)
"""
# A stage on pictures made up here, through the real loop: no data_pipelines anywhere.
TRAIN = """
import io, pathlib, numpy as np
from rich.console import Console
from configs import base
import dakd_jax.studies.experiment.page
from dakd_jax.evaluation import predict
from dakd_jax.objectives import paradigms
from dakd_jax.stages import settings, weights
from dakd_jax.training import loop as train
config = base.get_config()
config.update_from_flattened_dict({changes!r})
chosen = settings.stage_settings(config, paradigms.stage("source_only"), 19)
rng = np.random.default_rng(0)
def batches(step):
    while True:
        yield {{
            "source_image": rng.integers(0, 256, (2, 32, 64, 3), dtype=np.uint8),
            "source_label": rng.integers(0, 19, (2, 32, 64), dtype=np.uint8),
        }}
job = train.StageJob(
    title="made up", stage="source_only", identity={{}}, folder=pathlib.Path({folder!r}), settings=chosen,
    loop=settings.loop_settings(config),
    segmenter=weights.start(chosen.models.segmenter, config.student, 0, "student"), teacher=None,
    seed=0,
    batches=batches, eval_batches=lambda: iter(()), selection=None, show=(), config={{}},
    palette=np.zeros((19, 3), np.uint8),
)
trained = train.train(job, Console(file=io.StringIO()))
weights.save(job.folder / "model.pth", trained.variables)
bad = [m for m in sys.modules if m.split(".")[0] in {blocked!r}]
assert not bad, bad
"""


def test_a_step_without_tensorflow_and_data_pipelines(tmp_path):
    blocked = {"tensorflow", "data_pipelines"}
    changes = tiny_runs.TINY | {"train.steps": 1, "train.eval_every": 0}
    code = (BLOCK + TRAIN).format(blocked=blocked, changes=changes, folder=str(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tiny_runs.PROJECT, env=tiny_runs.environment(), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "model.pth").exists()
    assert [row["step"] for row in tiny_runs.metric_rows(tmp_path)] == [1]


@pytest.fixture
def without_tensorflow():
    return BLOCK.format(blocked={"tensorflow"})


@pytest.mark.parametrize("loader", ["numpy", "tf"])
def test_run_py_with_either_loader(run_py, toy_city, chain, tmp_path, without_tensorflow, loader):
    changes = {"goal": "source_only", "data.loader": loader}
    ended = run_py(tiny_runs.arguments(toy_city, tmp_path, **changes), before=without_tensorflow, fork=True)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.count("data: data.loader='tf': tensorflow is not installed") == (loader == "tf")
    model = tiny_runs.stage_folder(tmp_path, "source_only") / "model.pth"
    assert model.read_bytes() == (tiny_runs.stage_folder(chain[0], "source_only") / "model.pth").read_bytes()


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [("dakd_jax", {"tensorflow", "data_pipelines", "torch"}), ("data_pipelines", {"dakd_jax", "jax", "flax", "torch"})],
)
def test_no_file_imports_what_its_half_must_not_know(folder, forbidden):
    for file in (tiny_runs.PROJECT / folder).rglob("*.py"):
        opened = {module for of, module in rooms.KNOWN if of == rooms.module_of(file)}
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = set(names) - opened - {module.rpartition(".")[0] for module in opened}
            assert not {name.split(".")[0] for name in names} & forbidden, file
