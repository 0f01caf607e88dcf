"""Steps of tiny networks in float32: what the golden trajectories of train_step_test.py do not cover."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import step_parts
import tiny_runs

from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import optimizers
from dakd_jax.training.step import passes, train_step
from dakd_jax.training.step.options import StepModels

pytestmark = pytest.mark.long  # among the last files it would keep one worker waiting for the other
CASES = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (1.0, 1.0)}
TINY = Segmenter(arch="tiny", num_classes=5)
TINY_D = Discriminator(width=0.07)
DEFAULT = {
    "optimizer": optimizers.SegmenterOptimizer(),
}


def _tiny_batch(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "source_image": rng.integers(0, 256, (2, 32, 40, 3), dtype=np.uint8),
        "source_label": rng.integers(0, 5, (2, 32, 40), dtype=np.uint8),
        "target_image": rng.integers(0, 256, (2, 36, 32, 3), dtype=np.uint8),
    }


def _tiny_state(levels="multi", adapt=True):
    found = step_parts.discriminators(TINY_D, 0, 5, levels) if adapt else {}
    return step_parts.create(segmenter_module.init_segmenter(TINY, 0, "student"), found, **DEFAULT)


def _tiny_step(weights=None, *, batch=None, state=None, teacher=True, **options):
    return train_step.train_step(
        state or _tiny_state(options.get("levels", "multi"), options.get("adapt", True)),
        segmenter_module.init_segmenter(TINY, 1, "teacher") if teacher else None,
        batch or _tiny_batch(),
        weights or step_parts.weights(distil_source=1.0, distil_target=1.0),
        step_parts.rates(np.float32(1e-2), np.float32(1e-3)),
        models=StepModels(TINY, TINY if teacher else None),
        options=step_parts.options(discriminator=TINY_D, **options),
        **DEFAULT,
    )


@pytest.fixture
def x32():
    with tiny_runs.quick_compilation():
        yield


def _tiny_losses(weights=None, **options):
    """The losses of a tiny step without its gradients, a quarter of the compilation."""
    options, state, batch = step_parts.options(discriminator=TINY_D, **options), _tiny_state(), _tiny_batch()
    teacher = segmenter_module.init_segmenter(TINY, 1, "teacher")
    how = {"models": StepModels(TINY, TINY), "options": options}
    weights = weights or step_parts.weights(distil_source=1.0, distil_target=1.0)

    @jax.jit
    def losses(state, teacher, batch, weights):
        found, stats = {}, state.batch_stats
        for domain in ("source", "target"):
            _, (found[domain], _, stats) = passes.pass_loss(
                {"params": state.params, "terms": {}}, stats, state.adaptation, teacher, batch, state.step, weights,
                domain=domain, **how,
            )  # fmt: skip
        return found

    return losses(state, teacher, batch, weights)


def _leaves(tree):
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def test_one_compilation_serves_all_cases_and_weights(x32):
    _tiny_step()
    before = train_step.train_step._cache_size()
    for source, target in CASES.values():
        _tiny_step(step_parts.weights(distil_source=source, distil_target=target, kl=0.7, seg_auxiliary=0.3))
    assert train_step.train_step._cache_size() == before


def test_a_domain_that_does_not_distil_runs_no_teacher_and_gets_no_gradient_from_it(x32):
    weights = step_parts.weights(distil_source=0.0, distil_target=0.0)
    with_teacher, losses = _tiny_step(weights)
    without, _ = _tiny_step(weights, teacher=False)
    for a, b in zip(_leaves(with_teacher.params), _leaves(without.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    watched = _tiny_step(weights.replace(watch_inactive=True))[1]
    # Not run: its log-probabilities are zeros, so its KL is sum(0 - log p) / entries and the class is always 0.
    assert losses["loss/source/quasi_ce_main"] != watched["loss/source/quasi_ce_main"]


def test_without_adaptation_nothing_of_the_target_is_used(x32):
    batch = _tiny_batch()
    del batch["target_image"]
    state, losses = _tiny_step(batch=batch, adapt=False, teacher=False)
    assert sorted(name for name in losses if name.startswith("loss/")) == [
        "loss/source/seg_auxiliary", "loss/source/seg_main", "loss/source/total",
    ]  # fmt: skip
    assert state.adaptation == {} and int(state.step) == 1


def test_frozen_batch_norm_keeps_its_statistics_and_learns_by_them(x32):
    start, batch = _tiny_state(adapt=False), _tiny_batch()
    params, stats = jax.tree.map(np.array, (start.params, start.batch_stats))  # the step eats the state
    heads, _ = segmenter_module.forward(TINY, {"params": params, "batch_stats": stats}, batch["source_image"])
    label = batch["source_label"]
    log_probs = heads.log_probabilities(label.shape[1:])["main"]
    expected = -np.take_along_axis(np.asarray(log_probs), label[..., None].astype(int), -1).mean()
    after, losses = _tiny_step(state=start, batch=batch, adapt=False, teacher=False, student_statistics="running")
    np.testing.assert_allclose(losses["loss/source/seg_main"], expected, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, after.batch_stats, stats)
    learnt = jax.tree.map(lambda new, old: bool(np.any(new != old)), after.params, params)
    assert any(moved for path, moved in jax.tree.leaves_with_path(learnt) if path[-1].key == "scale")


@pytest.mark.parametrize(("levels", "expected"), [("multi", {"auxiliary", "main"}), ("single", {"main"})])
def test_levels_choose_the_discriminators(x32, levels, expected):
    state, losses = _tiny_step(levels=levels)
    assert set(step_parts.of_state(state)) == expected
    assert {k.split("_", 1)[1] for k in losses if "discriminator" in k} == expected


@pytest.mark.parametrize("kind", ["vanilla", "least_squares"])
def test_the_adversarial_loss_is_the_chosen_one(x32, kind):
    state = _tiny_state()
    batch = _tiny_batch()
    x = jnp.asarray(batch["target_image"])
    outputs, _ = passes.outputs_of(TINY, {"params": state.params, "batch_stats": state.batch_stats}, x, "batch")
    params = {"params": step_parts.of_state(state)["main"]}
    out = np.asarray(TINY_D.apply(params, jnp.exp(outputs.log_probs["main"])), np.float64)
    expected = {"vanilla": np.mean(np.log1p(np.exp(out))), "least_squares": np.mean(out**2)}[kind]
    losses = _tiny_losses(adversarial=kind)
    np.testing.assert_allclose(losses["target"]["adversarial_main"], expected, rtol=1e-4)


def test_mse_compares_features_or_log_probabilities(x32):
    a, b = (_tiny_losses(mse_on=what)["source"]["mse_auxiliary"] for what in ("features", "log_probabilities"))
    assert np.isfinite([a, b]).all() and abs(a - b) > 1e-3


def test_teacher_statistics_are_running_or_of_the_batch(x32):
    a, b = (_tiny_losses(teacher_statistics=s)["target"]["kl_main"] for s in ("running", "batch"))
    assert abs(a - b) > 1e-6


def test_void_labels_leave_finite_weights(x32):
    batch = _tiny_batch() | {"source_label": np.full((2, 32, 40), 255, np.uint8)}
    state, losses = _tiny_step(batch=batch)
    assert losses["loss/source/seg_main"] == 0 == losses["loss/source/seg_auxiliary"]
    assert all(np.isfinite(x).all() for x in _leaves(state.params))


def test_same_inputs_give_the_same_bits(x32):
    a, b = _tiny_step()[0], _tiny_step()[0]
    assert all((x == y).all() for x, y in zip(_leaves(a), _leaves(b), strict=True))
