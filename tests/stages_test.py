"""Identities of stages; one command from nothing to case (d); what a second run reuses or replaces."""

import dataclasses
import io
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax import paradigms, train_state, weights
from dakd_jax.errors import UserError
from dakd_jax.report import SHORT_NAMES
from dakd_jax.settings import segmenter
from dakd_jax.stages import Experiment


@dataclasses.dataclass
class PaperFeed:
    """Stands for data where only the plan is made."""

    files: str = "files of today"
    class_names: tuple = ("road",) * 19

    def fingerprint(self, labelled):
        return f"{self.files}, labels of {labelled}"


def planned(workdir="w", feed=None, **changes):
    """{stage: PlannedStage} of a config with a goal of everything."""
    chosen = tiny_runs.config("data", **{"goal": tuple(paradigms.STAGES), **changes})
    return Experiment(chosen, feed or PaperFeed(), pathlib.Path(workdir), Console(file=io.StringIO())).plan


def changed_hashes(feed=None, **changes):
    """Names of the stages whose hash a change of the config changes."""
    before, after = planned(), planned(feed=feed, **changes)
    return {name for name in before if before[name].hash != after[name].hash}


EVERYTHING = set(paradigms.STAGES)
ADAPTED = EVERYTHING - {"source_only", "target_supervised"}
DISTILLED = {"case_a", "case_b", "case_c", "case_d"}
STUDENTS = EVERYTHING - {"teacher"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": 1}, EVERYTHING),
        ({"data.source_size": (96, 32)}, EVERYTHING),
        ({"data.target_size": (96, 32)}, EVERYTHING),
        ({"data.batch_size": 3}, EVERYTHING),
        ({"data.mirror": True}, EVERYTHING),
        ({"data.scale": (0.5, 1.0)}, EVERYTHING),
        ({"student.width": 0.1}, STUDENTS),
        ({"student.arch": "drn_d_24"}, STUDENTS),
        ({"student.auxiliary_layer": 7}, STUDENTS),
        ({"teacher.width": 0.1}, {"teacher"} | DISTILLED),
        ({"teacher.arch": "drn_d_38"}, {"teacher"} | DISTILLED),
        ({"teacher.statistics": "batch"}, DISTILLED),
        ({"discriminator.width": 0.1}, ADAPTED),
        ({"loss.seg_auxiliary": 0.2}, EVERYTHING),
        ({"loss.adversarial": "least_squares"}, ADAPTED),
        ({"loss.levels": "single"}, ADAPTED),
        ({"loss.adversarial_main": 0.1}, ADAPTED),
        ({"loss.adversarial_auxiliary": 0.1}, ADAPTED),
        ({"loss.kl": 0.4}, DISTILLED),
        ({"loss.kl_reduction": "sum"}, DISTILLED),
        ({"loss.mse": 0.1}, DISTILLED),
        ({"loss.mse_on": "features"}, DISTILLED),
        ({"loss.ce": 0.5}, DISTILLED),
        ({"loss.target": 0.5}, {"case_b", "case_c", "case_d"}),
        ({"optim.learning_rate": 0.1}, EVERYTHING),
        ({"optim.momentum": 0.8}, EVERYTHING),
        ({"optim.nesterov": False}, EVERYTHING),
        ({"optim.weight_decay": 0.1}, EVERYTHING),
        ({"optim.power": 1.0}, EVERYTHING),
        ({"optim.decay_steps": 99}, EVERYTHING),
        ({"optim.discriminator_learning_rate": 0.1}, ADAPTED),
        ({"train.steps": 7}, STUDENTS),
        ({"train.teacher_steps": 7}, {"teacher"} | DISTILLED),
        ({"student.init_from": "student"}, DISTILLED),
    ],
    ids=str,
)
def test_what_changes_the_numbers_of_a_stage_changes_its_hash(changes, expected):
    assert changed_hashes(**changes) == expected


def test_other_files_change_every_hash():
    assert changed_hashes(feed=PaperFeed("other files")) == EVERYTHING


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "x"}, {"workdir": "elsewhere"}, {"data.root": "elsewhere"}, {"data.name": "gta5"},
        {"data.cityscapes_dir": "elsewhere"}, {"data.loader": "tf"}, {"data.num_parallel_calls": 1},
        {"data.prefetch": 0}, {"data.cache_mb": 0}, {"train.log_every": 7}, {"train.eval_every": 7},
        {"train.checkpoint_every": 7}, {"train.keep_checkpoints": 7}, {"loss.watch_inactive": True},
        {"eval.batch_size": 7}, {"eval.protocol": "released"}, {"eval.pictures": 1}, {"eval.metric": "miou_present"},
        {"goal": tuple(reversed(paradigms.STAGES))},
    ],
    ids=str,
)  # fmt: skip
def test_paths_logging_and_evaluation_change_no_hash(changes):
    assert changed_hashes(**changes) == set()


def test_workdir_changes_no_hash():
    assert [p.hash for p in planned("a").values()] == [p.hash for p in planned("b").values()]


def test_trunk_file_counts_by_its_content(tmp_path):
    trunk, copy, other = (tmp_path / name for name in ("trunk.pth", "copy.pth", "other.pth"))
    trunk.write_bytes(b"trunk")
    copy.write_bytes(b"trunk")
    other.write_bytes(b"other")
    bare = planned()
    hashes = {p: planned(**{"student.pretrained": str(p)}) for p in (trunk, copy, other)}
    assert {n for n in bare if bare[n].hash != hashes[trunk][n].hash} == STUDENTS
    for name in EVERYTHING:
        assert hashes[trunk][name].hash == hashes[copy][name].hash
        assert (hashes[trunk][name].hash != hashes[other][name].hash) == (name in STUDENTS)


def test_a_replaced_stage_changes_its_children_and_drops_its_parents(tmp_path):
    file = tmp_path / "x.pth"
    file.write_bytes(b"x")
    with_teacher = planned(goal=("case_d",), **{"replace.teacher": str(file)})
    assert list(with_teacher) == ["teacher", "case_c", "case_d"]
    assert with_teacher["case_d"].hash != planned()["case_d"].hash
    assert list(planned(goal=("case_d",), **{"replace.case_c": str(file)})) == ["teacher", "case_c", "case_d"]
    both = {"replace.teacher": str(file), "replace.case_c": str(file)}
    assert [p.replaced_by == str(file) for p in planned(goal=("case_d",), **both).values()] == [True, True, False]
    student = planned(goal=("student_continued",), **{"replace.student": str(file)})
    assert [p.replaced_by for p in student.values()] == [str(file), ""]


@pytest.mark.parametrize("name", ["absent.pth", "folder"])
def test_a_replacement_that_is_not_there_is_one_line(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=f"{name}.*name the folder of a finished stage, or a .pth file"):
        planned(**{"replace.teacher": str(tmp_path / name)})


def test_one_command_makes_all_stages(chain):
    workdir, text = chain
    names = [*tiny_runs.ALL_BUT_CONTINUED, "case_c"]
    assert sorted(p.name.rsplit("-", 1)[0] for p in (workdir / "stages").iterdir()) == sorted(names)
    assert text.count("to be trained") == len(names)
    for name in names:
        folder = tiny_runs.stage_folder(workdir, name)
        record = json.loads((folder / "record.json").read_text())
        assert record["status"] == "finished"
        assert SHORT_NAMES[name].strip("()") in text
        rows = tiny_runs.metric_rows(folder)
        assert [r["step"] for r in rows if r["kind"] == "train"] == list(range(1, tiny_runs.STEPS + 1))
        assert [r["step"] for r in rows if r["kind"] == "eval"] == [3, tiny_runs.STEPS]
    page = (workdir / "report_tiny" / "index.html").read_text()
    assert "(d) on target, from (c)" in page


def table_of(text):
    """What is printed after the plan and the work: the tables."""
    return text[text.index("\n network   ") :]


def test_the_second_run_trains_nothing_and_prints_the_same(chain, toy_city, monkeypatch):
    workdir, text = chain
    monkeypatch.setattr("dakd_jax.stages.train", None)
    monkeypatch.setattr("dakd_jax.evaluate.evaluate", None)
    monkeypatch.setattr("dakd_jax.commands.write_report", None)
    again = tiny_runs.run(tiny_runs.config(toy_city, goal=tiny_runs.ALL_BUT_CONTINUED), workdir)
    assert "to be trained" not in again
    assert again.count("finished, reused") == 8
    assert table_of(again) == table_of(text)


def test_a_new_stage_reuses_the_others(chain, toy_city):
    workdir, _ = chain
    text = tiny_runs.run(
        tiny_runs.config(toy_city, goal=("case_a",), **{"student.init_from": "student"}), workdir, "plan"
    )
    what = dict(re.findall(r"│ (\w+) +│.*│ (to be trained|finished, reused) +│", text))
    assert what == {
        "student": "finished, reused",
        "teacher": "finished, reused",
        "student_continued": "to be trained",
        "case_a": "to be trained",
    }


def arrays_of(folder):
    from dakd_jax import torch_files

    return torch_files.read(folder / weights.FILE)


def assert_same_arrays(some, others):
    assert list(some) == list(others)
    for name in some:
        np.testing.assert_array_equal(some[name], others[name], err_msg=name)


def spied_training(monkeypatch):
    """{title: (Job, copy of the teacher before training)} of what is trained from now on."""
    jobs = {}
    from dakd_jax import stages

    plain_train = stages.train

    def spy(job, console):
        jobs[job.title] = job
        return plain_train(job, console)

    monkeypatch.setattr(stages, "train", spy)
    return jobs


def test_where_the_stages_start_and_the_teacher_stays(chain, toy_city, tmp_path, monkeypatch):
    """A chain of seed 5: (d) from the very weights and statistics of (c), all else from one trunk."""
    jobs = spied_training(monkeypatch)
    goal = ("student", "case_a", "case_b", "case_d")
    monkeypatch.setattr("dakd_jax.commands.write_report", lambda found, folder: folder / "index.html")
    tiny_runs.run(tiny_runs.config(toy_city, goal=goal, seed=5, **{"train.eval_every": 0}), tmp_path)
    by_name = {name: jobs[stage.title] for name, stage in paradigms.STAGES.items() if stage.title in jobs}
    assert list(by_name) == ["student", "teacher", "case_a", "case_b", "case_c", "case_d"]

    trunk = weights.content_hash(by_name["student"].segmenter)
    model = segmenter(tiny_runs.config(toy_city).student, 19)
    assert trunk == weights.content_hash(train_state.init_segmenter(model, 5, "student"))
    for name in ("case_a", "case_b", "case_c"):
        assert weights.content_hash(by_name[name].segmenter) == trunk, name
    assert weights.content_hash(by_name["teacher"].segmenter) != trunk

    case_c = arrays_of(tiny_runs.stage_folder(tmp_path, "case_c"))
    started = weights.pretrained.to_state_dict(by_name["case_d"].segmenter)
    for name, array in started.items():
        np.testing.assert_array_equal(array, case_c[name], err_msg=name)
    assert started["base.layer0.1.num_batches_tracked"] == 2 * tiny_runs.STEPS
    fresh = by_name["case_c"].discriminators
    for mine, theirs in zip(flat(by_name["case_d"].discriminators), flat(fresh), strict=True):
        np.testing.assert_array_equal(mine, theirs)

    teacher = arrays_of(tiny_runs.stage_folder(tmp_path, "teacher"))
    for name in ("case_a", "case_b", "case_c", "case_d"):
        frozen = weights.pretrained.to_state_dict(by_name[name].teacher)
        assert all(np.array_equal(frozen[n], teacher[n]) for n in frozen), name
        record = json.loads((tiny_runs.stage_folder(tmp_path, name) / "record.json").read_text())
        assert record["teacher_content_hash"] == weights.content_hash(by_name[name].teacher)
        assert tiny_runs.metric_rows(tiny_runs.stage_folder(tmp_path, name))[0]["learning_rate"] == pytest.approx(1e-2)


def flat(tree):
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_another_seed_gives_other_weights(chain, toy_city, tmp_path, monkeypatch):
    workdir, _ = chain
    monkeypatch.setattr("dakd_jax.commands.write_report", lambda found, folder: folder / "index.html")
    chosen = {"goal": ("source_only",), "train.eval_every": 0}
    for seed in (0, 1):
        tiny_runs.run(tiny_runs.config(toy_city, seed=seed, **chosen), tmp_path / str(seed))
    first = arrays_of(tiny_runs.stage_folder(workdir, "source_only"))
    assert_same_arrays(first, arrays_of(tiny_runs.stage_folder(tmp_path / "0", "source_only")))
    other = arrays_of(tiny_runs.stage_folder(tmp_path / "1", "source_only"))
    assert any(not np.array_equal(first[n], other[n]) for n in first if n.startswith("base.layer5"))


@pytest.mark.parametrize("as_file", [True, False], ids=["pth", "stage folder"])
def test_replaced_teacher(chain, toy_city, tmp_path, monkeypatch, as_file):
    workdir, _ = chain
    teacher = tiny_runs.stage_folder(workdir, "teacher")
    jobs = spied_training(monkeypatch)
    monkeypatch.setattr("dakd_jax.commands.write_report", lambda found, folder: folder / "index.html")
    path = teacher
    if as_file:
        path = tmp_path / "mine.pth"
        shutil.copy(teacher / weights.FILE, path)
    chosen = tiny_runs.config(toy_city, goal=("case_b",), **{"replace.teacher": str(path), "train.eval_every": 0})
    text = tiny_runs.run(chosen, tmp_path / "run")
    assert f"replaced by {path}"[:20] in text
    assert list(jobs) == ["(b) distilled on target"]
    # The same teacher gives the same case, however it is named.
    assert_same_arrays(
        arrays_of(tiny_runs.stage_folder(tmp_path / "run", "case_b")),
        arrays_of(tiny_runs.stage_folder(workdir, "case_b")),
    )
    assert "finished, reused" in tiny_runs.run(chosen, tmp_path / "run", "plan")


def test_student_continued_starts_from_the_finished_student(chain, toy_city, monkeypatch):
    workdir, _ = chain
    jobs = spied_training(monkeypatch)
    monkeypatch.setattr("dakd_jax.commands.write_report", lambda found, folder: folder / "index.html")
    text = tiny_runs.run(
        tiny_runs.config(toy_city, goal=("case_a",), **{"student.init_from": "student", "train.eval_every": 0}), workdir
    )
    assert list(jobs) == ["Student, adapted, trained on", "(a) distilled on source"]
    student = arrays_of(tiny_runs.stage_folder(workdir, "student"))
    for job in jobs.values():
        for name, array in weights.pretrained.to_state_dict(job.segmenter).items():
            np.testing.assert_array_equal(array, student[name])
    assert "continued" in table_of(text) or "trained on" in table_of(text)
    # Leave the folder as other tests expect it: one folder for each stage.
    for name in ("case_a", "student_continued"):
        for folder in (workdir / "stages").glob(f"{name}-*"):
            if "student" in json.loads((folder / "record.json").read_text())["identity"]["parents"]:
                shutil.rmtree(folder)


def test_record_says_all_that_is_needed_to_make_it_again(chain):
    workdir, _ = chain
    record = json.loads((tiny_runs.stage_folder(workdir, "case_d") / "record.json").read_text())
    assert record["config"]["optim"]["learning_rate"] == 1e-2
    assert record["seed"] == 0
    assert {"jax", "flax", "optax", "numpy", "orbax-checkpoint"} <= set(record["versions"])
    assert re.fullmatch(r"[0-9a-f]{40}|", record["git_commit"])
    assert len(record["data_fingerprint"]) == len(record["teacher_content_hash"]) == 64
    assert record["identity"]["parents"].keys() == {"teacher", "case_c"}
    assert record["starts_from"] == "case_c"
