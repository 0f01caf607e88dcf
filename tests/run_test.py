"""The command line from outside: what it understands, its mistakes in one line, how runs end."""

import csv
import json
import re
import signal
import subprocess
import sys

import pytest
import tiny_runs

from dakd_jax.basics.errors import UserError
from dakd_jax.commands.kit import command_line

FAST = {"goal": "source_only", "train.eval_every": 0}


# The command itself


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--config.nonsense=1"], ["config.nonsense is unknown", "there is .*train", "configs/base.py"]),
        (["--config.optim.lerning_rate=1"], ["did you mean --config.optim.learning_rate"]),
        (["--config.steps=1"], ["did you mean --config.train.steps"]),
        (["--config.seed.x=1"], ["seed\\.x", "configs/base.py"]),
        (["--config.train.steps=abc"], ["config.train.steps=abc", "invalid literal for int", "configs/base.py"]),
        (["--config.train.steps=1.5"], ["config.train.steps=1.5", "invalid literal for int"]),
        (["--config.data.mirror=maybe"], ["config.data.mirror=maybe", "[Nn]on-boolean"]),
        (["--config.train=3"], ["config.train=3", "not a dict"]),
        (["--config=configs/nope.py"], ["configs/nope.py: no such file", "demo.py"]),
        (["--config=nowhere/nope.py"], ["nowhere/nope.py: no such file"]),
        (["--config=configs/base.py:fast"], ["preset 'fast' is unknown", "released_code"]),
        (["--mode=fly"], ["--mode=fly", "train.plan.teach.predict.show.export.check.pack.card.evaluate"]),
        (["--mode"], ["[Mm]issing value for flag --mode"]),
        (["--config.seed", "--mode=plan"], ["config.seed"]),
        (["--speed=3"], ["[Uu]nknown command line flag .speed"]),
        (["train"], ["unexpected argument 'train'", "--config.FIELD=VALUE"]),
        (["--seeds=0,0"], ["--seeds=0,0: expected different numbers"]),
        (["--seeds=0,x"], ["--seeds=0,x: expected different numbers"]),
        (["--seeds=0,1", "--mode=plan"], ["--seeds goes with --mode=train, not plan"]),
        (["--mode=compare", "a"], ["wants the folders of two runs, 1 were given"]),
    ],
    ids=str,
)
def test_mistakes_of_the_command(arguments, parts):
    with pytest.raises(UserError) as caught:
        command_line.parse(arguments)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert re.search(part, message), (part, message)


@pytest.mark.parametrize(
    "text", ["def get_config(preset=''):\n    return 1 / 0", "x = (", "", "def get_config(p=''): return 3"]
)
def test_a_config_file_that_is_wrong(tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    told = "(division by zero|mine.py|no attribute .get_config|returns no ConfigDict).*configs/"
    with pytest.raises(UserError, match=told):
        command_line.parse([f"--config={tmp_path / 'mine.py'}"])


def test_values_keep_the_type_of_their_field():
    parsed = command_line.parse(
        [
            "--config=configs/base.py:released_code", "--config.train.steps", "7", "--config.optim.learning_rate=1",
            "--config.data.mirror=true", "--config.data.target_size=(64, 32)", "--config.goal=('case_a', 'case_b')",
            "--config.data.scale=0.5,2", "--config.title=1", "--workdir=w", "--mode=plan", "--config.seed=3",
            "--config.seed=-4",
        ]
    )  # fmt: skip
    config = parsed.config
    assert (parsed.name, parsed.mode, str(parsed.workdir)) == ("base", "plan", "w")
    assert config.train.steps == 7 and config.seed == -4
    assert config.optim.learning_rate == 1.0 and isinstance(config.optim.learning_rate, float)
    assert config.data.mirror is True and config.title == "1" and not config.optim.nesterov
    assert config.data.target_size == (64, 32) and config.data.scale == (0.5, 2.0)
    assert config.goal == ("case_a", "case_b")


def test_a_mistake_in_the_command_is_told_at_once_and_without_jax():
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "run.py", "--mode=fly"],
        cwd=tiny_runs.PROJECT, env=tiny_runs.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 2 and "| jax\n" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    known = (
        "train|plan|teach|predict|show|export|check|pack|card|evaluate|protocols|attribution|figures|submit|verify|compare|"
        "replay|doctor|prepare"
    )
    assert last.startswith(f"error: command line: flag --mode=fly: value should be one of <{known}>, ")


REUSED = """
import pathlib, sys
import tiny_runs
chosen = tiny_runs.config(pathlib.Path(sys.argv[1]), goal=tiny_runs.ALL_BUT_CONTINUED)
said = tiny_runs.run(chosen, pathlib.Path(sys.argv[2]))
assert said.count("finished, reused") >= len(chosen.goal) and "to be trained" not in said, said
print(*{module.split(".")[0] for module in sys.modules})
"""


def test_a_run_that_is_reused_imports_neither_what_trains_nor_what_draws(toy_city, chain):
    """These take as long as all else that there is to do."""
    ended = subprocess.run(
        [sys.executable, "-c", REUSED, str(toy_city), str(chain[0])],
        cwd=tiny_runs.PROJECT, capture_output=True, text=True,
        env=tiny_runs.environment(PYTHONPATH=f"{tiny_runs.PROJECT}:{tiny_runs.PROJECT / 'tests'}"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    imported = set(ended.stdout.split())
    assert "jax" in imported
    assert not imported & {"orbax", "matplotlib", "tensorflow", "torch", "scipy", "tensorboardX", "jinja2"}


def test_help(run_py):
    ended = run_py(["--help"])
    assert ended.code == 0 and "Exit codes" in ended.stdout and not ended.stderr


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"data.name": "mars"}, ["data.name='mars'", "bdd, gta5, camvid, toy"]),
        ({"goal": "case_e"}, ["config.goal='case_e'", "case_d"]),
        ({"goal": ""}, ["config.goal=", "expected one of"]),
        ({"data.source_size": (64, 24)}, ["data.source_size=\\(64, 24\\)", "at least 32"]),
        ({"eval.protocol": "mine"}, ["eval.protocol='mine'", "released"]),
        ({"data.loader": "torch"}, ["data.loader='torch'", "numpy"]),
        ({"replace.teacher": "nowhere.pth", "goal": "case_d"}, ["no checkpoint at nowhere.pth", "\\.pth file"]),
        ({"data.toy.num_train": 7}, ["another toy city", "num_train 6 there, 7 asked"]),
    ],
    ids=str,
)
def test_mistakes_of_values(run_py, toy_city, tmp_path, changes, parts):
    tiny_runs.one_line(run_py(tiny_runs.arguments(toy_city, tmp_path / "w", **changes)), *parts)
    tiny_runs.nothing_finished(tmp_path / "w")


# Other ends


def test_diverged_training_is_one_line_with_its_own_code(run_py, toy_city, workdir):
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **FAST, **{"optim.learning_rate": 1e30}))
    tiny_runs.one_line(
        ended, "step \\d: .*(loss|norm)/.* not finite", "--replay=", "--config.optim.learning_rate", code=3
    )
    assert not list(workdir.rglob("model.pth"))


def test_ctrl_c_of_a_whole_process(toy_city, workdir):
    """The real thing once: says that it stopped, exit code 130, a checkpoint, no traceback."""
    changes = {**FAST, "train.steps": 5000, "train.checkpoint_every": 5000}
    process = tiny_runs.start_training(toy_city, workdir, **changes)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == "stopped; the same command goes on where it was\n"
    step = int(re.search(r"stopped at step (\d+) and saved", stdout)[1])
    folder = tiny_runs.stage_folder(workdir, "source_only")
    assert (folder / "checkpoints" / str(step)).is_dir()
    assert json.loads((folder / "record.json").read_text())["status"] == "training"


def test_several_seeds_in_one_command(run_py, toy_city, workdir):
    arguments = tiny_runs.arguments(toy_city, workdir, goal=("source_only", "student"), **{"train.eval_every": 0})
    ended = run_py([*arguments, "--seeds=0,1"])
    assert ended.code == 0 and ended.stderr == ""
    assert "± " in ended.stdout and "over the seeds" in ended.stdout
    assert len(list(workdir.glob("stages/student-*"))) == 2
    folder = workdir / "report_base_seeds"
    page = (folder / "index.html").read_text()
    assert "../report_base_seed0/index.html" in page and "../report_base_seed1/index.html" in page
    rows = list(csv.DictReader((folder / "seeds.csv").open()))
    scores = [
        json.loads(next(f.glob("evaluation-*.json")).read_text())["scores"]["miou"]
        for f in workdir.glob("stages/student-*")
    ]
    (student,) = [row for row in rows if row["stage"] == "student"]
    assert float(student["miou_mean"]) == pytest.approx(100 * sum(scores) / 2, abs=1e-3)
    assert student["seeds"] == "0 1"
    again = run_py([*arguments, "--seeds=0,1"])
    assert again.code == 0 and again.stdout.count("finished, reused") == 4


def test_the_finished_chain_by_command(run_py, toy_city, chain):
    """The command line and the config in the tests mean the same stages."""
    goal = tiny_runs.ALL_BUT_CONTINUED
    ended = run_py(tiny_runs.arguments(toy_city, chain[0], goal=goal))
    assert ended.code == 0 and ended.stderr == ""
    assert ended.stdout.count("finished, reused") == 8
    assert "Report: " in ended.stdout
