"""What makes two stages the same, and which stages a plan holds."""

import dataclasses
import io
import json
import pathlib

import pytest
import tiny_runs
from rich.console import Console

from configs import base
from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.models.backbones import efficientnet_lite
from dakd_jax.objectives import paradigms
from dakd_jax.stages import stage_identity, weights
from dakd_jax.stages.experiment import Experiment


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
ON_TARGET = DISTILLED - {"case_a"}
STUDENTS = EVERYTHING - {"teacher"}
OF_TEACHER = {"teacher"} | DISTILLED
NONE = set()
FILE = "FILE"  # stands for the path of a weights' file

# Every field of configs/base.py: another value, and the stages whose numbers it can reach.
WALK = {
    "title": ("x", NONE), "goal": (tuple(reversed(paradigms.STAGES)), NONE), "workdir": ("elsewhere", NONE),
    "seed": (1, EVERYTHING),
    "adaptation.methods": (("adversarial", "entropy"), ADAPTED), "adaptation.in_cases": (("entropy",), DISTILLED),
    "plugins": (("json",), NONE),
    **{f"adaptation.entropy.{level}": (0.1, NONE) for level in ("main", "auxiliary")},
    "adaptation.self_training.weight": (0.5, NONE), "adaptation.self_training.momentum": (0.5, NONE),
    "adaptation.self_training.threshold": (0.5, NONE), "adaptation.self_training.statistics": ("running", NONE),
    "adaptation.self_training.colour_jitter": ((0.5,) * 4, NONE),
    "adaptation.self_training.jitter_probability": (0.5, NONE),
    "adaptation.self_training.blur": ((0.5, 1.0), NONE), "adaptation.self_training.blur_probability": (0.1, NONE),
    "data.name": ("gta5", EVERYTHING), "data.root": ("elsewhere", NONE), "data.cityscapes_dir": ("elsewhere", NONE),
    "data.gta5_dir": ("elsewhere", NONE), "data.bdd100k_dir": ("elsewhere", NONE), "data.target_dir": ("x", NONE),
    "data.target_recursive": (True, NONE), "data.source": (("gta5",), NONE), "data.target": ("cityscapes", NONE),
    "data.source_list": ("x", NONE), "data.records_dir": ("elsewhere", NONE),
    "data.source_size": ((96, 32), EVERYTHING - {"target_supervised"}),
    "data.target_size": ((96, 32), EVERYTHING - {"source_only"}),
    "data.teacher_size": ((96, 64), OF_TEACHER),
    "teacher.views.clean": (True, DISTILLED),
    "teacher.cache_gb": (1e-6, NONE), "teacher.cache_dtype": ("float16", DISTILLED),
    "teacher.views.mirror": (True, DISTILLED), "teacher.views.scales": ((1.0, 1.5), DISTILLED),
    "train.devices": (1, NONE), "train.memory_budget_gb": (8.0, NONE), "train.batch_statistics": ("2", EVERYTHING),
    "data.batch_size": (3, EVERYTHING), "data.mirror": (True, EVERYTHING), "data.scale": ((0.5, 1.0), EVERYTHING),
    "data.crop": ((64, 32), EVERYTHING), "data.colour_jitter": ((0.5, 0.0, 0.0, 0.0), EVERYTHING),
    "data.blur": ((0.0, 1.0), EVERYTHING), "data.class_mix": (0.5, ON_TARGET),
    "data.rare_class_temperature": (0.01, EVERYTHING), "data.loader": ("tf", NONE),
    "data.num_parallel_calls": (1, NONE),
    "data.prefetch": (0, NONE), "data.cache_mb": (0, NONE), "data.max_unreadable": (0, NONE),
    "data.bit_depth": (12, NONE),
    "data.toy.source": ("bdd100k", NONE), "data.toy.seed": (1, NONE), "data.toy.size": ((64, 64), NONE),
    "data.toy.num_train": (7, NONE), "data.toy.num_val": (7, NONE),
    "student.arch": ("drn_d_24", STUDENTS), "student.width": (0.1, STUDENTS),
    "student.auxiliary_tap": ("layer7", STUDENTS), "student.main_tap": ("layer7", STUDENTS),
    "student.output_stride": (8, NONE), "student.decoder": ("skip", STUDENTS), "teacher.decoder": ("skip", OF_TEACHER),
    "student.normaliser": ("rgb_mean_std", STUDENTS), "student.pretrained": (FILE, STUDENTS),
    "student.init_from": ("student", DISTILLED),
    "teacher.arch": ("drn_d_38", OF_TEACHER), "teacher.width": (0.1, OF_TEACHER),
    "teacher.auxiliary_tap": ("layer7", OF_TEACHER), "teacher.main_tap": ("layer7", OF_TEACHER),
    "teacher.output_stride": (8, NONE), "teacher.normaliser": ("rgb_mean_std", OF_TEACHER),
    "teacher.pretrained": (FILE, OF_TEACHER), "teacher.statistics": ("batch", DISTILLED),
    "discriminator.width": (0.1, ADAPTED),
    "loss.segmentation": (0.5, EVERYTHING),
    "loss.seg_auxiliary": (0.2, EVERYTHING), "loss.adversarial": ("least_squares", ADAPTED),
    "loss.levels": ("single", ADAPTED), "loss.adversarial_main": (0.1, ADAPTED),
    "loss.adversarial_auxiliary": (0.1, ADAPTED), "loss.kl": (0.4, DISTILLED), "loss.kl_reduction": ("sum", DISTILLED),
    "loss.mse": (0.1, DISTILLED), "loss.mse_on": ("features", DISTILLED), "loss.ce": (0.5, DISTILLED),
    "loss.target": (0.5, ON_TARGET), "loss.watch_inactive": (True, NONE),
    "optim.learning_rate": (0.1, EVERYTHING), "optim.momentum": (0.8, EVERYTHING),
    "optim.nesterov": (False, EVERYTHING),
    "optim.weight_decay": (0.1, EVERYTHING), "optim.power": (1.0, EVERYTHING), "optim.decay_steps": (99, EVERYTHING),
    "optim.discriminator_learning_rate": (0.1, ADAPTED), "optim.optimizer": ("adamw", EVERYTHING),
    "optim.warmup_steps": (5, EVERYTHING), "optim.clip_norm": (1.0, EVERYTHING),
    "optim.head_learning_rate_factor": (10.0, EVERYTHING),
    "student.batch_norm": ("frozen", STUDENTS), "teacher.batch_norm": ("frozen", OF_TEACHER),
    "train.steps": (7, STUDENTS), "train.teacher_steps": (7, OF_TEACHER), "train.log_every": (7, NONE),
    "train.eval_every": (2, NONE), "train.select": ("consistency", EVERYTHING - {"target_supervised"}),
    "train.select_pictures": (7, NONE), "train.checkpoint_every": (7, NONE), "train.keep_checkpoints": (7, NONE),
    "train.keep_every": (7, NONE), "train.precision": ("bfloat16", EVERYTHING),
    "train.deterministic": (True, EVERYTHING),
    "train.on_nonfinite": ("skip", EVERYTHING), "train.max_skipped": (7, NONE),
    "eval.protocol": ("released", NONE), "eval.batch_size": (7, NONE), "eval.metric": ("miou_present", NONE),
    "eval.pictures": (1, NONE), "eval.checkpoint": ("x", NONE), "eval.network": ("teacher", NONE),
    "eval.scales": ((1.0,), NONE), "eval.split": ("test", NONE), "eval.submit_protocol": ("native", NONE),
    "figures.select": (("random",), NONE), "figures.count": (1, NONE), "figures.pictures": (("x",), NONE),
    "figures.case": ("case_a", NONE),
    "replace.teacher": (FILE, OF_TEACHER), "replace.student": (FILE, {"student", "student_continued"}),
    "replace.case_c": (FILE, {"case_c", "case_d"}),
}  # fmt: skip


def test_the_walk_is_over_every_field():
    assert sorted(WALK) == sorted(records.flatten(base.get_config().to_dict()))


@pytest.mark.parametrize("field", WALK)
def test_a_field_changes_the_hash_of_the_stages_whose_numbers_it_can_reach(field, tmp_path):
    value, expected = WALK[field]
    if value == FILE:
        value = str(tmp_path / "weights.pth")
        pathlib.Path(value).write_bytes(b"weights")
    assert changed_hashes(**{field: value}) == expected


def test_methods_of_cases_that_are_those_of_all_stages_do_not_count():
    assert changed_hashes(**{"adaptation.in_cases": ("adversarial",)}) == NONE


def test_a_field_of_a_users_own_config_counts():
    assert "own.option" in stage_identity.counted(_with_own_option(1), paradigms.STAGES["student"])


def test_fields_that_a_plugin_of_another_process_left_do_not_count():
    """As in the config that a notebook, which has one registered, hands to the job of a table."""
    config = tiny_runs.config("data", goal=tuple(paradigms.STAGES))
    with config.unlocked():
        config.loss.hints, config.loss.hints_p, config.adaptation.swap = 0.0, 2, {"beta": 0.01}
    made = Experiment(config, PaperFeed(), pathlib.Path("w"), Console(file=io.StringIO())).plan
    assert {name: one.hash for name, one in made.items()} == {name: one.hash for name, one in planned().items()}


def _with_own_option(value):
    config = tiny_runs.config("data")
    with config.unlocked():
        config.own = {"option": value}
    return config


def test_a_field_added_later_counts_only_when_it_departs_from_before(monkeypatch):
    monkeypatch.setattr(stage_identity, "ADDED_LATER", {"own.option": (1, 2)})
    counts = [
        "own.option" in stage_identity.counted(_with_own_option(value), paradigms.STAGES["student"])
        for value in ((1, 2), (1, 3))
    ]
    assert counts == [False, True]


def test_a_teacher_with_a_size_of_its_own_is_the_same_under_any_student_size():
    larger = {"data.teacher_size": (96, 64)}
    for more, same in (({}, True), ({"data.blur": (0.0, 1.0)}, False)):  # a blur is measured at the student's size
        before, after = planned(**larger, **more), planned(**larger, **more, **{"data.target_size": (96, 32)})
        assert (before["teacher"].hash == after["teacher"].hash) == same
        assert before["case_b"].hash != after["case_b"].hash


def test_views_are_numbers_whole_or_not():
    some, others = (planned(**{"teacher.views.scales": scales}) for scales in ((1, 2), (1.0, 2.0)))
    assert some["case_b"].hash == others["case_b"].hash


@pytest.mark.parametrize(
    ("without", "field", "value"),
    [
        ({"loss.kl": 0.0}, "loss.kl_reduction", "sum"),
        ({"loss.mse": 0.0}, "loss.mse_on", "features"),
        ({"loss.target": 0.0, "goal": ("case_b",)}, "loss.ce", 0.3),
    ],
)
def test_a_term_of_weight_0_does_not_count(without, field, value):
    name = without.pop("goal", ("case_c",))[0]
    before, after = planned(**without), planned(**without, **{field: value})
    assert before[name].hash == after[name].hash


def test_a_weight_of_0_is_as_a_term_that_is_not_there():
    config = tiny_runs.config("data", **{"loss.mse": 0.0})
    assert not [name for name in stage_identity.counted(config, paradigms.STAGES["case_c"]) if "mse" in name]


def test_a_finished_run_of_an_earlier_release_is_reused():
    """Its record, with the fields of that time; those added since are at the values of today's base.py."""
    found = json.loads((tiny_runs.PROJECT / "tests" / "fixtures" / "finished_records.json").read_text())
    assert {record["stage"] for record in found} == {"teacher", "case_b"}
    for record in found:
        config = base.get_config()
        with config.unlocked():
            config.update_from_flattened_dict(records.flatten(record["config"]))
        identity = stage_identity.identity(
            config,
            paradigms.stage(record["stage"], config.student.init_from),
            record["data_fingerprint"],
            record["identity"]["parents"],
            record["identity"].get("selection"),
        )
        assert identity == record["identity"], "put the field into ADDED_LATER, or raise NUMERICS_VERSION"
        assert records.hash_json(identity) == record["hash"]


def test_other_files_change_every_hash():
    assert changed_hashes(feed=PaperFeed("other files")) == EVERYTHING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train.eval_every": 2}, EVERYTHING - {"target_supervised"}),
        ({"train.select_pictures": 7}, EVERYTHING - {"target_supervised"}),
        ({"train.select": "entropy"}, ADAPTED),
        ({"eval.batch_size": 7}, EVERYTHING - {"target_supervised"}),
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


def test_imagenet_is_the_file_that_a_package_holds():
    own = {"student.arch": "efficientnet_lite0", "goal": ("student",)}
    file = str(efficientnet_lite.find_imagenet("efficientnet_lite0"))
    by_word, by_path = (planned(**own, **{"student.pretrained": it})["student"] for it in ("imagenet", file))
    assert by_word.hash == by_path.hash and by_word.identity["trunk"] == weights.hash_file(file)
    with pytest.raises(UserError, match="pretrained='imagenet': no place is known where .* of tiny"):
        planned(**{"student.pretrained": "imagenet", "goal": ("student",)})


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
