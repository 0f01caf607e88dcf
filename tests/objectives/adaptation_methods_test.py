"""Entropy minimisation and self-training against their published formulas, and methods beside each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import step_parts
import tiny_runs

from dakd_jax.basics.errors import UserError
from dakd_jax.models.segmenter import Segmenter, init_segmenter
from dakd_jax.objectives import optimizers, paradigms
from dakd_jax.objectives.adaptation import METHODS, Tools
from dakd_jax.objectives.adaptation.adversarial import Adversarial
from dakd_jax.objectives.adaptation.entropy import Entropy, normalised_entropy
from dakd_jax.objectives.adaptation.self_training import (
    SelfTraining,
    momentum_at,
    pseudo_labels,
    weighted_cross_entropy,
)
from dakd_jax.stages import settings
from dakd_jax.training import train_state
from dakd_jax.training.step import passes, train_step
from dakd_jax.training.step.options import StepModels, StepOptions
from data_pipelines.augmentation import class_mix, photometric

CLASSES = 5
MODEL = Segmenter(arch="tiny", num_classes=CLASSES)
MODELS = StepModels(MODEL)


def log_probs(seed, shape=(2, 6, 7, CLASSES), scale=3):
    draw = np.random.default_rng(seed).normal(0, scale, shape)
    return draw - np.log(np.exp(draw).sum(-1, keepdims=True))


def test_entropy_is_that_of_the_paper():
    """ADVENT, eq. 1 and 2, as its code has it: -sum p log2 p / (n h w log2 C)."""
    logp = log_probs(0)
    p = np.exp(logp)
    expected = -np.sum(p * np.log2(p + 1e-30)) / (2 * 6 * 7 * np.log2(CLASSES))
    assert float(normalised_entropy(jnp.asarray(logp))) == pytest.approx(expected, rel=1e-5)
    uniform = jnp.full((1, 2, 2, CLASSES), -np.log(CLASSES))
    assert float(normalised_entropy(uniform)) == pytest.approx(1)


def test_pseudo_labels_and_their_weight_are_those_of_dacs():
    """The released code: weight = (number of pixels with max p >= 0.968) / (number of pixels), of the batch."""
    logp = log_probs(1, scale=6)
    labels, weight = pseudo_labels(jnp.asarray(logp), 0.968)
    p = np.exp(logp)
    np.testing.assert_array_equal(labels, p.argmax(-1))
    assert labels.dtype == jnp.uint8 and 0 < float(weight) < 1
    assert float(weight) == pytest.approx(np.sum(p.max(-1) >= 0.968) / p[..., 0].size)


def test_the_mixed_loss_is_the_mean_of_weighted_cross_entropies():
    logp, draw = log_probs(2), np.random.default_rng(3)
    labels, weights = draw.integers(0, CLASSES, (2, 6, 7), np.uint8), draw.random((2, 6, 7))
    chosen = np.take_along_axis(logp, labels[..., None].astype(int), -1)[..., 0]
    expected = np.mean(-chosen * weights)
    found = weighted_cross_entropy(jnp.asarray(logp), jnp.asarray(labels), jnp.asarray(weights))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_average_moves_as_published():
    """alpha = min(1 - 1 / (iteration + 1), 0.99)."""
    steps = np.array([0, 1, 2, 98, 99, 100, 5000])
    expected = np.minimum(1 - 1 / (steps + 1), 0.99)
    np.testing.assert_allclose(momentum_at(jnp.asarray(steps), 0.99), expected, rtol=1e-6)


def batch(seed=0):
    draw = np.random.default_rng(seed)
    label = draw.integers(0, CLASSES, (2, 32, 32), np.uint8)
    return {
        "source_image": draw.integers(0, 256, (2, 32, 40, 3), np.uint8),
        "source_label": draw.integers(0, CLASSES, (2, 32, 40), np.uint8),
        "target_image": draw.integers(0, 256, (2, 32, 32, 3), np.uint8),
        "mixed_image": draw.integers(0, 256, (2, 32, 32, 3), np.uint8),
        "mixed_label": np.where(draw.random((2, 32, 32)) < 0.4, label, 255).astype(np.uint8),
    }


@functools.cache
def made(*names):
    """(options, weights, state) of a student with these methods."""
    methods = tuple({"adversarial": Adversarial, "entropy": Entropy, "self_training": SelfTraining}[n]() for n in names)
    base = step_parts.options(adapt=False)
    options = StepOptions(base.terms, methods, sees_target=any("target" in m.PASSES for m in methods))
    weights = step_parts.weights()
    own = {
        name: {option: o.default for option, o in METHODS[name].OPTIONS.items() if o.weight} for name in names
    }  # fmt: skip
    student = init_segmenter(MODEL, 0, "student")
    adaptation = train_state.init_methods(methods, 0, student, MODEL)
    state = train_state.create(student, adaptation, optimizer=optimizers.SegmenterOptimizer())
    return options, weights.replace(methods=own), state


@functools.cache
def stepped(*names, **changes):
    """(state before, state after one step, what it logged)."""
    with tiny_runs.quick_compilation():
        options, weights, state = made(*names)
        after, logged = train_step.train_step(
            train_state.copied(state), None, batch(), weights, step_parts.rates(np.float32(1e-2), np.float32(1e-3)),
            models=MODELS, options=options, optimizer=optimizers.SegmenterOptimizer(),
        )  # fmt: skip
    return state, after, {name: float(value) for name, value in logged.items()}


def test_self_training_learns_the_completed_labels_of_mixtures():
    """The step's loss, from the parts: the average labels the clean target, pasted pixels count fully."""
    state, _, logged = stepped("adversarial", "entropy", "self_training")
    given = batch()
    with tiny_runs.quick_compilation():
        run = jax.jit(lambda v, x: passes.outputs_of(MODEL, v, x, "batch")[0].log_probs)
        student = {"params": state.params, "batch_stats": state.batch_stats}
        guide = np.asarray(run(student, given["target_image"])["main"])  # at step 0 the average is the student
        mine = run(student, given["mixed_image"])
    pasted = given["mixed_label"] != 255
    labels = np.where(pasted, given["mixed_label"], guide.argmax(-1))
    share = np.mean(np.exp(guide).max(-1) >= 0.968)
    weights = np.where(pasted, 1.0, share)
    for level in ("main", "auxiliary"):
        chosen = np.take_along_axis(np.asarray(mine[level]), labels[..., None].astype(int), -1)[..., 0]
        assert logged[f"loss/mixed/mixed_{level}"] == pytest.approx(np.mean(-chosen * weights), rel=1e-4)
    total = logged["loss/mixed/mixed_main"] + 0.1 * logged["loss/mixed/mixed_auxiliary"]
    assert logged["loss/mixed/total"] == pytest.approx(total, rel=1e-5)
    assert logged["loss/mixed/sure_share"] == pytest.approx(share, abs=1e-6)


def test_the_average_is_of_the_student_after_the_step():
    state, after, _ = stepped("adversarial", "entropy", "self_training")
    for old, new in zip(jax.tree.leaves(after.adaptation["self_training"]), jax.tree.leaves(
        {"params": after.params, "batch_stats": after.batch_stats}), strict=True):  # fmt: skip
        np.testing.assert_allclose(old, new, rtol=1e-6)  # step 0 copies
    method, half = SelfTraining(momentum=0.25), state.adaptation["self_training"]
    tools = Tools(jnp.asarray(9), {"params": after.params, "batch_stats": after.batch_stats}, None, {}, "float32")
    found, _ = method.update(half, {}, {"sure_share": jnp.zeros(())}, tools)
    for new, old, student in zip(*map(jax.tree.leaves, (found["params"], half["params"], after.params)), strict=True):
        np.testing.assert_allclose(new, 0.25 * old + 0.75 * student, rtol=1e-5, atol=1e-7)


def test_methods_compose_and_leave_each_other_alone():
    """All in one step; what each of them leaves is as if it had stood alone."""
    state, together, logged = stepped("adversarial", "entropy", "self_training")
    assert set(together.adaptation) == {"adversarial", "entropy", "self_training"}
    assert {name.split("/")[1] for name in logged if name.startswith("loss/")} == {
        "source", "target", "mixed", "discriminator"
    }  # fmt: skip
    names = [f"{method}_{level}" for method in ("adversarial", "entropy") for level in ("main", "auxiliary")]
    parts = [logged[f"loss/target/{name}"] for name in names]
    expected = np.dot(parts, [1e-3, 2e-4, 1e-3, 2e-4])
    assert logged["loss/target/total"] == pytest.approx(expected, rel=1e-4)
    before, after = (jax.tree.leaves(s.adaptation["adversarial"]["discriminators"]) for s in (state, together))
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    average = jax.tree.leaves(together.adaptation["self_training"]["params"])
    for a, b in zip(average, jax.tree.leaves(together.params), strict=True):  # step 0 copies
        np.testing.assert_allclose(a, b, rtol=1e-6)


MIXTURE = {"colour_jitter": (0.25,) * 4, "blur": (0.15, 1.15)}


def test_a_mixture_is_class_mix_then_jitter_and_blur():
    draw = np.random.default_rng(0)
    image, target = draw.integers(0, 256, (2, 24, 24, 3), np.uint8)
    label = np.kron(draw.integers(0, 9, (6, 6)).astype(np.uint8), np.ones((4, 4), np.uint8))

    def rng():
        return np.random.Generator(np.random.Philox(7))

    plain = class_mix.mix(image, label, target, rng())
    never = class_mix.strongly_mixed(image, label, target, rng(), jitter_probability=0, blur_probability=0, **MIXTURE)
    always = class_mix.strongly_mixed(image, label, target, rng(), jitter_probability=1, blur_probability=1, **MIXTURE)
    assert all(np.array_equal(a, b) for a, b in zip(plain, never, strict=True))
    np.testing.assert_array_equal(always[1], plain[1])
    steps = rng()
    class_mix.mix(image, label, target, steps)
    _, _, sigma = steps.random(3)
    expected = photometric.gaussian_blur(
        photometric.colour_jitter(plain[0], MIXTURE["colour_jitter"], steps), 0.15 + sigma
    )
    np.testing.assert_array_equal(always[0], expected)


def test_distilled_stages_may_have_methods_of_their_own():
    config = tiny_runs.config("nowhere", **{"adaptation.methods": ("adversarial", "entropy")})
    of = lambda name: settings.stage_settings(config, paradigms.stage(name), 19)  # noqa: E731
    both = ("adversarial", "entropy")
    assert [tuple(m.NAME for m in of(name).options.methods) for name in ("student", "case_b")] == [both, both]
    config.adaptation.in_cases = ()
    settings.check(config)
    assert [tuple(m.NAME for m in of(name).options.methods) for name in ("teacher", "case_b")] == [both, ()]
    assert of("case_b").weights.methods == {} and of("case_b").options.sees_target
    config.adaptation.in_cases = ("entropy", "entropy")
    with pytest.raises(UserError, match="config.adaptation.in_cases=.*a method can be named once"):
        settings.check(config)
    config.adaptation.in_cases = ("swap",)
    with pytest.raises(UserError, match="config.adaptation.in_cases='swap': expected one of"):
        settings.check(config)
