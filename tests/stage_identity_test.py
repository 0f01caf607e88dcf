"""What makes two stages the same, and which stages a plan holds."""

import dataclasses
import io
import pathlib

import pytest
import tiny_runs
from rich.console import Console

from dakd_jax import paradigms
from dakd_jax.errors import UserError
from dakd_jax.stages import Experiment


@dataclasses.dataclass
class PaperFeed:
    """Stands for data where only the plan is made."""

    files: str = "files of today"
    class_names: tuple = ("road",) * 19

    def fingerprint(self, labelled, with_target):
        return f"{self.files}, labels of {labelled}, {with_target}"

    source_split = "val"

    def selection_fingerprint(self, count):
        return f"{count} of {self.files}"

    def evaluation_problem(self):
        return ""


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
        ({"data.source_size": (96, 32)}, EVERYTHING - {"target_supervised"}),
        ({"data.target_size": (96, 32)}, EVERYTHING - {"source_only"}),
        ({"data.batch_size": 3}, EVERYTHING),
        ({"data.mirror": True}, EVERYTHING),
        ({"data.scale": (0.5, 1.0)}, EVERYTHING),
        ({"data.crop": (64, 32)}, EVERYTHING),
        ({"data.colour_jitter": (0.5, 0.0, 0.0, 0.0)}, EVERYTHING),
        ({"data.blur": (0.0, 1.0)}, EVERYTHING),
        ({"data.rare_class_temperature": 0.01}, EVERYTHING),
        ({"data.class_mix": 0.5}, {"case_b", "case_c", "case_d"}),
        ({"data.records_dir": "elsewhere"}, set()),
        ({"data.max_unreadable": 0}, set()),
        ({"student.width": 0.1}, STUDENTS),
        ({"student.arch": "drn_d_24"}, STUDENTS),
        ({"student.auxiliary_layer": 7}, STUDENTS),
        ({"student.normaliser": "rgb_mean_std"}, STUDENTS),
        ({"teacher.normaliser": "rgb_mean_std"}, {"teacher"} | DISTILLED),
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
        ({"train.select": "consistency"}, EVERYTHING - {"target_supervised"}),
        ({"train.precision": "bfloat16"}, EVERYTHING),
        ({"train.steps": 7}, STUDENTS),
        ({"train.teacher_steps": 7}, {"teacher"} | DISTILLED),
        ({"student.init_from": "student"}, DISTILLED),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else f"{len(value)} stages",  # no set: its order varies
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
        {"data.prefetch": 0}, {"data.cache_mb": 0}, {"train.log_every": 7}, {"train.eval_every": 2},
        {"train.deterministic": True},
        {"train.checkpoint_every": 7}, {"train.keep_checkpoints": 7}, {"loss.watch_inactive": True},
        {"eval.batch_size": 7}, {"eval.protocol": "released"}, {"eval.pictures": 1}, {"eval.metric": "miou_present"},
        {"goal": tuple(reversed(paradigms.STAGES))},
    ],
    ids=str,
)  # fmt: skip
def test_paths_logging_and_evaluation_change_no_hash(changes):
    assert changed_hashes(**changes) == set()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train.eval_every": 2}, EVERYTHING - {"target_supervised"}),
        ({"train.select_pictures": 7}, EVERYTHING - {"target_supervised"}),
        ({"train.select": "entropy"}, ADAPTED),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else f"{len(value)} stages",
)
def test_what_weights_are_chosen_by_changes_the_hash_where_they_are_chosen(changes, expected):
    chosen = {"train.select": "consistency"}
    before, after = planned(**chosen), planned(**chosen | changes)
    assert {name for name in before if before[name].hash != after[name].hash} == expected


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
