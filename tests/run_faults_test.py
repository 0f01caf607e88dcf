"""Bad data, bad checkpoints, a bad disk: one line that names the thing and the way out, and nothing half written."""

import shutil

import numpy as np
import pytest
import tiny_datasets as tiny
import tiny_runs
from PIL import Image

from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.stages import weights

FAST = {"goal": "source_only", "train.eval_every": 0}
NO_AUDIT = "import data_pipelines.feeding.feed as f; f.Feed.audit = lambda self, labelled: []\n"
NO_REPORT = """
import dakd_jax.studies.experiment.page as p
p.write_report = lambda found, folder: folder / "index.html"
"""


@pytest.fixture
def city(tmp_path, toy_city):
    """A copy of the city, as the plain pair gta5 -> cityscapes, to be damaged."""
    shutil.copytree(toy_city, tmp_path / "city")
    return tmp_path / "city"


def on_files(city, workdir, **changes):
    return tiny_runs.arguments(city, workdir, **{**FAST, "data.name": "gta5", **changes})


# Data


def test_no_folder(run_py, tmp_path):
    ended = run_py(tiny_runs.arguments(tmp_path / "none", tmp_path / "w", **{"data.name": "bdd"}))
    tiny_runs.one_line(ended, f"no folder {tmp_path}/none/bdd100k", "--config.data.root", "--config.data.bdd100k_dir")


def test_image_without_label(run_py, city, workdir):
    label = sorted((city / "gta5" / "labels").iterdir())[2]
    label.unlink()
    tiny_runs.one_line(
        run_py(on_files(city, workdir)), "has no label, expected", label.name, "add the label or remove the picture"
    )
    tiny_runs.nothing_finished(workdir)


def test_empty_split(run_py, city, workdir):
    for file in (city / "gta5" / "images").iterdir():
        file.unlink()
    tiny_runs.one_line(
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
    arguments = on_files(city, workdir, **{"data.loader": loader, "data.max_unreadable": 0})
    tiny_runs.one_line(run_py(arguments, before=NO_AUDIT), *parts)
    tiny_runs.nothing_finished(workdir)


def test_sizes_of_picture_and_label_differ(run_py, city, workdir):
    """In Cityscapes; GTA5 is known for such pairs and leaves them out."""
    label = next((city / "cityscapes" / "gtFine" / "val").rglob("*labelIds.png"))
    Image.open(label).resize((32, 24), Image.Resampling.NEAREST).save(label)
    ended = run_py(on_files(city, workdir), before=NO_AUDIT + NO_REPORT)
    tiny_runs.one_line(ended, label.name, "32x24 .* but .* is 64x48", "restore the pair or remove both")


REFUSED = """
import os
plain = os.listdir
def listdir(path="."):
    if str(path) == {path!r}:
        raise PermissionError(13, "Permission denied", str(path))
    return plain(path)
os.listdir = listdir
"""


def test_a_folder_of_the_data_that_may_not_be_read(run_py, city, workdir):
    folder = city / "gta5" / "images"
    ended = run_py(on_files(city, workdir), before=REFUSED.format(path=str(folder)))
    tiny_runs.one_line(ended, rf"{folder}: cannot be read \(Permission denied\); allow this user to read it")
    assert "--workdir" not in ended.stderr
    tiny_runs.nothing_finished(workdir)


def test_labels_of_evaluation_missing(run_py, city, workdir):
    shutil.rmtree(city / "cityscapes" / "gtFine" / "val")  # those of train are there
    tiny_runs.one_line(run_py(on_files(city, workdir), before=NO_REPORT), "has no label", "gtFine")


# Checkpoints


def tiny_weights(path, **changes):
    settings = {"arch": "tiny", "num_classes": 19, **changes}
    blank = segmenter_module.blank_segmenter(Segmenter(**settings))
    weights.save(path, blank)
    return path


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ({"num_classes": 7}, r"seg1.weight \(7, 8, 1, 1\) instead of \(19, 8, 1, 1\).* choose the class count"),
        ({"arch": "drn_d_38", "width": 0.05}, "unknown names.* Choose the architecture"),
        ({"width": 2.0}, "wrong shapes.* choose the width"),
    ],
    ids=str,
)
def test_a_teacher_of_another_kind(run_py, toy_city, workdir, tmp_path, other, part):
    path = tiny_weights(tmp_path / "teacher.pth", **other)
    ended = run_py(tiny_runs.arguments(toy_city, workdir, goal="case_a", **{"replace.teacher": str(path)}))
    tiny_runs.one_line(ended, str(path), part)
    tiny_runs.nothing_finished(workdir)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 torn"], ids=str)
def test_a_file_that_is_no_checkpoint(run_py, toy_city, workdir, tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    changes = {**FAST, "student.pretrained": str(tmp_path / "x.pth")}
    tiny_runs.one_line(run_py(tiny_runs.arguments(toy_city, workdir, **changes)), "x.pth")


def test_evaluation_of_another_architecture(run_py, toy_city, tmp_path):
    path = tiny_weights(tmp_path / "x.pth", arch="drn_d_24", width=0.05)
    changes = {"eval.checkpoint": str(path)}
    tiny_runs.one_line(
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
import dakd_jax.evaluation.logs as logs
plain = logs.MetricLog.row
logs.MetricLog.row = lambda self, step, *a: fail() if step == 4 else plain(self, step, *a)
"""
AT_WEIGHTS = "import dakd_jax.stages.weights as w; w.save = fail\n"
AT_RECORD = "import dakd_jax.basics.records as r; r.write_json = fail\n"
AT_REPORT = "import dakd_jax.studies.experiment.page as p; p.write_report = fail\n"
AT_CHECKPOINT = """
import orbax.checkpoint as ocp
def save(*args, **kwargs):
    raise ValueError("RESOURCE_EXHAUSTED: Error writing local file: No space left on device [os_error_code='28']")
ocp.Checkpointer.save = save
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
    tiny_runs.one_line(ended, f"cannot write {workdir}", reason, "make room or choose another --workdir")
    assert not list(workdir.rglob("*.tmp"))
    monkeypatch.setattr("dakd_jax.studies.experiment.page.write_report", lambda found, folder: folder / "index.html")
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
    tiny_runs.one_line(ended, f"cannot write to {tmp_path}/w", reason, "choose another --workdir")


def test_workdir_that_is_a_file(run_py, toy_city, tmp_path):
    (tmp_path / "w").write_text("")
    tiny_runs.one_line(run_py(tiny_runs.arguments(toy_city, tmp_path / "w", **FAST)), f"cannot write to {tmp_path}/w")


def test_a_checkpoint_of_other_shapes_in_the_stage_s_folder(run_py, toy_city, workdir, chain):
    """Cannot come about by itself: the hash is another one. A copied folder can."""
    run_py(tiny_runs.arguments(toy_city, workdir, **FAST), before=FAULT.format(code="ENOSPC", path="x") + AT_WEIGHTS)
    mine = tiny_runs.stage_folder(workdir, "source_only") / "checkpoints"
    shutil.rmtree(mine)
    shutil.copytree(tiny_runs.stage_folder(chain[0], "student") / "checkpoints", mine)
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **FAST))
    tiny_runs.one_line(ended, "checkpoints/6 does not fit", "adapt is True in it, False here", "delete that folder")


# Faults of reading what a run goes on from

AT_STEP_5 = AT_STEP_4.replace("step == 4", "step == 5")
NO_PAUSES = "import dakd_jax.basics.disk_faults as d; d.PAUSES = (0.0,)\n"
AT_READING = """
import pathlib
plain_open = pathlib.Path.open
def open(self, *a, **k):
    return fail() if "checkpoints/4/" in str(self) else plain_open(self, *a, **k)
pathlib.Path.open = open
"""
AT_RESTORING = """
import jax, orbax.checkpoint as ocp
def restore(*args, **kwargs):
    raise {error}
ocp.Checkpointer.restore = restore
"""
FULL = "jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes.')"


@pytest.fixture(scope="module")
def stopped(run_py, toy_city, tmp_path_factory):
    """Workdir of a run that a fault of the disk ended at step 5, with the checkpoints of steps 2 and 4."""
    workdir = tmp_path_factory.mktemp("stopped")
    fault = FAULT.format(code="ENOSPC", path="x") + AT_STEP_5
    assert run_py(tiny_runs.arguments(toy_city, workdir, goal="source_only"), before=fault).code == 2
    assert checkpoints_of(workdir) == ["2", "4"]
    return workdir


def checkpoints_of(workdir):
    return sorted(p.name for p in (tiny_runs.stage_folder(workdir, "source_only") / "checkpoints").iterdir())


def test_reading_that_fails_leaves_the_checkpoints_and_the_same_command_goes_on(
    run_py, toy_city, tmp_path, stopped, chain, monkeypatch
):
    workdir = tmp_path / "w"
    shutil.copytree(stopped, workdir)

    def broken(before):
        return run_py(tiny_runs.arguments(toy_city, workdir, goal="source_only"), before=NO_PAUSES + before)

    for code, reason in (("EIO", "Input/output error"), ("EACCES", "Permission denied")):
        ended = broken(FAULT.format(code=code, path="checkpoints/4/file") + AT_READING)
        tiny_runs.one_line(ended, "cannot read checkpoints/4/file: .*" + reason, "left where it is", "same command")
        assert checkpoints_of(workdir) == ["2", "4"]
    tiny_runs.one_line(broken(AT_RESTORING.format(error=FULL)), "out of memory on .*: a step needs about")
    ended = broken(AT_RESTORING.format(error="MemoryError"))
    assert ended.code == 1 and "checkpoints/4 was left where it is" in ended.stderr
    assert checkpoints_of(workdir) == ["2", "4"]
    monkeypatch.setattr("dakd_jax.studies.experiment.page.write_report", lambda found, folder: folder / "index.html")
    assert "goes on at step 4" in tiny_runs.run(tiny_runs.config(toy_city, goal=("source_only",)), workdir)
    mine, theirs = (tiny_runs.stage_folder(w, "source_only") for w in (workdir, chain[0]))
    assert (mine / weights.FILE).read_bytes() == (theirs / weights.FILE).read_bytes()
    assert tiny_runs.metric_rows(mine) == tiny_runs.metric_rows(theirs)


LOSE_ALL = """
import dakd_jax.training.loop as t
plain = t._steps_again
def again(job, checkpoints):
    checkpoints.wait()
    for about in job.folder.glob("checkpoints/*/about.json"):
        about.unlink()
    return plain(job, checkpoints)
t._steps_again = again
"""


def test_a_bad_step_is_kept_though_all_checkpoints_are_damaged(run_py, toy_city, workdir):
    """It is run up to again from the start."""
    changes = {"goal": "source_only", "optim.learning_rate": 1e12, "train.checkpoint_every": 1, "train.eval_every": 0}
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **changes), before=LOSE_ALL)
    tiny_runs.one_line(ended, "not finite", "--replay=", code=3)
    assert all(name.startswith("damaged-") for name in checkpoints_of(workdir))
    assert list(workdir.glob("stages/source_only-*/blackbox-*"))


def test_all_checkpoints_damaged_ends_every_start_until_the_user_has_decided(run_py, toy_city, tmp_path, stopped):
    workdir = tmp_path / "w"
    shutil.copytree(stopped, workdir)
    folder = tiny_runs.stage_folder(workdir, "source_only") / "checkpoints"
    for step in ("2", "4"):
        (folder / step / "about.json").unlink()
    for _ in range(2):
        ended = run_py(tiny_runs.arguments(toy_city, workdir, goal="source_only"))
        tiny_runs.one_line(ended, f"all 2 checkpoints of {folder} are damaged", "damaged-2, damaged-4", "or delete")
        assert checkpoints_of(workdir) == ["damaged-2", "damaged-4"]
    shutil.rmtree(folder)
    ended = run_py(tiny_runs.arguments(toy_city, workdir, goal="source_only"), before=NO_REPORT)
    assert ended.code == 0 and "goes on" not in ended.stdout and checkpoints_of(workdir) == ["4", "6"]
