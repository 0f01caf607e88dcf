"""One command from nothing to case (d); what a second run reuses or replaces; where stages start."""

import io
import json
import re
import shutil
import threading
import time

import numpy as np
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.basics import workdir_lock
from dakd_jax.basics.errors import UserError
from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.objectives import paradigms
from dakd_jax.stages import weights
from dakd_jax.stages.experiment import Experiment
from dakd_jax.stages.settings import segmenter
from dakd_jax.studies.kit.result_types import SHORT_NAMES
from dakd_jax.training.step import step_setup
from data_pipelines.feeding.feed import Feed
from data_pipelines.reading.label_spaces import CITYSCAPES_CLASSES, PALETTE


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
    monkeypatch.setattr("dakd_jax.stages.experiment.train", None)
    monkeypatch.setattr("dakd_jax.evaluation.predict.evaluate", None)
    monkeypatch.setattr("dakd_jax.studies.experiment.page.write_report", None)
    again = tiny_runs.run(tiny_runs.config(toy_city, goal=tiny_runs.ALL_BUT_CONTINUED), workdir)
    assert "to be trained" not in again
    assert again.count("finished, reused") == 8
    assert table_of(again) == table_of(text)


def test_a_new_stage_reuses_the_others(chain, toy_city):
    workdir, _ = chain
    text = tiny_runs.run(
        tiny_runs.config(toy_city, goal=("case_a",), **{"student.init_from": "student"}), workdir, "plan"
    )
    what = dict(re.findall(r"^ +(\w+) .* (to be trained|finished, reused) ", text, re.M))
    assert what == {
        "student": "finished, reused",
        "teacher": "finished, reused",
        "student_continued": "to be trained",
        "case_a": "to be trained",
    }


def arrays_of(folder):
    from dakd_jax.models.weight_files import torch_files

    return torch_files.read(folder / weights.FILE)


def assert_same_arrays(some, others):
    assert list(some) == list(others)
    for name in some:
        np.testing.assert_array_equal(some[name], others[name], err_msg=name)


def spied_training(monkeypatch):
    """{title: (StageJob, copy of the teacher before training)} of what is trained from now on."""
    jobs = {}
    from dakd_jax.stages import experiment as stages

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
    monkeypatch.setattr("dakd_jax.studies.experiment.page.write_report", lambda found, folder: folder / "index.html")
    inside = {"teacher.cache_gb": 0.0}  # a teacher that is asked inside the step
    tiny_runs.run(tiny_runs.config(toy_city, goal=goal, seed=5, **{"train.eval_every": 0, **inside}), tmp_path)
    by_name = {name: jobs[stage.title] for name, stage in paradigms.STAGES.items() if stage.title in jobs}
    assert list(by_name) == ["student", "teacher", "case_a", "case_b", "case_c", "case_d"]

    trunk = weights.content_hash(by_name["student"].segmenter)
    model = segmenter(tiny_runs.config(toy_city).student, 19)
    assert trunk == weights.content_hash(segmenter_module.init_segmenter(model, 5, "student"))
    for name in ("case_a", "case_b", "case_c"):
        assert weights.content_hash(by_name[name].segmenter) == trunk, name
    assert weights.content_hash(by_name["teacher"].segmenter) != trunk

    case_c = arrays_of(tiny_runs.stage_folder(tmp_path, "case_c"))
    started = weights.pretrained.to_state_dict(by_name["case_d"].segmenter)
    for name, array in started.items():
        np.testing.assert_array_equal(array, case_c[name], err_msg=name)
    assert started["base.layer0.1.num_batches_tracked"] == 2 * tiny_runs.STEPS
    fresh, own = (
        step_setup.first_state(job.settings, job.seed, job.segmenter).adaptation
        for job in (by_name["case_c"], by_name["case_d"])
    )
    for mine, theirs in zip(flat(own), flat(fresh), strict=True):
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
    monkeypatch.setattr("dakd_jax.studies.experiment.page.write_report", lambda found, folder: folder / "index.html")
    chosen = {"goal": ("source_only",), "train.eval_every": 0}
    for seed in (0, 1):
        tiny_runs.run(tiny_runs.config(toy_city, seed=seed, **chosen), tmp_path / str(seed))
    first = arrays_of(tiny_runs.stage_folder(workdir, "source_only"))
    assert_same_arrays(first, arrays_of(tiny_runs.stage_folder(tmp_path / "0", "source_only")))
    other = arrays_of(tiny_runs.stage_folder(tmp_path / "1", "source_only"))
    assert any(not np.array_equal(first[n], other[n]) for n in first if n.startswith("base.layer6"))


@pytest.mark.parametrize("as_file", [True, False], ids=["pth", "stage folder"])
def test_replaced_teacher(chain, toy_city, tmp_path, monkeypatch, as_file):
    workdir, _ = chain
    teacher = tiny_runs.stage_folder(workdir, "teacher")
    jobs = spied_training(monkeypatch)
    monkeypatch.setattr("dakd_jax.studies.experiment.page.write_report", lambda found, folder: folder / "index.html")
    path = teacher
    if as_file:
        path = tmp_path / "mine.pth"
        shutil.copy(teacher / weights.FILE, path)
    chosen = tiny_runs.config(toy_city, goal=("case_b",), **{"replace.teacher": str(path), "train.eval_every": 0})
    text = tiny_runs.run(chosen, tmp_path / "run")
    assert f"replaced by {path}" in text
    (line,) = [line for line in text.splitlines() if f"replaced by {path}" in line]
    network = f"{chosen.teacher.arch} x{chosen.teacher.width:g}"
    # No step count, start or teacher of its own: nothing of the kind is done here.
    assert line.split()[:3] == ["teacher", *network.split()] and line.split()[3] == "replaced"
    assert list(jobs) == ["(b) distilled on target"]
    # The same teacher gives the same case, however it is named.
    assert_same_arrays(
        arrays_of(tiny_runs.stage_folder(tmp_path / "run", "case_b")),
        arrays_of(tiny_runs.stage_folder(workdir, "case_b")),
    )
    assert "finished, reused" in tiny_runs.run(chosen, tmp_path / "run", "plan")


def test_a_file_is_another_network_under_another_normaliser(chain, toy_city, tmp_path):
    path = shutil.copy(tiny_runs.stage_folder(chain[0], "teacher") / weights.FILE, tmp_path / "mine.pth")

    def planned(**changes):
        config = tiny_runs.config(toy_city, goal=("case_b",), **{"replace.teacher": str(path)}, **changes)
        return Experiment(config, Feed(config.data), tmp_path, Console(file=io.StringIO())).plan["teacher"]

    assert planned() == planned(**{"train.log_every": 2}) and planned().hash.startswith("file:")
    for changes in ({"teacher.normaliser": "rgb_mean_std"}, {"teacher.width": 0.1}):
        assert planned(**changes).hash != planned().hash and planned(**changes).folder != planned().folder


def test_a_stage_that_another_process_finishes_meanwhile_is_not_trained_again(chain, toy_city, tmp_path, monkeypatch):
    config, console = tiny_runs.config(toy_city, goal=("student",)), Console(file=io.StringIO(), width=300)
    experiment = Experiment(config, Feed(config.data), tmp_path, console)
    folder = experiment.plan["student"].folder
    folder.mkdir(parents=True)
    monkeypatch.setattr(experiment, "_train", None)
    held = threading.Event()

    def other():
        with workdir_lock.hold(folder):
            held.set()
            time.sleep(0.5)
            shutil.copytree(tiny_runs.stage_folder(chain[0], "student"), folder, dirs_exist_ok=True)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    with pytest.raises(UserError, match="is in use by process"):
        experiment.ensure("student")
    assert experiment.ensure("student", wait_seconds=30)
    thread.join()
    assert (
        "is in use by process" in console.file.getvalue()
        and "waiting for its end, 30 s at most" in console.file.getvalue()
    )


def test_student_continued_starts_from_the_finished_student(chain, toy_city, monkeypatch):
    workdir, _ = chain
    jobs = spied_training(monkeypatch)
    monkeypatch.setattr("dakd_jax.studies.experiment.page.write_report", lambda found, folder: folder / "index.html")
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
    assert record["class_names"] == list(CITYSCAPES_CLASSES) and record["palette"] == PALETTE.tolist()
    assert record["licences"].keys() == {"gta5", "cityscapes"}
    assert all("toy city" in licence for licence in record["licences"].values())
    assert record["weight_files"] == ["model.pth", "model.safetensors"]
