"""Losses and their gradients against the released PyTorch code, in float64."""

import float64_convolution
import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dakd_jax.models.discriminator import Discriminator
from dakd_jax.objectives import cross_entropy as segmentation
from dakd_jax.objectives.adaptation import adversarial
from dakd_jax.objectives.terms import mse, quasi_ce
from dakd_jax.objectives.terms.kl import kl_divergence


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True), float64_convolution.as_matrix_products():
        yield


@pytest.fixture(scope="module")
def stored(golden_dir):
    with np.load(golden_dir / "losses.npz") as z:
        return {k: z[k] for k in z.files}


def _log_softmax(stored, name):
    return jax.nn.log_softmax(jnp.asarray(golden.nhwc(stored[f"logits_{name}"])))


def _to_target(logp, given):
    out = Discriminator().apply({"params": given["params"]["x"]}, jnp.exp(logp))
    return adversarial.binary_cross_entropy(out, adversarial.TARGET_LABEL)


# Of the student's log-probabilities and what is given: `label`, `teacher` (log-probabilities), `params`. Arguments all:
# XLA would spend most of the time on folding constants.
LOSSES = {
    "seg_ce": lambda logp, given: segmentation.cross_entropy(logp, given["label"]),
    "kl_mean_": lambda logp, given: kl_divergence(logp, given["teacher"], reduction="mean"),
    "kl_pixelmean_": lambda logp, given: kl_divergence(logp, given["teacher"], reduction="pixel_mean"),
    "kl_batchmean_": lambda logp, given: kl_divergence(logp, given["teacher"], reduction="batch_mean"),
    "kl_sum_": lambda logp, given: kl_divergence(logp, given["teacher"], reduction="sum"),
    "mse_": lambda logp, given: mse.mean_squared_error(logp, given["teacher"]),
    "pseudo_ce_": lambda logp, given: quasi_ce.quasi_teacher_cross_entropy(logp, given["teacher"]),
    "adv_gen_": lambda logp, given: adversarial.generator_terms(
        Discriminator(), given["params"], {"x": logp}, kind="vanilla"
    )["x"],
    "adv_label1_": _to_target,
}


def _given(stored, golden_dir, level):
    """Of level 1 (auxiliary) or 2 (main)."""
    params = {"x": golden.discriminator(golden_dir, f"D{level}")}
    return {"label": stored["label"].astype(np.uint8), "teacher": _log_softmax(stored, f"t{level}"), "params": params}


def _assert_gradient(stored, key, ours, name):
    ours, expected = golden.matched(stored, f"{key}/{name}", golden.nchw(ours))
    assert np.abs(ours - expected).max() <= 1e-5 * np.abs(expected).max(), name


def test_values_and_gradients_equal_reference(stored, golden_dir):
    compared = 0
    givens = {level: _given(stored, golden_dir, level) for level in (1, 2)}
    for loss_name, loss in LOSSES.items():
        # The reference normalises again inside cross entropy and before the discriminator: equal values, but
        # the gradient at freely varied log-probabilities goes through that softmax.
        again = loss_name.startswith(("seg_ce", "pseudo_ce", "adv"))
        of_logits = jax.jit(jax.value_and_grad(lambda x, given, loss=loss: loss(jax.nn.log_softmax(x), given)))
        free = of_logits if again else jax.jit(jax.value_and_grad(loss))
        for level, given in givens.items():
            name = f"{loss_name}{level}"
            logits = jnp.asarray(golden.nhwc(stored[f"logits_s{level}"]))
            value, by_logp = free(jax.nn.log_softmax(logits), given)
            np.testing.assert_allclose(value, stored[f"value/{name}"], rtol=1e-6, err_msg=name)
            if any(key.startswith(f"grad_logp/{name}") for key in stored):
                compared += 1
                _assert_gradient(stored, "grad_logp", by_logp, name)
                _assert_gradient(stored, "grad_logits", of_logits(logits, given)[1], name)
    assert len(LOSSES) == 9 and compared >= 12


@pytest.mark.parametrize(("which", "level"), [("D1", 1), ("D2", 2)])
def test_discriminator_loss_and_gradients_equal_reference(stored, golden_dir, which, level):
    params = {"x": golden.discriminator(golden_dir, which)}
    source, target = _log_softmax(stored, f"s{level}"), _log_softmax(stored, f"t{level}")

    def loss(params, source, target):
        terms = adversarial.discriminator_terms(Discriminator(), params, {"x": source}, {"x": target}, kind="vanilla")
        return sum(terms.values()), terms

    (_, terms), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, source, target)
    np.testing.assert_allclose(terms["source_x"], stored[f"disc/{which}/loss_source"], rtol=1e-6)
    np.testing.assert_allclose(terms["target_x"], stored[f"disc/{which}/loss_target"], rtol=1e-6)
    for name, ours in golden.named({"params": grads["x"]}).items():
        np.testing.assert_allclose(np.linalg.norm(ours), stored[f"disc/{which}/gradnorm/{name}"], rtol=1e-6)
        whole = f"disc/{which}/grad/{name}"
        expected = stored[whole] if whole in stored else stored[f"disc/{which}/grad_first256/{name}"]
        ours = ours if whole in stored else ours.ravel()[:256]
        assert np.abs(ours - expected).max() <= 1e-5 * np.abs(ours).max(), name


def test_cross_entropy_of_void_labels_is_zero_with_zero_gradient():
    logp = jax.nn.log_softmax(jnp.ones((1, 4, 4, 3)))
    labels = jnp.full((1, 4, 4), 255, jnp.uint8)
    value, gradient = jax.value_and_grad(segmentation.cross_entropy)(logp, labels)
    assert value == 0 and not np.any(gradient)


def test_kl_can_be_switched_off_and_is_zero_only_between_equals():
    rng = np.random.default_rng(0)
    a, b = (jax.nn.log_softmax(jnp.asarray(rng.normal(size=(1, 2, 2, 5)))) for _ in range(2))
    assert kl_divergence(a, b, reduction="off") == 0
    assert abs(kl_divergence(a, a)) < 1e-15
    forward, backward = kl_divergence(a, b), kl_divergence(b, a)
    assert forward > 0 and abs(forward - backward) > 1e-4


def test_least_squares_is_the_mean_squared_distance():
    logits = jnp.asarray([[0.5, -1.0], [2.0, 0.0]])
    assert adversarial.least_squares(logits, adversarial.SOURCE_LABEL) == pytest.approx((0.25 + 1 + 4 + 0) / 4)
    assert adversarial.least_squares(logits, adversarial.TARGET_LABEL) == pytest.approx((0.25 + 4 + 1 + 1) / 4)


def test_binary_cross_entropy_is_finite_at_extremes():
    logits = jnp.asarray([1e4, -1e4])
    assert adversarial.binary_cross_entropy(logits, adversarial.TARGET_LABEL) == pytest.approx(5e3)
    assert np.isfinite(jax.grad(lambda x: adversarial.binary_cross_entropy(x, 0.0))(logits)).all()
