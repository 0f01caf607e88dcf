"""A loss term that is added by one file, the worked example of docs/EXTENDING.md, goes through a whole run."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import plug_tools
import pytest
import step_parts
import tiny_runs

from dakd_jax.basics import plugs
from dakd_jax.basics.errors import UserError
from dakd_jax.models.segmenter import Segmenter, init_segmenter
from dakd_jax.objectives import optimizers, paradigms
from dakd_jax.objectives.context import Option, Part
from dakd_jax.objectives.terms import TERMS, LossTerm, register
from dakd_jax.stages import settings
from dakd_jax.training.checkpointing import Checkpoints
from dakd_jax.training.step import step_setup, train_step
from dakd_jax.training.step.options import ActiveTerm, StepModels, StepOptions

# The student's features are half as many: without the projection the term would not fit.
CHANGES = {
    "teacher.width": 0.5, "goal": "student,case_a", "train.steps": 2, "train.teacher_steps": 2, "train.eval_every": 0,
    "train.checkpoint_every": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugin") / "my_hints.py"
    file.write_text(plug_tools.example("A loss term"))
    return file


@pytest.fixture(scope="module")
def whole_run(run_py, plugin, toy_city, tmp_path_factory):
    """(workdir, words of the command line) of a finished run with the example."""
    workdir = tmp_path_factory.mktemp("run") / "workdir"
    words = tiny_runs.arguments(toy_city, workdir, **CHANGES)
    words = [*words, f"--config.plugins={plugin}", "--config.loss.hints=0.3"]
    ended = run_py(words)
    assert ended.code == 0, ended.stderr
    return workdir, words


def planned(run_py, words):
    """{stage: hash} of a plan."""
    ended = run_py([*words, "--mode=plan"])
    assert ended.code == 0, ended.stderr
    return dict(re.findall(r"^ *(student|teacher|case_a) .* (\w{8}) *$", ended.stdout, re.MULTILINE))


def test_curves_report_and_attribution_follow(whole_run, run_py):
    workdir, words = whole_run
    rows = tiny_runs.metric_rows(tiny_runs.stage_folder(workdir, "case_a"))
    values = [row["loss/source/hints"] for row in rows if "loss/source/hints" in row]
    assert len(values) == 2 and all(0 < value < 100 for value in values)
    assert all(row["norm/gradient/terms"] > 0 for row in rows if row["kind"] == "train")
    others = tiny_runs.metric_rows(tiny_runs.stage_folder(workdir, "student"))
    assert not any("hints" in name for row in others for name in row)
    ended = run_py([*words, "--mode=attribution"])
    assert ended.code == 0, ended.stderr
    assert "source hints" in "".join(path.read_text() for path in workdir.glob("attribution_*/*.csv"))


def test_its_weight_and_its_source_count_and_a_weight_of_0_does_not(whole_run, run_py, plugin, tmp_path):
    _, words = whole_run
    with_it = planned(run_py, words)
    plain = [word for word in words if "plugins" not in word and "hints" not in word]
    without = planned(run_py, plain)
    assert {name for name in without if without[name] != with_it[name]} == {"case_a"}
    assert planned(run_py, [*plain, f"--config.plugins={plugin}"]) == without
    other = tmp_path / "my_hints_2.py"
    other.write_text(plugin.read_text().replace('"hints"', '"hints_2"') + "# another version\n")
    again = [word.replace(str(plugin), str(other)).replace("loss.hints=", "loss.hints_2=") for word in words]
    assert planned(run_py, again)["case_a"] not in (with_it["case_a"], without["case_a"])


def test_a_mistake_in_its_options_is_one_line(run_py, whole_run):
    tiny_runs.one_line(
        run_py([*whole_run[1], "--config.loss.hints_p=3"]), "config.loss.hints_p=3: expected one of 1, 2"
    )


SEGMENTER = Segmenter(arch="tiny", num_classes=5)


def level(c):
    """Two parts of known values."""
    mean = jnp.mean(c.images.astype(jnp.float32)) / 255
    return {"level": Part(mean + 0 * jnp.sum(c.student.log_probs["main"])), "step": Part(c.step + 1.0, c.options["by"])}


@pytest.mark.parametrize("group", ["source", "target"])
def test_a_term_of_a_group_adds_its_parts_in_that_pass_alone(group):
    with plug_tools.forgotten(TERMS), tiny_runs.quick_compilation():
        base = step_parts.options()
        term = register(LossTerm("level", group, level, 2.0, "level", ("level", "step"), {"by": Option(0.5)}))
        (method,), weights = base.methods, step_parts.weights()
        assert weights.terms["level"] == 2.0
        state = step_parts.create(
            init_segmenter(SEGMENTER, 0, "student"),
            step_parts.discriminators(method.discriminator, 0, 5),
            optimizer=optimizers.SegmenterOptimizer(),
        )

        @jax.jit
        def losses(state, batch, weights):
            how = {"models": StepModels(SEGMENTER)}
            active = ActiveTerm(term, (("by", 0.5),))
            options = (base, StepOptions((*base.terms, active), base.methods))
            return [
                train_step.losses_and_gradients(state, None, batch, weights, options=o, **how).losses for o in options
            ]

        draw = np.random.default_rng(0)
        batch = {
            "source_image": draw.integers(0, 256, (1, 32, 32, 3), np.uint8),
            "source_label": draw.integers(0, 5, (1, 32, 32), np.uint8),
            "target_image": draw.integers(0, 99, (1, 32, 32, 3), np.uint8),
        }
        before, after = losses(state, batch, weights)
    for domain in ("source", "target"):
        more = float(after[f"loss/{domain}/total"]) - float(before[f"loss/{domain}/total"])
        expected = 2.0 * (batch[f"{domain}_image"].mean() / 255 + 0.5) if domain == group else 0
        assert more == pytest.approx(expected, abs=1e-4)


def test_two_files_cannot_register_one_name(plugin):
    with plug_tools.forgotten(TERMS):
        plugs.load([str(plugin)])
        with pytest.raises(UserError, match="'hints' is registered by .*my_hints.py already"):
            register(LossTerm("hints", "source", lambda c: {}, 1.0, "", ()))


def test_its_parameters_are_trained_and_saved(whole_run, plugin, toy_city):
    """Restored by the shapes that the settings tell."""
    folder = tiny_runs.stage_folder(whole_run[0], "case_a")
    identity = json.loads((folder / "record.json").read_text())["identity"]
    with plug_tools.forgotten(TERMS):
        plugs.load([str(plugin)])
        config = tiny_runs.config(toy_city, **{**CHANGES, "goal": ("case_a",)})
        config.loss.hints = 0.3
        chosen = settings.stage_settings(config, paradigms.stage("case_a"), 19)
        checkpoints = Checkpoints(folder / "checkpoints", keep=9, identity=identity)
        one, two = (checkpoints.read(step, step_setup.blank(chosen)).terms["hints"]["kernel"] for step in (1, 2))
        checkpoints.close()
    student, teacher = one.shape
    assert student == 2 * teacher and np.abs(np.asarray(one) - np.asarray(two)).max() > 0


@pytest.mark.parametrize(
    ("number", "right", "wrong", "phrase"),
    [
        (1, '{"hints": Part(jnp.mean(gap ** c.options["p"]))}', "gap", "'hints1' gave .*Tracer; expected {curve: Part"),
        (2, '{"hints": Part(jnp.mean', '{"other": Part(jnp.mean', "'hints2' gave the curve 'other'; expected hints2"),
        (3, "Part(jnp.mean", "(jnp.mean", "'hints3' gave hints3: .*Tracer; expected {curve: Part"),
        (4, "(c.student, c.teacher)", "(c.student, c.teachr)", r"hints.py:\d+: .* 'hints4' fails: AttributeError"),
    ],
)  # fmt: skip
def test_a_term_that_does_not_keep_to_the_contract_is_one_line_before_any_work(
    run_py, toy_city, tmp_path, number, right, wrong, phrase
):
    text = plug_tools.example("A loss term")
    assert right in text
    plugin = tmp_path / "hints.py"
    plugin.write_text(text.replace(right, wrong).replace('"hints"', f'"hints{number}"'))  # the process stays
    words = [*tiny_runs.arguments(toy_city, tmp_path / "workdir", **CHANGES), f"--config.plugins={plugin}"]
    tiny_runs.one_line(run_py([*words, f"--config.loss.hints{number}=0.3", "--mode=plan"]), phrase)
