"""Losses and their gradients against the released PyTorch code, in float64."""

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
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def stored(golden_dir):
    with np.load(golden_dir / "losses.npz") as z:
        return {k: z[k] for k in z.files}


def _log_softmax(stored, name):
    return jax.nn.log_softmax(jnp.asarray(golden.nhwc(stored[f"logits_{name}"])))


def _losses(stored, golden_dir):
    """{golden name: loss of the student's log-probabilities at level 1 (auxiliary) or 2 (main)}."""
    label = stored["label"].astype(np.uint8)
    found = {}
    for level, which in ((1, "D1"), (2, "D2")):
        teacher = _log_softmax(stored, f"t{level}")
        params = {"x": golden.discriminator(golden_dir, which)}

        def kl(reduction, teacher=teacher):
            return lambda logp: kl_divergence(logp, teacher, reduction=reduction)

        def generator(logp, params=params):
            return adversarial.generator_terms(Discriminator(), params, {"x": logp}, kind="vanilla")["x"]

        def to_target(logp, params=params):
            out = Discriminator().apply({"params": params["x"]}, jnp.exp(logp))
            return adversarial.binary_cross_entropy(out, adversarial.TARGET_LABEL)

        found |= {
            f"seg_ce{level}": lambda logp: segmentation.cross_entropy(logp, label),
            f"kl_mean_{level}": kl("mean"),
            f"kl_pixelmean_{level}": kl("pixel_mean"),
            f"kl_batchmean_{level}": kl("batch_mean"),
            f"kl_sum_{level}": kl("sum"),
            f"mse_{level}": lambda logp, t=teacher: mse.mean_squared_error(logp, t),
            f"pseudo_ce_{level}": lambda logp, t=teacher: quasi_ce.quasi_teacher_cross_entropy(logp, t),
            f"adv_gen_{level}": generator,
            f"adv_label1_{level}": to_target,
        }
    return found


def _assert_gradient(stored, key, ours, name):
    ours, expected = golden.matched(stored, f"{key}/{name}", golden.nchw(ours))
    assert np.abs(ours - expected).max() <= 1e-5 * np.abs(expected).max(), name


def test_values_and_gradients_equal_reference(stored, golden_dir):
    losses = _losses(stored, golden_dir)
    compared = 0
    for name, loss in losses.items():
        logits = jnp.asarray(golden.nhwc(stored[f"logits_s{name[-1]}"]))
        logp = jax.nn.log_softmax(logits)
        # The reference normalises again inside cross entropy and before the discriminator: equal values, but
        # the gradient at freely varied log-probabilities goes through that softmax.
        again = name.startswith(("seg_ce", "pseudo_ce", "adv"))
        free = (lambda x, loss=loss: loss(jax.nn.log_softmax(x))) if again else loss
        value, by_logp = jax.jit(jax.value_and_grad(free))(logp)
        np.testing.assert_allclose(value, stored[f"value/{name}"], rtol=1e-6, err_msg=name)
        if any(key.startswith(f"grad_logp/{name}") for key in stored):
            compared += 1
            _assert_gradient(stored, "grad_logp", by_logp, name)
            by_logits = jax.jit(jax.grad(lambda x, loss=loss: loss(jax.nn.log_softmax(x))))(logits)
            _assert_gradient(stored, "grad_logits", by_logits, name)
    assert len(losses) == 18 and compared >= 12


@pytest.mark.parametrize(("which", "level"), [("D1", 1), ("D2", 2)])
def test_discriminator_loss_and_gradients_equal_reference(stored, golden_dir, which, level):
    params = {"x": golden.discriminator(golden_dir, which)}
    source, target = _log_softmax(stored, f"s{level}"), _log_softmax(stored, f"t{level}")

    def loss(params):
        terms = adversarial.discriminator_terms(Discriminator(), params, {"x": source}, {"x": target}, kind="vanilla")
        return sum(terms.values()), terms

    (_, terms), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
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
