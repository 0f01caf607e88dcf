"""What the teacher says at a size of its own and over several views, against numpy and Pillow."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from PIL import Image

from dakd_jax.models.segmenter import Segmenter, init_segmenter
from dakd_jax.objectives.context import Outputs
from dakd_jax.objectives.terms import TERMS
from dakd_jax.objectives.terms.kl import kl_divergence
from dakd_jax.training import teaching
from dakd_jax.training.step import passes
from dakd_jax.training.step.options import ActiveTerm, LossWeights, StepModels, StepOptions
from dakd_jax.training.teaching import Views

pytestmark = pytest.mark.long  # among the last files it would keep one worker waiting for the other
TINY = Segmenter(arch="tiny", num_classes=5)


def probabilities(pictures):
    """Of a made-up teacher, at the pictures' size: it looks at a pixel and at its column."""
    x = np.asarray(pictures, np.float64) / 64
    columns = np.linspace(0, 3, x.shape[2])[None, None, :, None]
    scores = np.exp(np.concatenate([x, columns + 0 * x[..., :1]], axis=-1))
    return scores / scores.sum(axis=-1, keepdims=True)


def made_up_teacher(pictures):
    seen.append(pictures.shape)
    log_probs = jnp.asarray(np.log(probabilities(pictures)), jnp.float32)
    return Outputs({"main": log_probs, "auxiliary": log_probs[..., ::-1]}, {"deep": pictures}, "deep")


seen = []


@pytest.fixture
def pictures():
    seen.clear()
    return np.random.default_rng(0).integers(0, 256, (2, 12, 20, 3), dtype=np.uint8)


def resized(array, size, how):
    """Float [B, H, W, C] to (height, width) by Pillow, which filters what becomes smaller."""
    planes = [
        [Image.fromarray(plane.astype(np.float32), "F").resize(size[::-1], how) for plane in np.moveaxis(one, -1, 0)]
        for one in array
    ]
    return np.array([[np.asarray(plane) for plane in one] for one in planes]).transpose(0, 2, 3, 1)


def test_the_picture_alone_is_one_pass_to_the_bit(pictures):
    found = teaching.answers(made_up_teacher, jnp.asarray(pictures), (12, 20), Views())
    assert seen == [(2, 12, 20, 3)]
    np.testing.assert_array_equal(found.log_probs["main"], made_up_teacher(pictures).log_probs["main"])


def test_a_larger_picture_is_answered_at_the_students_size(pictures):
    found = teaching.answers(made_up_teacher, jnp.asarray(pictures), (6, 10), Views())
    expected = resized(probabilities(pictures), (6, 10), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(np.exp(found.log_probs["main"]), expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(found.log_probs["auxiliary"]), expected[..., ::-1], atol=1e-5)
    np.testing.assert_allclose(np.exp(found.log_probs["main"]).sum(-1), 1, atol=1e-5)


def test_the_mirror_image_is_averaged_in(pictures):
    found = teaching.answers(made_up_teacher, jnp.asarray(pictures), (12, 20), Views(mirror=True))
    plain, mirrored = probabilities(pictures), probabilities(pictures[:, :, ::-1])[:, :, ::-1]
    assert np.abs(plain - mirrored).max() > 0.1
    np.testing.assert_allclose(np.exp(found.log_probs["main"]), (plain + mirrored) / 2, atol=1e-6)


def test_scales_are_averaged_as_probabilities(pictures):
    found = teaching.answers(made_up_teacher, jnp.asarray(pictures), (12, 20), Views(True, (1.0, 0.5)))
    small = resized(pictures, (6, 10), Image.Resampling.BICUBIC).round().clip(0, 255)
    expected = [probabilities(pictures), resized(probabilities(small), (12, 20), Image.Resampling.BILINEAR)]
    mirrored = resized(probabilities(small[:, :, ::-1])[:, :, ::-1], (12, 20), Image.Resampling.BILINEAR)
    expected += [probabilities(pictures[:, :, ::-1])[:, :, ::-1], mirrored]
    # A level of grey may be rounded the other way.
    np.testing.assert_allclose(np.exp(found.log_probs["main"]), np.mean(expected, axis=0), atol=6e-3)
    assert seen == [(2, 12, 20, 3)] * 2 + [(2, 6, 10, 3)] * 2
    np.testing.assert_array_equal(found.features["deep"], pictures)


def test_certain_answers_stay_finite(pictures):
    def certain(images):
        one = jnp.where(jnp.arange(5) == 0, 0.0, -jnp.inf) + jnp.zeros((*images.shape[:3], 5))
        return Outputs({"main": one}, {}, "")

    found = teaching.answers(certain, jnp.asarray(pictures), (6, 10), Views(mirror=True))
    assert np.isfinite(found.log_probs["main"]).all()


def test_a_student_is_taught_by_what_the_teacher_sees():
    """The KL term of a pass is that of the answers at the teacher's size and views."""
    draw = np.random.default_rng(0)
    batch = {
        "target_image": draw.integers(0, 256, (1, 32, 40, 3), dtype=np.uint8),
        "teacher_target_image": draw.integers(0, 256, (1, 64, 80, 3), dtype=np.uint8),
    }
    student, teacher = init_segmenter(TINY, 0, "student"), init_segmenter(TINY, 1, "teacher")
    views = Views(mirror=True, scales=(1.0, 0.5))
    options = StepOptions(terms=(ActiveTerm(TERMS["kl"], (("reduction", "mean"),)),), teacher_views=views)
    weights = LossWeights(terms={"kl": 1.0}, methods={}, distil_target=1.0)

    def losses(batch):
        how = {"models": StepModels(TINY, TINY), "options": options, "domain": "target"}
        trained = {"params": student["params"], "terms": {}}
        _, (found, _, _) = passes.pass_loss(
            trained, student["batch_stats"], {}, teacher, batch, jnp.int32(0), weights, **how
        )
        return found

    def outputs(variables, images, statistics):
        return passes.outputs_of(TINY, variables, jnp.asarray(images), statistics)[0]

    def kl_of_answers(batch):
        seen = batch["teacher_target_image"]
        said = teaching.answers(lambda images: outputs(teacher, images, "running"), seen, (32, 40), views)
        ours = outputs(student, batch["target_image"], "batch")
        return kl_divergence(ours.log_probs["main"], said.log_probs["main"])

    with tiny_runs.quick_compilation():
        found, expected = jax.jit(losses)(batch), jax.jit(kl_of_answers)(batch)
        alone = jax.jit(losses)({name: array for name, array in batch.items() if "teacher" not in name})
    (curve,) = [name for name in found if name.startswith("kl") and "main" in name]
    np.testing.assert_allclose(found[curve], expected, rtol=1e-4)
    assert abs(float(alone[curve]) - float(found[curve])) > 1e-4


def test_views_are_settings_of_the_compiled_step():
    assert dataclasses.replace(Views(), scales=(1.0,)) == Views() and hash(Views(True)) != hash(Views())
