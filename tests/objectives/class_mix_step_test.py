"""Labels that class-mix knows on the target take the teacher's place in one loss, and nowhere else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import step_parts
import tiny_runs

from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import cross_entropy as segmentation
from dakd_jax.objectives.terms import quasi_ce
from dakd_jax.training.step import passes
from dakd_jax.training.step.options import StepModels

CLASSES = 5
TERM = "loss/target/quasi_ce_main"
TOTAL = "loss/target/total"


def log_probabilities(seed, shape=(2, 6, 7, CLASSES)):
    return jax.nn.log_softmax(jnp.asarray(np.random.default_rng(seed).normal(size=shape)))


def some_labels(seed, shape=(2, 6, 7)):
    """Known at about half of the pixels."""
    draw = np.random.default_rng(seed)
    return np.where(draw.random(shape) < 0.5, draw.integers(0, CLASSES, shape), 255).astype(np.uint8)


@pytest.mark.parametrize("share", ["none", "some", "all"])
def test_known_labels_take_the_place_of_the_teachers_class(share):
    student, teacher = log_probabilities(0), log_probabilities(1)
    known = {"none": np.full((2, 6, 7), 255, np.uint8), "some": some_labels(2), "all": some_labels(2) % CLASSES}[share]
    loss = jax.value_and_grad(quasi_ce.quasi_teacher_cross_entropy)
    value, gradient = loss(student, teacher, known)
    labels = np.where(known == 255, np.argmax(teacher, axis=-1), known)
    expected, expected_gradient = jax.value_and_grad(segmentation.cross_entropy)(student, labels)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6)
    if share == "none":
        usual, usual_gradient = loss(student, teacher)
        assert value == usual and (gradient == usual_gradient).all()


SEGMENTER = Segmenter(arch="tiny", num_classes=CLASSES)
MODELS, JUDGE = StepModels(SEGMENTER, SEGMENTER), Discriminator(width=0.07)
WEIGHTS = step_parts.weights(ce=0.7, distil_target=0.5)
TARGET = (2, 36, 34)  # no multiples of 8: the outputs are cropped to the picture
PICTURES = np.random.default_rng(0).integers(0, 256, (*TARGET, 3), dtype=np.uint8)


def filled(seed):
    """A segmenter's random {'params', 'batch_stats'}: no initialiser to compile, and outputs that are not all alike."""
    draw = np.random.default_rng(seed)
    blank = segmenter_module.blank_segmenter(SEGMENTER)
    params = jax.tree.map(lambda x: draw.normal(0, 0.2, x.shape).astype(np.float32), blank["params"])
    return {"params": params, "batch_stats": jax.tree.map(np.ones_like, blank["batch_stats"])}


@pytest.fixture(scope="module")
def teacher():
    return filled(1)


@pytest.fixture(scope="module")
def target_loss(teacher):
    """Compiled: labels or None to (losses, the student's log-probabilities, gradient as one vector)."""
    student = filled(0)
    with tiny_runs.quick_compilation():
        judges = {"adversarial": {"discriminators": step_parts.discriminators(JUDGE, 0, CLASSES)}}
    options = step_parts.options(discriminator=JUDGE)
    loss = functools.partial(passes.pass_loss, domain="target", models=MODELS, options=options)
    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def run(labels=None):
        batch = {"target_image": PICTURES} | ({} if labels is None else {"target_label": labels})
        with tiny_runs.quick_compilation():
            trained = {"params": student["params"], "terms": {}}
            (_, (losses, outputs, _)), gradients = compiled(
                trained, student["batch_stats"], judges, teacher, batch, 0, WEIGHTS
            )
        flat = np.concatenate([np.ravel(x) for x in jax.tree.leaves(gradients)])
        return {name: float(value) for name, value in losses.items()}, outputs.log_probs["main"], flat

    return run


@pytest.fixture(scope="module")
def usual(target_loss):
    return target_loss()


@pytest.fixture(scope="module")
def mixed(target_loss):
    return target_loss(some_labels(3, TARGET))


def test_a_batch_that_knows_no_pixel_trains_as_before(target_loss, usual):
    losses, _, gradients = target_loss(np.full(TARGET, 255, np.uint8))
    assert np.isfinite(list(losses.values())).all()
    assert losses == pytest.approx(usual[0], rel=1e-6)
    np.testing.assert_allclose(gradients, usual[2], rtol=0, atol=1e-5 * np.abs(usual[2]).max())


def test_only_the_quasi_teacher_loss_changes(usual, mixed):
    before, after = usual[0], mixed[0]
    changed = {name for name in before if after[name] != pytest.approx(before[name], rel=1e-6)}
    assert changed == {"quasi_ce_main", "total"}
    change = WEIGHTS.distil_target * WEIGHTS.terms["ce"] * (after["quasi_ce_main"] - before["quasi_ce_main"])
    assert abs(change) > 1e-3
    assert after["total"] - before["total"] == pytest.approx(change, rel=1e-3)
    assert np.abs(mixed[2] - usual[2]).max() > 1e-3 * np.abs(usual[2]).max()


def test_the_labels_lie_on_the_pixels_of_the_picture(mixed, teacher):
    with tiny_runs.quick_compilation():
        forward = jax.jit(functools.partial(passes.outputs_of, SEGMENTER, statistics="running"))
        guide = np.asarray(forward(teacher, PICTURES)[0].log_probs["main"])
    known = some_labels(3, TARGET)
    labels = np.where(known == 255, guide.argmax(-1), known)
    expected = -np.take_along_axis(np.asarray(mixed[1]), labels[..., None].astype(int), axis=-1).mean()
    assert mixed[0]["quasi_ce_main"] == pytest.approx(expected, rel=1e-5)


def test_a_picture_that_is_all_pasted_is_learnt_as_a_labelled_one(target_loss):
    labels = some_labels(4, TARGET) % CLASSES
    losses, logp, _ = target_loss(labels)
    assert losses["quasi_ce_main"] == pytest.approx(float(segmentation.cross_entropy(logp, labels)), rel=1e-5)
