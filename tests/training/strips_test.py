"""Losses on strips of rows: what is added up is the mean over all pixels, with its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import step_parts

from dakd_jax.basics.errors import UserError
from dakd_jax.models import segmenter
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import optimizers
from dakd_jax.objectives.context import Part
from dakd_jax.objectives.cross_entropy import cross_entropy, labelled
from dakd_jax.objectives.outputs import Unexpanded
from dakd_jax.objectives.terms import LossTerm
from dakd_jax.training.step import strips, train_step
from dakd_jax.training.step.options import ActiveTerm, StepModels, StepOptions

SIZE, CLASSES = (21, 10), 4


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def said():
    draw = np.random.default_rng(0)
    logits = {level: draw.normal(size=(2, 6, 3, CLASSES)) for level in ("main", "auxiliary")}
    return Unexpanded(jax.tree.map(jnp.asarray, logits), {}, (("auxiliary", 4), ("main", 4)), SIZE, "")


@pytest.mark.parametrize("count", [1, 4, 7, 21])
def test_the_sum_over_strips_is_the_mean_over_all_pixels(said, count):
    """Of two parts with factors, one of which counts labelled pixels alone; the first rows have no label at all."""
    labels = np.random.default_rng(1).integers(0, CLASSES, (2, *SIZE))
    labels[:, :8], labels[0, ::2] = 255, 255
    scale = jnp.asarray(1.5)

    def parts(logits, scale, start, count):
        rows = said.replace(logits=logits).rows(start, count).log_probs
        own = jax.lax.dynamic_slice_in_dim(jnp.asarray(labels), start, count, 1)
        square = scale * jnp.mean(rows["auxiliary"] ** 2)
        return {
            "labelled": Part(cross_entropy(rows["main"], own), 0.3, labelled(own)),
            "square": Part(square, None, rows["auxiliary"].size),
        }

    def on_strips(logits, scale):
        return strips.total(lambda of, *rows: parts(*of, *rows), (logits, scale), SIZE[0], count)

    def whole(logits, scale):
        found = parts(logits, scale, 0, SIZE[0])
        return sum(part.weighted for part in found.values()), {name: part.value for name, part in found.items()}

    (found, expected) = (
        jax.value_and_grad(of, argnums=(0, 1), has_aux=True)(said.logits, scale) for of in (on_strips, whole)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15), found, expected)
    halved = jax.grad(lambda scale: 0.5 * on_strips(said.logits, scale)[0])(scale)
    np.testing.assert_allclose(halved, 0.5 * found[1][1], rtol=1e-12)


def test_rows_are_those_of_the_whole(said):
    rows, whole = said.rows(5, 9), said.expanded()
    for level, log_probs in whole.log_probs.items():
        np.testing.assert_allclose(rows.log_probs[level], log_probs[:, 5:14], rtol=1e-12)
        np.testing.assert_array_equal(whole.rows(5, 9).log_probs[level], log_probs[:, 5:14])


@pytest.mark.parametrize(
    "size, expected", [((512, 1024), 4), ((720, 1280), 5), ((24, 40), 24), ((211, 256), 26), ((480, 10**6), 1)]
)
def test_strips_fit_and_divide_the_picture_where_they_can(size, expected):
    assert strips.height(2, size, 19) == expected
    assert expected == 1 or 2 * expected * size[1] * 19 <= strips.LARGEST


def test_a_term_by_rows_must_tell_its_count():
    model = Segmenter(arch="tiny", num_classes=CLASSES)
    term = LossTerm(
        "short", "source", lambda c: {"short": Part(jnp.mean(c.student.log_probs["main"]))}, 1.0, "short", ("short",),
        by_rows=lambda options: True,
    )  # fmt: skip
    state = step_parts.create(
        segmenter.init_segmenter(model, 0, "student"), {}, optimizer=optimizers.SegmenterOptimizer()
    )
    batch = {"source_image": np.zeros((1, *SIZE, 3), np.uint8), "source_label": np.zeros((1, *SIZE), np.uint8)}
    weights = step_parts.weights().replace(terms={"short": 1.0})
    options = StepOptions((ActiveTerm(term),), sees_target=False)
    with pytest.raises(UserError, match="loss term 'short' is computed by rows and gave 'short' without a count"):
        jax.eval_shape(
            lambda *given: train_step.losses_and_gradients(*given, models=StepModels(model), options=options),
            state, None, batch, weights,
        )  # fmt: skip
