"""The teacher's answers, kept or asked for: the same bits, whatever lies in the file."""

import dataclasses
import errno
import io
import json
import os
import re

import jax
import numpy as np
import plug_tools
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.models import segmenter
from dakd_jax.objectives import adaptation
from dakd_jax.objectives.context import Outputs
from dakd_jax.stages import run_folder, teacher_answers
from dakd_jax.stages.experiment import Experiment
from dakd_jax.training import teaching
from dakd_jax.training.teaching import Views, answer_files, asking
from dakd_jax.training.teaching.answer_files import AnswerFile
from data_pipelines.feeding.feed import Feed

MIRRORED = {"data.mirror": True}


class Trained:
    """A stage that was trained in a folder of its own, and what the teacher was asked meanwhile."""

    def __init__(self, city, teacher, workdir, monkeypatch, stage="case_c", **changes):
        asked, said = [], asking.said
        monkeypatch.setattr(asking, "said", lambda *args, **how: (asked.append(0), said(*args, **how))[1])
        fields = {"goal": (stage,), "replace.teacher": str(teacher), "replace.case_c": "", **changes}
        chosen = tiny_runs.config(city, **fields)
        console = Console(file=io.StringIO(), width=300)
        experiment = Experiment(chosen, Feed(chosen.data), workdir, console)
        experiment.evaluator = None
        self.notes = experiment.teacher_notes()
        with tiny_runs.quick_compilation():
            experiment.ensure(stage)
        monkeypatch.setattr(asking, "said", said)
        (self.folder,) = workdir.glob(f"stages/{stage}-*")
        self.record = json.loads((self.folder / "record.json").read_text())
        self.asked, self.bits, self.text = len(asked), self.record["content_hash"], console.file.getvalue()
        self.files = sorted((workdir / "answers").glob("*.answers"))


@pytest.fixture(scope="module")
def first(toy_city, lively, tmp_path_factory):
    """(Trained with an empty folder, its workdir): with mirror images, so that a picture has two answers."""
    workdir = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        yield Trained(toy_city, lively[0], workdir, patch, **MIRRORED), workdir


@pytest.fixture
def again(toy_city, lively, monkeypatch):
    def train(workdir, files=(), **changes):
        """Trains anew in a workdir with copies of files of answers."""
        (workdir / "answers").mkdir(exist_ok=True)
        for file in files:
            (workdir / "answers" / file.name).write_bytes(file.read_bytes())
        return Trained(toy_city, lively[0], workdir, monkeypatch, **{**MIRRORED, **changes})

    return train


def test_kept_answers_give_the_bits_of_asked_ones(first, again, workdir):
    before, _ = first
    assert [file.name.split("-")[0] for file in before.files] == ["source", "target"]
    assert before.record["teacher_answers"] == {"source": "kept", "target": "kept"}
    # 12 positions of 6 pictures each, in one of two variants.
    assert 12 <= before.asked < 24
    after = again(workdir, before.files)
    assert after.asked == 0
    assert after.bits == before.bits
    assert [file.read_bytes() for file in after.files] == [file.read_bytes() for file in before.files]


def test_what_does_not_fit_is_asked_every_time(first, again, workdir):
    before, _ = first
    size = sum(6 * 2 * (2 * 4 * 8 * 19 * 4 + 32) for _ in before.files)  # two heads at stride 8 of 64x32
    some = again(workdir, **{"teacher.cache_gb": size / 3 / 1e9})
    assert some.bits == before.bits
    assert some.asked > before.asked
    assert all("4 of 12 answers are kept" in note for note in some.notes)
    assert all(file.stat().st_size <= size / 2 / 3 for file in some.files)


def test_a_damaged_file_is_asked_again(first, again, workdir):
    before, _ = first
    folder = workdir / "damaged"
    folder.mkdir()
    cut, garbled = (folder / file.name for file in before.files)
    cut.write_bytes(before.files[0].read_bytes()[:-100])
    content = bytearray(before.files[1].read_bytes())
    record, filled = len(content) // 12, [slot for slot in range(12) if any(content[slot * len(content) // 12 :][:99])]
    content[filled[0] * record + 7] ^= 1
    garbled.write_bytes(bytes(content))
    (run := workdir / "run").mkdir()
    after = again(run, [cut, garbled])
    assert after.bits == before.bits
    assert after.asked == 2
    assert [file.read_bytes() for file in after.files] == [file.read_bytes() for file in before.files]


def test_teach_asks_ahead_what_training_then_finds(first, toy_city, lively, again, workdir, monkeypatch):
    asked, said = [], asking.said

    def stopped(*args, **how):
        asked.append(0)
        if len(asked) == 8:
            raise KeyboardInterrupt
        return said(*args, **how)

    fields = {"goal": ("case_c",), "replace.teacher": str(lively[0]), **MIRRORED}
    monkeypatch.setattr(asking, "said", stopped)
    with pytest.raises(KeyboardInterrupt):
        tiny_runs.run(tiny_runs.config(toy_city, **fields), workdir, mode="teach")
    text = tiny_runs.run(tiny_runs.config(toy_city, **fields), workdir, mode="teach")
    assert "Teacher on target" in text and "answer 12/12" in text
    assert len(asked) == 24 + 1  # of those before the stop only the one that it hit is asked again
    monkeypatch.setattr(asking, "said", said)
    after = again(workdir)
    assert after.asked == 0 and after.bits == first[0].bits


def test_teach_wants_a_teacher_that_is_finished(toy_city, workdir):
    with pytest.raises(UserError, match="no finished teacher .* --config.goal=teacher"):
        tiny_runs.run(tiny_runs.config(toy_city, goal=("case_c",)), workdir, mode="teach")
    with pytest.raises(UserError, match="ask no teacher"):
        tiny_runs.run(tiny_runs.config(toy_city, goal=("student",)), workdir, mode="teach")


def planned(city, workdir, goal="case_c", **changes):
    chosen = tiny_runs.config(city, goal=(goal,), **changes)
    return Experiment(chosen, Feed(chosen.data), workdir, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("changes", "source", "target"),
    [
        ({"teacher.cache_gb": 0.0}, *["teacher.cache_gb=0"] * 2),
        ({"teacher.statistics": "batch"}, *["depends on the whole batch"] * 2),
        ({"loss.mse_on": "features"}, *["loss term 'mse' compares features"] * 2),
        ({"data.scale": (0.5, 1.0)}, *["data.scale and data.crop"] * 2),
        ({"data.crop": (40, 32)}, *["data.scale and data.crop"] * 2),
        ({"data.blur": (0.0, 1.0)}, *["teacher.views.clean=True"] * 2),
        ({"data.colour_jitter": (0.5, 0.0, 0.0, 0.0), "teacher.views.clean": True}, "", ""),
        ({"data.class_mix": 0.5}, "", "data.class_mix pastes"),
        ({"adaptation.methods": ("self_training",)}, "", ""),
        ({"adaptation.methods": ("redrawing",)}, "", "adaptation method 'redrawing'"),
    ],
    ids=str,
)
def test_answers_are_kept_where_pictures_come_again_and_the_plan_says_why_not(
    toy_city, tmp_path, redrawing, changes, source, target
):
    experiment = planned(toy_city, tmp_path, **changes)
    notes = experiment.teacher_notes()
    for domain, why, note in zip(("source", "target"), (source, target), notes, strict=True):
        assert note.startswith(f"teacher on {domain} pictures (case_c): ")
        assert (why in note) if why else ("each is asked once and its answer kept, 6 answers, " in note)
    taught, plain = (
        experiment.answers.taught("case_c", {"params": {}}, ""),
        experiment._settings(experiment.plan["case_c"]),
    )
    kept = [domain for domain, why in (("source", source), ("target", target)) if not why]
    assert list(taught.identified) == list(dict(taught.settings.options.answers)) == kept
    assert (taught.teacher is None) == (len(kept) == 2)
    # Without any the step, its batches and so its bits are those of a run that keeps nothing.
    assert kept or (taught.settings == plain and taught.added("batches") == "batches")


@pytest.fixture
def redrawing():
    """An adaptation method that puts other pictures in the place of the target's."""

    @dataclasses.dataclass(frozen=True)
    class Redrawing(adaptation.Method):
        NAME = "redrawing"

        def prepare(self, state, batch, tools):
            return batch | {"target_image": 255 - batch["target_image"]}

    with plug_tools.forgotten(adaptation.METHODS):
        adaptation.METHODS.register("redrawing", Redrawing)
        yield


def test_a_case_that_distils_on_one_domain_has_the_step_of_all(toy_city, tmp_path):
    """So that one compilation serves cases (a) to (d)."""
    steps = []
    for goal in ("case_a", "case_b", "case_c"):
        taught = planned(toy_city, tmp_path, goal).answers.taught(goal, {"params": {}}, "")
        steps.append((taught.settings.options, taught.settings.models, taught.teacher))
    assert steps[0] == steps[1] == steps[2]


@pytest.mark.parametrize(
    ("size", "views", "dtype"),
    [
        ((32, 40), Views(), "float32"),
        ((32, 40), Views(), "float16"),
        ((24, 48), Views(mirror=True, scales=(0.75,)), "float32"),
    ],
    ids=str,
)
def test_answers_are_what_the_network_says_inside_the_step(lively, size, views, dtype):
    _, model, variables = lively
    heads = {name: jax.tree.map(lambda leaf: leaf / 200, variables["params"][name]) for name in ("seg1", "seg2")}
    variables = variables | {"params": variables["params"] | heads}  # of logits up to 5
    pictures = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)

    def once(images):
        heads, _ = segmenter.forward(model, variables, images)
        return Outputs(heads.log_probabilities(images.shape[1:3]), {}, model.auxiliary_tap)

    how = {"views": views, "levels": ("auxiliary", "main"), "precision": "float32", "dtype": dtype}
    with tiny_runs.quick_compilation():
        form = asking.form(model, size, **how)
        said = np.concatenate([asking.said(variables, picture[None], model=model, **how) for picture in pictures])
        assert said.shape == (2, form.entries) and said.dtype == form.dtype == dtype
        found = jax.jit(lambda said: form.said(said, (32, 40)).expanded().log_probs)(said)
        expected = jax.jit(lambda seen: teaching.answers(once, seen, (32, 40), views).log_probs)(pictures)
    for level in ("auxiliary", "main"):
        np.testing.assert_allclose(found[level], expected[level], atol=2e-5 if dtype == "float32" else 2e-2)
        assert np.std(expected[level]) > 0.5


def test_heads_that_no_term_reads_are_left_out(toy_city, tmp_path):
    chosen = tiny_runs.config(toy_city, goal=("case_c",), **{"loss.kl": 0.0, "loss.mse": 0.0})
    experiment = Experiment(chosen, Feed(chosen.data), tmp_path, Console(file=io.StringIO()))
    (shown,) = experiment.answers.forms["source"].shown
    assert [logits.level for logits in shown.logits] == ["main"]


def test_a_stage_that_goes_on_in_another_way_says_so(tmp_path):
    said, kept, asked = [], {"source": "kept"}, {"source": "teacher.cache_gb=0"}
    assert teacher_answers.told(tmp_path, 0, kept, said.append) == {"teacher_answers": kept}
    for before, now, other in (({}, kept, None), ({"teacher_answers": kept}, asked, kept), (None, kept, asked)):
        record = tmp_path / "record.json"
        if before is not None:
            record.write_text(json.dumps(before))
        told = teacher_answers.told(tmp_path, 4, now, said.append)
        assert told["teacher_answers"] == now and told["teacher_answers_changed"][-1] == {
            "at_step": 4,
            "before": other,
        }
        record.write_text(json.dumps(told))
    assert len(told["teacher_answers_changed"]) == 2 and len(said) == 3
    assert teacher_answers.told(tmp_path, 5, kept, said.append) == told and len(said) == 3


# The file


def open_file(folder, capacity=5, **how):
    return AnswerFile(folder, "target", {"teacher": "abc"}, entries=6, dtype="float32", capacity=capacity, **how)


def test_a_record_is_read_as_it_was_written_or_not_at_all(tmp_path):
    file, answers = open_file(tmp_path), np.arange(12, dtype=np.float32).reshape(2, 6)
    assert file.read(0) is None and 0 not in file and not file.path.exists()
    for slot in (1, 3):
        file.write(slot, answers[slot // 2])
    file.write(5, answers[0])
    whole = file.path.read_bytes()
    assert len(whole) == 4 * file.record_bytes and file.count() == 2
    assert [file.read(slot) is None for slot in range(7)] == [True, False, True, False, True, True, True]
    np.testing.assert_array_equal(file.read(3), answers[1])
    for place in range(0, len(whole), 3):
        file.path.write_bytes(whole[:place])
        for slot in (1, 3):
            assert (file.read(slot) is None) == (place < (slot + 1) * file.record_bytes)
        file.path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x80]) + whole[place + 1 :])
        for slot in (1, 3):
            assert (file.read(slot) is None) == (place // file.record_bytes == slot)
    size = file.record_bytes  # an answer at another's place is not that one's
    file.path.write_bytes(bytes(size) + whole[3 * size :] + bytes(size) + whole[size : 2 * size])
    assert file.read(1) is None and file.read(3) is None
    other = AnswerFile(tmp_path, "target", {"teacher": "other"}, entries=6, dtype="float32", capacity=5)
    other.path.write_bytes(whole)
    assert other.read(1) is None


def test_a_full_disk_is_told_once_and_the_rest_is_asked(tmp_path, monkeypatch):
    said = []
    file = open_file(tmp_path, say=said.append)
    answer = np.ones(6, np.float32)
    file.write(0, answer)

    def full(*unused):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(answer_files.os, "pwrite", full)
    for slot in (1, 2):
        file.write(slot, answer)
    (line,) = said
    assert "No space left on device" in line and str(tmp_path) in line
    assert file.read(0) is not None and file.read(1) is None
    roomless = open_file(tmp_path, say=said.append, reserve=2**70)
    roomless.write(3, answer)
    assert len(said) == 2 and roomless.read(3) is None


def test_verify_looks_at_the_answers(first):
    _, workdir = first
    console = Console(file=io.StringIO(), width=300)
    assert run_folder.verify(workdir, console)
    assert (
        len(re.findall(r"answers/(source|target)-\w{10}.answers: \d+ answers of the teacher", console.file.getvalue()))
        == 2
    )
    file = next((workdir / "answers").glob("source-*.answers"))
    content = file.read_bytes()
    place = next(place for place, byte in enumerate(content) if byte)
    try:
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert not run_folder.verify(workdir, console)
        assert "1 damaged, which will be asked again" in console.file.getvalue()
        file.write_bytes(content)
        about = file.with_suffix(".json")
        about.write_text(about.read_text().replace('"float32"', '"float16"'))
        assert not run_folder.verify(workdir, console)
        assert "tells of other answers" in console.file.getvalue()
    finally:
        file.write_bytes(content)
