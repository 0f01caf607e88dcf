"""The command line from outside: mistakes end as one line and exit code 2, and leave nothing half written."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny_datasets as tiny
import tiny_runs
from PIL import Image

from dakd_jax import command_line, train_state, weights
from dakd_jax.errors import UserError
from dakd_jax.models.segmenter import Segmenter

FAST = {"goal": "source_only", "train.eval_every": 0}
NO_REPORT = "import dakd_jax.commands as c; c.write_report = lambda found, folder: folder / 'index.html'\n"


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


@pytest.fixture
def workdir(tmp_path, chain):
    """A new one that knows what is compiled."""
    folder = tmp_path / "workdir"
    folder.mkdir()
    (folder / "xla_cache").symlink_to(chain[0] / "xla_cache")
    return folder


@pytest.fixture
def city(tmp_path, toy_city):
    """A copy of the city, as the plain pair gta5 -> cityscapes, to be damaged."""
    shutil.copytree(toy_city, tmp_path / "city")
    return tmp_path / "city"


def on_files(city, workdir, **changes):
    return tiny_runs.arguments(city, workdir, **{**FAST, "data.name": "gta5", **changes})


# The command itself


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--config.nonsense=1"], ["config.nonsense is unknown", "config has .*train", "configs/base.py"]),
        (["--config.optim.lerning_rate=1"], ["did you mean --config.optim.learning_rate"]),
        (["--config.steps=1"], ["did you mean --config.train.steps"]),
        (["--config.seed.x=1"], ["config.seed.x is unknown"]),
        (["--config.train.steps=abc"], ["config.train.steps=abc", "expected a whole number, such as"]),
        (["--config.train.steps=1.5"], ["expected a whole number"]),
        (["--config.optim.power=nan"], ["expected a number"]),
        (["--config.data.mirror=maybe"], ["expected true or false"]),
        (["--config.data.source_size=64,x"], ["expected values with commas between, such as"]),
        (["--config.train=3"], ["this is a group; name one of its fields: .*steps"]),
        (["--config=configs/nope.py"], ["configs/nope.py: no such file", "demo.py"]),
        (["--config=nowhere/nope.py"], ["nowhere/nope.py: no such file"]),
        (["--config=configs/base.py:fast"], ["preset 'fast' is unknown", "released_code"]),
        (["--mode=fly"], ["--mode=fly", "train, plan, evaluate"]),
        (["--mode"], ["--mode has no value"]),
        (["--config.seed", "--mode=plan"], ["--config.seed has no value"]),
        (["--speed=3"], ["--speed is unknown"]),
        (["train"], ["unexpected argument 'train'", "--config.FIELD=VALUE"]),
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
    "text", ["def get_config(preset):\n    return 1 / 0", "x = (", "", "def get_config(p): return 3"]
)
def test_a_config_file_that_is_wrong(tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UserError, match="mine.py.*(cannot be loaded|returns no ConfigDict).*configs/"):
        command_line.parse([f"--config={tmp_path / 'mine.py'}"])


def test_values_keep_the_type_of_their_field():
    parsed = command_line.parse(
        [
            "--config=configs/base.py:released_code", "--config.train.steps", "7", "--config.optim.learning_rate=1",
            "--config.data.mirror=yes", "--config.data.target_size=(64, 32)", "--config.goal=case_a,case_b",
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
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "run.py", "--mode=fly"],
        cwd=tiny_runs.PROJECT, env=tiny_runs.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 2 and "| jax\n" not in ended.stderr
    assert ended.stderr.splitlines()[-1] == "error: --mode=fly: expected one of train, plan, evaluate"
    assert time.monotonic() - began < 20


def test_help(run_py):
    ended = run_py(["--help"])
    assert ended.code == 0 and "Exit codes" in ended.stdout and not ended.stderr


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"data.name": "mars"}, ["data.name='mars'", "bdd, gta5, camvid, toy"]),
        ({"goal": "case_e"}, ["config.goal='case_e'", "case_d"]),
        ({"goal": ""}, ["config.goal=", "such as case_d"]),
        ({"data.source_size": (64, 24)}, ["data.source_size=\\(64, 24\\)", "at least 32"]),
        ({"eval.protocol": "mine"}, ["eval.protocol='mine'", "released"]),
        ({"data.loader": "torch"}, ["data.loader='torch'", "numpy"]),
        ({"replace.teacher": "nowhere.pth", "goal": "case_d"}, ["no checkpoint at nowhere.pth", "\\.pth file"]),
        ({"data.toy.num_train": 7}, ["another toy city", "num_train 6 there, 7 asked"]),
    ],
    ids=str,
)
def test_mistakes_of_values(run_py, toy_city, tmp_path, changes, parts):
    one_line(run_py(tiny_runs.arguments(toy_city, tmp_path / "w", **changes)), *parts)
    nothing_finished(tmp_path / "w")


# Data


def test_no_folder(run_py, tmp_path):
    ended = run_py(tiny_runs.arguments(tmp_path / "none", tmp_path / "w", **{"data.name": "bdd"}))
    one_line(ended, f"no folder {tmp_path}/none/bdd100k", "--config.data.root", "--config.data.bdd100k_dir")


def test_image_without_label(run_py, city, workdir):
    label = sorted((city / "gta5" / "labels").iterdir())[2]
    label.unlink()
    one_line(
        run_py(on_files(city, workdir)), "has no label, expected", label.name, "add the label or remove the picture"
    )
    nothing_finished(workdir)


def test_empty_split(run_py, city, workdir):
    for file in (city / "gta5" / "images").iterdir():
        file.unlink()
    one_line(
        run_py(on_files(city, workdir)), "the split is empty", f"{city}/gta5", "check the folder and the list file"
    )


@pytest.mark.parametrize(
    ("what", "loader"),
    [
        ("corrupt", "numpy"),
        ("corrupt", "tf"),
        ("unknown ids", "numpy"),
        ("unknown ids", "tf"),
        ("not a picture", "numpy"),
    ],
)
def test_a_bad_training_file_met_while_training(run_py, city, workdir, loader, what):
    if loader == "tf":
        pytest.importorskip("tensorflow", reason="the tf.data loader needs tensorflow")
    image, label = (sorted((city / "gta5" / kind).iterdir())[1] for kind in ("images", "labels"))
    if what == "unknown ids":
        tiny.save(label, np.full((48, 64), 200, np.uint8), palette=True)
        parts = [str(label), "values 200 are no", "100.0% of the pixels, 5% are tolerated"]
    else:
        # A whole header: it is the pixels that are lost.
        image.write_bytes(image.read_bytes()[:200] if what == "corrupt" else b"text")
        parts = [str(image), "cannot be read", "restore the file or remove it with its pair"]
    one_line(run_py(on_files(city, workdir, **{"data.loader": loader})), *parts)
    nothing_finished(workdir)


def test_sizes_of_picture_and_label_differ(run_py, city, workdir):
    """In Cityscapes; GTA5 is known for such pairs and leaves them out."""
    label = next((city / "cityscapes" / "gtFine" / "val").rglob("*labelIds.png"))
    Image.open(label).resize((32, 24), Image.Resampling.NEAREST).save(label)
    ended = run_py(on_files(city, workdir), before=NO_REPORT)
    one_line(ended, label.name, "32x24 .* but .* is 64x48", "restore the pair or remove both")


def test_labels_of_evaluation_missing(run_py, city, workdir):
    shutil.rmtree(city / "cityscapes" / "gtFine")
    one_line(run_py(on_files(city, workdir), before=NO_REPORT), "has no label", "gtFine")


# Checkpoints


def tiny_weights(path, **changes):
    settings = {"arch": "drn_d_22", "num_classes": 19, "width": 0.05, **changes}
    blank = train_state.blank_segmenter(Segmenter(**settings))
    weights.save(path, blank)
    return path


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ({"num_classes": 7}, r"seg1.weight \(7, 26, 1, 1\) instead of \(19, 26, 1, 1\)"),
        ({"arch": "drn_d_38"}, "unknown names"),
        ({"width": 0.1}, "wrong shapes"),
    ],
    ids=str,
)
def test_a_teacher_of_another_kind(run_py, toy_city, workdir, tmp_path, other, part):
    path = tiny_weights(tmp_path / "teacher.pth", **other)
    ended = run_py(tiny_runs.arguments(toy_city, workdir, goal="case_a", **{"replace.teacher": str(path)}))
    one_line(ended, str(path), part, "Choose the architecture, width and class count")
    nothing_finished(workdir)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 torn"], ids=str)
def test_a_file_that_is_no_checkpoint(run_py, toy_city, workdir, tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    changes = {**FAST, "student.pretrained": str(tmp_path / "x.pth")}
    one_line(run_py(tiny_runs.arguments(toy_city, workdir, **changes)), "x.pth")


def test_evaluation_of_another_architecture(run_py, toy_city, tmp_path):
    path = tiny_weights(tmp_path / "x.pth", arch="drn_d_24")
    changes = {"eval.checkpoint": str(path)}
    one_line(
        run_py([*tiny_runs.arguments(toy_city, tmp_path / "w", **changes), "--mode=evaluate"]), "x.pth does not fit"
    )
    assert not (tmp_path / "w").exists()


# The disk

FAULT = """
import errno, os
def fail(*args, **kwargs):
    raise OSError(errno.{code}, os.strerror(errno.{code}), {path!r})
"""
AT_STEP_4 = """
import dakd_jax.logs as logs
plain = logs.MetricLog.row
logs.MetricLog.row = lambda self, step, *a: fail() if step == 4 else plain(self, step, *a)
"""
AT_WEIGHTS = "import dakd_jax.weights as w; w.save = fail\n"
AT_RECORD = "import dakd_jax.records as r; r.write_json = fail\n"
AT_REPORT = "import dakd_jax.commands as c; c.write_report = fail\n"
AT_CHECKPOINT = """
import orbax.checkpoint as ocp
def save(*args, **kwargs):
    raise ValueError("RESOURCE_EXHAUSTED: Error writing local file: No space left on device [os_error_code='28']")
ocp.CheckpointManager.save = save
"""
AT_EVALUATION = """
import numpy as np
np.savez_compressed = fail
"""


@pytest.mark.parametrize(
    ("before", "code", "reason"),
    [
        (AT_RECORD, "EACCES", "Permission denied"),
        (AT_STEP_4, "ENOSPC", "No space left on device"),
        (AT_CHECKPOINT, "ENOSPC", "No space left on device"),
        (AT_WEIGHTS, "EROFS", "Read-only file system"),
        (AT_EVALUATION, "EDQUOT", "quota"),
        (AT_REPORT, "ENOSPC", "No space left on device"),
    ],
    ids=["record", "log", "checkpoint", "weights", "evaluation", "report"],
)
def test_disk_faults_are_one_line_and_the_command_goes_on_later(
    run_py, toy_city, workdir, chain, monkeypatch, before, code, reason
):
    fault = FAULT.format(code=code, path=str(workdir / "file"))
    changes = {"goal": "source_only"}
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **changes), before=fault + before)
    one_line(ended, f"cannot write {workdir}", reason, "make room or choose another --workdir")
    assert not list(workdir.rglob("*.tmp"))
    monkeypatch.setattr("dakd_jax.commands.write_report", lambda found, folder: folder / "index.html")
    tiny_runs.run(tiny_runs.config(toy_city, goal=("source_only",)), workdir)
    mine, theirs = (tiny_runs.stage_folder(w, "source_only") for w in (workdir, chain[0]))
    assert (mine / weights.FILE).read_bytes() == (theirs / weights.FILE).read_bytes()
    assert tiny_runs.metric_rows(mine) == tiny_runs.metric_rows(theirs)


@pytest.mark.parametrize(
    ("code", "reason"), [("ENOSPC", "No space"), ("EACCES", "Permission denied"), ("EROFS", "Read-only")]
)
def test_workdir_that_cannot_be_written(run_py, toy_city, tmp_path, code, reason):
    fault = FAULT.format(code=code, path=str(tmp_path)) + "import tempfile; tempfile.NamedTemporaryFile = fail\n"
    ended = run_py(tiny_runs.arguments(toy_city, tmp_path / "w", **FAST), before=fault)
    one_line(ended, f"cannot write to {tmp_path}/w", reason, "choose another --workdir")


def test_workdir_that_is_a_file(run_py, toy_city, tmp_path):
    (tmp_path / "w").write_text("")
    one_line(run_py(tiny_runs.arguments(toy_city, tmp_path / "w", **FAST)), f"cannot write to {tmp_path}/w")


def test_a_checkpoint_of_other_shapes_in_the_stage_s_folder(run_py, toy_city, workdir, chain):
    """Cannot come about by itself: the hash is another one. A copied folder can."""
    run_py(tiny_runs.arguments(toy_city, workdir, **FAST), before=FAULT.format(code="ENOSPC", path="x") + AT_WEIGHTS)
    mine = tiny_runs.stage_folder(workdir, "source_only") / "checkpoints"
    shutil.rmtree(mine)
    shutil.copytree(tiny_runs.stage_folder(chain[0], "student") / "checkpoints", mine)
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **FAST))
    one_line(ended, "checkpoints/6 does not fit", "discriminators", "delete that folder")


# Other ends


def test_diverged_training_is_one_line_with_its_own_code(run_py, toy_city, workdir):
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **FAST, **{"optim.learning_rate": 1e30}))
    one_line(ended, "step \\d: .*loss/source.* not finite", "--config.optim.learning_rate", code=3)
    assert not list(workdir.rglob("model.pth"))


def test_ctrl_c_of_a_whole_process(toy_city, workdir):
    """The real thing once: says that it stopped, exit code 130, a checkpoint, no traceback."""
    changes = {**FAST, "train.steps": 5000, "train.checkpoint_every": 5000}
    process = subprocess.Popen(
        [sys.executable, "run.py", *tiny_runs.arguments(toy_city, workdir, **changes)],
        cwd=tiny_runs.PROJECT, env=tiny_runs.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any(f.stat().st_size for f in workdir.glob("stages/*/metrics.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == "stopped; the same command goes on where it was\n"
    step = int(re.search(r"stopped at step (\d+) and saved", stdout)[1])
    folder = tiny_runs.stage_folder(workdir, "source_only")
    assert (folder / "checkpoints" / str(step)).is_dir()
    assert json.loads((folder / "record.json").read_text())["status"] == "training"


def test_the_finished_chain_by_command(run_py, toy_city, chain):
    """The command line and the config in the tests mean the same stages."""
    goal = ",".join(tiny_runs.ALL_BUT_CONTINUED)
    ended = run_py(tiny_runs.arguments(toy_city, chain[0], goal=goal))
    assert ended.code == 0 and ended.stderr == ""
    assert ended.stdout.count("finished, reused") == 8
    assert "Report: " in ended.stdout
