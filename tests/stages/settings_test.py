"""Every field that cannot work is refused with its name and the way out."""

import pytest
import tiny_runs

from dakd_jax.basics.errors import UserError
from dakd_jax.objectives import paradigms
from dakd_jax.stages import settings


def changed(**changes):
    return tiny_runs.config("nowhere", **changes)


@pytest.mark.parametrize(
    ("field", "value", "way_out"),
    [
        ("goal", ("case_e",), "expected one of source_only, .*case_d"),
        ("goal", (), "name at least one of source_only"),
        ("student.arch", "resnet", "expected one of .*drn_d_22"),
        ("teacher.arch", "drn_d_23", "expected one of .*drn_d_38"),
        ("student.auxiliary_tap", "layer9", "expected one of layer0, .*layer8"),
        ("student.main_tap", "seg1", "expected one of layer0, .*layer8"),
        ("teacher.output_stride", 16, "expected one of 8"),
        ("student.decoder", "unet", "expected one of linear, skip"),
        ("student.batch_norm", "none", "expected one of trained, frozen"),
        ("optim.optimizer", "adam", "expected one of sgd, adamw"),
        ("optim.warmup_steps", -1, ">= 0"),
        ("optim.head_learning_rate_factor", 0, "> 0"),
        ("teacher.normaliser", "rgb_unit", "expected one of bgr_minus_mean, rgb_mean_std"),
        ("data.crop", (16, 16), "at least 32"),
        ("teacher.width", 0.0, "> 0"),
        ("discriminator.width", -1.0, "> 0"),
        ("student.init_from", "teacher", "expected one of .*student"),
        ("teacher.statistics", "mine", "running, batch"),
        ("loss.kl_reduction", "median", "mean, .*pixel_mean"),
        ("loss.mse_on", "logits", "log_probabilities, features"),
        ("loss.adversarial", "hinge", "vanilla, least_squares"),
        ("loss.levels", "triple", "multi, single"),
        ("loss.kl", -0.1, ">= 0"),
        ("loss.target", -1.0, ">= 0"),
        ("eval.metric", "iou", "miou, miou_present"),
        ("eval.protocol", "mine", "native, .*released"),
        ("eval.batch_size", 0, "> 0"),
        ("eval.pictures", -1, ">= 0"),
        ("train.steps", 0, "> 0"),
        ("train.teacher_steps", -5, "> 0"),
        ("train.log_every", 0, "> 0"),
        ("train.eval_every", -1, ">= 0"),
        ("train.checkpoint_every", 0, "> 0"),
        ("train.keep_checkpoints", 0, "> 0"),
        ("train.precision", "float16", "float32, bfloat16"),
        ("optim.learning_rate", 0.0, "> 0"),
        ("optim.power", -1.0, "> 0"),
        ("optim.weight_decay", -1e-4, ">= 0"),
        ("optim.decay_steps", -1, ">= 0"),
        ("seed", -1, ">= 0"),
        ("seed", 2**32, r"below 2\*\*32"),  # would be the weights of seed 0
        ("student.width", float("inf"), "> 0"),
        ("optim.learning_rate", float("nan"), "> 0"),
        ("goal", (["case_d"],), "expected one of"),
        ("data.source_size", (64, 31), "at least 32"),
        ("data.target_size", (8, 64), "at least 32"),
        ("data.target_size", (64,), "width, height"),
        ("data.source_size", (64, 64, 3), "width, height"),
        ("data.teacher_size", (64, 16), "at least 32"),
        ("teacher.views.scales", (), "numbers from 0.25 to 4"),
        ("teacher.views.scales", (1.0, -1.0), "numbers from 0.25 to 4"),
        ("teacher.views.scales", ("mirror",), "numbers from 0.25 to 4"),
        ("teacher.views.scales", (True,), "numbers from 0.25 to 4"),
    ],
)
def test_refused(field, value, way_out):
    with pytest.raises(UserError, match=f"config.{field}.*{way_out}") as caught:
        settings.check(changed(**{field: value}))
    assert "\n" not in str(caught.value)


def test_base_and_tiny_settings_pass():
    settings.check(changed())
    settings.check(tiny_runs.base.get_config())
    settings.check(tiny_runs.base.get_config("released_code"))


def test_unknown_preset():
    with pytest.raises(UserError, match="'released' is unknown: expected one of released_code"):
        tiny_runs.base.get_config("released")


def test_feature_mse_needs_equal_channels():
    settings.check(changed(**{"loss.mse_on": "features"}))
    with pytest.raises(UserError, match="8 and the teacher's 16; use 'log_probabilities' or equal widths"):
        settings.check(changed(**{"loss.mse_on": "features", "teacher.width": 2.0}))
    with pytest.raises(UserError, match="equal channel counts"):
        settings.check(changed(**{"loss.mse_on": "features", "teacher.arch": "drn_d_54"}))


def test_a_window_may_not_become_too_small_for_the_teacher():
    sizes = {"data.target_size": (1280, 720), "data.source_size": (1280, 720), "data.crop": (64, 64)}
    settings.check(changed(**sizes, **{"data.teacher_size": (640, 360)}))
    with pytest.raises(
        UserError, match=r"data.teacher_size=\(320, 180\): of data.crop=\(64, 64\) .* see 16x16 of the source"
    ):
        settings.check(changed(**sizes, **{"data.teacher_size": (320, 180)}))


@pytest.mark.parametrize("field", ["data.teacher_size", "teacher.views.scales"])
def test_features_are_compared_at_one_size(field):
    value = (96, 64) if field == "data.teacher_size" else (2.0, 1.0)
    settings.check(changed(**{field: value}))
    with pytest.raises(UserError, match="mse_on='features' compares features of pictures of one size"):
        settings.check(changed(**{field: value, "loss.mse_on": "features"}))


def test_settings_of_the_stages():
    chosen = changed(**{"train.teacher_steps": 9, "loss.target": 0.5, "teacher.statistics": "batch"})
    made = {name: settings.stage_settings(chosen, paradigms.stage(name), 19) for name in paradigms.STAGES}
    assert {name: s.steps for name, s in made.items() if s.steps != 6} == {"teacher": 9}
    distilled = {name: (s.weights.distil_source, s.weights.distil_target) for name, s in made.items()}
    assert distilled["case_a"] == (1.0, 0.0)
    assert distilled["case_b"] == distilled["case_d"] == (0.0, 0.5)
    assert distilled["case_c"] == (1.0, 0.5)
    assert distilled["student"] == distilled["source_only"] == (0.0, 0.0)
    assert [name for name, s in made.items() if not s.options.sees_target] == ["source_only", "target_supervised"]
    for name, s in made.items():
        assert (s.models.teacher is not None) == name.startswith("case_")
    assert made["case_a"].options.teacher_statistics == "batch"


def test_pictures_are_mixed_by_the_data_or_by_a_method():
    config = changed(**{"adaptation.methods": ("self_training",), "data.class_mix": 0.5})
    settings.check(config)
    settings.stage_settings(config, paradigms.STAGES["case_a"], 19)  # the target is not distilled on
    with pytest.raises(UserError, match="class_mix=0.5, and the adaptation method 'self_training' mixes"):
        settings.stage_settings(config, paradigms.STAGES["case_b"], 19)


def test_presets_are_what_the_two_sources_say():
    paper, code = tiny_runs.base.get_config(), tiny_runs.base.get_config("released_code")
    assert (paper.optim.nesterov, paper.optim.weight_decay, paper.optim.discriminator_learning_rate) == (
        True,
        1e-4,
        1e-3,
    )
    assert (code.optim.nesterov, code.optim.weight_decay, code.optim.discriminator_learning_rate) == (False, 5e-4, 1e-4)
    assert (code.loss.kl_reduction, code.teacher.statistics, code.eval.protocol) == ("off", "batch", "released")
