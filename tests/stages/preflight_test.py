"""What is wrong is said before the first step: files of weights, the folder, the disk; and how long it should take."""

import collections
import json

import numpy as np
import pytest
import tiny_runs

from dakd_jax.basics.errors import UserError
from dakd_jax.basics.progress import duration
from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.models.weight_files import pretrained
from dakd_jax.stages import experiment, preflight, weights


def network(path, spoil=None, **changes):
    """A .pth of zeros; `spoil`: {PyTorch name: value put into its first entry}."""
    blank = segmenter_module.blank_segmenter(Segmenter(**{"arch": "tiny", "num_classes": 19, **changes}))
    state_dict = pretrained.to_state_dict(blank)
    for name, value in (spoil or {}).items():
        state_dict[name] = np.array(state_dict[name])
        state_dict[name].flat[0] = value
    pretrained.torch_files.write(path, state_dict)
    return str(path)


def html(path):
    path.write_text("<!DOCTYPE html><html><body>Not found</body></html>")
    return str(path)


def cut(path):
    network(path)
    path.write_bytes(path.read_bytes()[:-500])
    return str(path)


WRONG = {
    "a page": (html, r"x\.pth"),
    "cut": (cut, r"x\.pth"),
    "another architecture": (
        lambda path: network(path, arch="drn_d_22", width=0.05),
        r"x\.pth does not fit this network",
    ),
    "other classes": (
        lambda path: network(path, num_classes=7),
        r"seg1.weight \(7, 8, 1, 1\) instead of \(19, 8, 1, 1\)",
    ),
    "not finite": (
        lambda path: network(path, {"base.layer3.0.conv1.weight": np.nan}),
        r"x\.pth: 1 of 288 values of base\.layer3\.0\.conv1\.weight are NaN or infinite",
    ),
    "infinite statistics": (
        lambda path: network(path, {"base.layer3.0.bn1.running_var": np.inf}),
        r"1 of 8 values of base\.layer3\.0\.bn1\.running_var are NaN or infinite",
    ),
}


@pytest.mark.parametrize("mode", ["plan", "train"])
@pytest.mark.parametrize("field", ["student.pretrained", "replace.case_c", "replace.teacher"])
@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_does_not_fit_is_noticed_before_any_work(toy_city, workdir, tmp_path, kind, field, mode):
    make, message = WRONG[kind]
    chosen = tiny_runs.config(toy_city, goal=("case_d",), **{field: make(tmp_path / "x.pth")})
    with pytest.raises(UserError, match=message):
        tiny_runs.run(chosen, workdir, mode)
    assert not list(workdir.glob("stages/*"))


def test_a_file_of_a_finished_stage_is_not_opened_again(toy_city, chain, monkeypatch):
    monkeypatch.setattr(preflight, "_open", None)
    assert "should take" not in tiny_runs.run(tiny_runs.config(toy_city, goal=("case_a",)), chain[0], "plan")


def with_free(monkeypatch, free):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage(0, 0, free))


@pytest.mark.parametrize("mode", ["plan", "train"])
def test_a_disk_without_room_for_the_checkpoints_to_come(toy_city, workdir, monkeypatch, mode):
    with_free(monkeypatch, 10_000)
    with pytest.raises(UserError, match=r"needs about .* GB for checkpoints .*lower --config.train.keep_checkpoints"):
        tiny_runs.run(tiny_runs.config(toy_city, goal=("student",)), workdir, mode)
    assert not list(workdir.glob("stages/*"))


def test_the_room_that_is_asked_for_is_what_a_stage_takes(toy_city, chain, tmp_path, monkeypatch):
    """A finished stage's folder is no larger, and not much smaller, than what was asked for."""
    asked = {}
    monkeypatch.setattr(preflight, "_SPARE", 1.0)
    plain = preflight._bytes_to_come
    monkeypatch.setattr(
        preflight, "_bytes_to_come", lambda config, one, n: asked.setdefault(one.name, plain(config, one, n))
    )
    tiny_runs.run(tiny_runs.config(toy_city, goal=("student",)), tmp_path / "elsewhere", "plan")
    state = tiny_runs.stage_folder(chain[0], "student") / "checkpoints" / str(tiny_runs.STEPS)
    one = sum(file.stat().st_size for file in state.rglob("*") if file.is_file())
    assert 2 * one < 2 * asked["student"] < 2 * 5 * one


def test_a_folder_that_cannot_be_written(toy_city, workdir, monkeypatch):
    monkeypatch.setattr(preflight.os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match=f"cannot write to {workdir}; allow writing, or choose another --workdir"):
        tiny_runs.run(tiny_runs.config(toy_city, goal=("student",)), workdir / "new", "plan")


def test_how_long_it_should_take_is_known_from_earlier_stages_of_this_machine(toy_city, chain, tmp_path):
    chosen = tiny_runs.config(toy_city, goal=("student", "case_a"), **{"seed": 1})
    (tmp_path / "there").symlink_to(chain[0])
    assert "not measured here; each stage says it" in tiny_runs.run(chosen, tmp_path / "other" / "deeper", "plan")
    text = tiny_runs.run(chosen, tmp_path / "new", "plan")
    assert "It should take about" in text and "by earlier stages of this machine" in text and "not measured" not in text
    records = [
        json.loads((tiny_runs.stage_folder(chain[0], name) / "record.json").read_text())
        for name in ("teacher", "student", "case_a")
    ]
    expected = sum(60 * record["timing"]["process_minutes"] for record in records)
    assert f"about {duration(expected)}," in text
    bigger = tiny_runs.config(toy_city, goal=("student", "teacher"), **{"seed": 1, "student.width": 2.0})
    assert "not measured here: student." in tiny_runs.run(bigger, tmp_path / "new", "plan")


def test_the_plan_says_what_stages_could_start_from(toy_city, chain, tmp_path):
    chosen = tiny_runs.config(toy_city, goal=("source_only", "student", "case_d"))
    assert "trains on from it" not in tiny_runs.run(chosen, chain[0], "plan")
    longer = tiny_runs.config(toy_city, goal=("student", "case_d"), **{"train.steps": 9})
    folder = tiny_runs.stage_folder(chain[0], "student").name
    way = f"--config.goal=student --config.student.pretrained={chain[0]}#{folder} "
    hint = f"student is finished with 6 steps and otherwise the same: {way}"
    text = tiny_runs.run(longer, chain[0], "plan")
    assert hint in text and "case_c is finished with 6 steps" in text
    assert text.count("trains on from it") == 2  # case_d starts from another stage
    shorter = tiny_runs.config(toy_city, goal=("student",), **{"train.steps": 3})
    assert "trains on from it" not in tiny_runs.run(shorter, chain[0], "plan")
    longer.optim.learning_rate = 0.5
    assert "trains on from it" not in tiny_runs.run(longer, chain[0], "plan")
    # Random weights: what there is instead.
    way = "--config.student.arch=tiny --config.student.width=1 --workdir=runs/pretrain_tiny_x1, then"
    start = f"{way} --config.student.pretrained=runs/pretrain_tiny_x1#source_only"
    assert "the student starts from random weights: train a trunk of its own with" in text and start in text
    longer.student.arch, longer.student.width = "efficientnet_lite0", 1.0
    text = tiny_runs.run(longer, tmp_path, "plan")
    assert "the student starts from random weights: --config.student.pretrained=imagenet" in text


def test_a_stage_of_a_run_is_named_by_run_and_stage(toy_city, chain, tmp_path):
    """RUN#STAGE is the folder of the finished stage: the same hash, the same record, the same weights."""
    folder = tiny_runs.stage_folder(chain[0], "student")
    for key in ("student", folder.name):
        assert weights.hash_file(f"{chain[0]}#{key}") == weights.hash_file(str(folder))
        assert weights.recorded(f"{chain[0]}#{key}") == weights.recorded(folder)
    for name in ("student-0000000000", "student-1111111111", "teacher-2222222222"):
        there = tmp_path / "stages" / name
        there.mkdir(parents=True)
        (there / "record.json").write_text(json.dumps({"status": "training" if "1111" in name else "finished"}))
        (there / "model.pth").write_bytes(b"")
    (tmp_path / "stages" / "damaged-3333333333" / "record.json").mkdir(parents=True)
    (tmp_path / "stages" / "student-4444444444").mkdir()
    (tmp_path / "stages" / "student-4444444444" / "record.json").write_text("[3")
    assert weights.resolve(f"{chain[0]}#student").path == folder / "model.pth"
    with pytest.raises(
        UserError, match="#case_b: the run has no finished stage case_b; finished there: .*teacher-2222"
    ):
        weights.resolve(f"{tmp_path}#case_b")
    (tmp_path / "stages" / "student-1111111111" / "record.json").write_text('{"status": "finished"}')
    several = (
        "#student: the run has finished student more than once; name one of student-0000000000, student-1111111111"
    )
    with pytest.raises(UserError, match=several):
        weights.resolve(f"{tmp_path}#student")


def test_training_goes_on_from_a_finished_stage(toy_city, chain, tmp_path, monkeypatch):
    """With the settings and the architecture that its record tells."""
    started = []
    monkeypatch.setattr(experiment, "train", lambda job, console: started.append(job) or 1 / 0)
    chosen = tiny_runs.config(
        toy_city, goal=("student",), **{"student.pretrained": f"{chain[0]}#student", "student.arch": "drn_d_22"}
    )
    with pytest.raises(ZeroDivisionError):
        tiny_runs.run(chosen, tmp_path)
    (job,) = started
    expected = weights.load(tiny_runs.stage_folder(chain[0], "student"), job.settings.models.segmenter)
    assert job.settings.models.segmenter.arch == "tiny"
    assert weights.content_hash(job.segmenter) == weights.content_hash(expected)


@pytest.mark.parametrize("found", [{}, {"timing": {}, "stage": "x"}, {"timing": None, "identity": 3}], ids=str)
def test_records_of_something_else_tell_nothing(tmp_path, found):
    there = tmp_path / "other" / "stages" / "x"
    there.mkdir(parents=True)
    told = {"status": "finished", "hardware": preflight.records.hardware()} | found
    (there / "record.json").write_text(json.dumps(told))
    config = tiny_runs.config(tmp_path)
    assert preflight.Durations(tmp_path / "new").seconds(config, preflight.paradigms.STAGES["student"], 5) is None


@pytest.mark.parametrize(("seconds", "text"), [(12, "12 s"), (200, "3 min"), (7200, "2.0 h"), (400_000, "4.6 days")])
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_wherever_they_are_read(tmp_path, value):
    path = network(tmp_path / "x.pth", {"seg2.bias": value})
    with pytest.raises(UserError, match=r"x\.pth: 1 of 19 values of seg2\.bias are NaN or infinite"):
        weights.load(path, Segmenter(arch="tiny", num_classes=19))


def test_what_a_killed_save_left_is_no_step_that_is_done(tmp_path):
    planned = experiment.PlannedStage("student", preflight.paradigms.STAGES["student"], {}, "0", tmp_path)
    assert planned.steps_done == 0
    for name in ("2", "4", "6.orbax-checkpoint-tmp-1", ".unfinished-8", "damaged-9"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert planned.steps_done == 4
