"""Fields that do not count in a stage's identity do not reach its numbers: after two steps the bits are equal."""

import io
import json
import shutil

import pytest
import tiny_runs
from rich.console import Console
from stage_identity_test import FILE, WALK

from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.stages import weights
from dakd_jax.stages.experiment import Experiment
from data_pipelines.feeding.feed import Feed

KINDS = ("source_only", "teacher", "case_b")
STEPS = {"train.steps": 2, "train.teacher_steps": 2}
# Other content, which counts by itself; and what a plan, not a stage, is made of.
NOT_CHANGED = ("data.target_dir", "data.source_list", "data.toy", "goal", "workdir", "replace", "student.init_from")
FEATURES = "loss.mse_on"  # wants networks of one width: changed by itself


def exempted(kind):
    """{field: another value} of all fields that cannot reach the numbers of a stage."""
    return {
        field: value
        for field, (value, reached) in WALK.items()
        if kind not in reached and value != FILE and not field.startswith(NOT_CHANGED)
    }


def trained(root, workdir, kind, teacher, **changes):
    """(hash of the identity, hash of the weights) of a stage of two steps."""
    config = tiny_runs.config(root, goal=(kind,), **{"replace.teacher": teacher, **STEPS, **changes})
    with tiny_runs.quick_compilation():
        experiment = Experiment(config, Feed(config.data), workdir, Console(file=io.StringIO()))
        experiment.evaluator = None  # what it reads is for evaluations alone
        experiment.ensure(kind)
    record = json.loads((experiment.plan[kind].folder / "record.json").read_text())
    return record["hash"], record["content_hash"]


@pytest.mark.parametrize("kind", KINDS)
def test_all_exempted_fields_changed_at_once_leave_every_bit(toy_city, tmp_path, kind):
    elsewhere = shutil.copytree(toy_city, tmp_path / "elsewhere")
    teacher = ""
    if kind.startswith("case"):
        teacher = str(tmp_path / "teacher.pth")
        model = Segmenter(arch="tiny", num_classes=19)
        weights.save(tmp_path / "teacher.pth", segmenter_module.init_segmenter(model, 5, "teacher"))
    changes = exempted(kind)
    changes.pop(FEATURES, None)
    assert len(changes) > 30
    changes |= {"data.root": str(elsewhere)} | {
        f"data.{name}_dir": str(elsewhere / name) for name in ("cityscapes", "gta5", "bdd100k")
    }
    plain = trained(toy_city, tmp_path / "plain", kind, teacher)
    assert trained(elsewhere, tmp_path / "changed", kind, teacher, **changes) == plain


def test_a_field_that_counts_reaches_the_bits_and_one_that_does_not_does_not(toy_city, tmp_path):
    """What the test above relies on: two steps tell weights apart."""
    plain = trained(toy_city, tmp_path / "plain", "student", "")
    assert trained(toy_city, tmp_path / "same", "student", "", **{FEATURES: "features"}) == plain
    other = trained(toy_city, tmp_path / "other", "student", "", **{"optim.weight_decay": 1e-3})
    assert other[0] != plain[0] and other[1] != plain[1]
