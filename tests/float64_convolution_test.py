"""The convolutions of the parity tests against XLA's, for every kind that the networks use."""

import float64_convolution
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def kinds():
    """(kernel, stride, dilation, padding) of all convolutions of the student, the teacher and a discriminator."""
    found, plain = set(), lax.conv_general_dilated

    def spy(x, kernel, strides, padding, **more):
        pad = 0 if isinstance(padding, str) else padding[0][0]
        found.add((kernel.shape[0], strides[0], more["rhs_dilation"][0], pad))
        return plain(x, kernel, strides, padding, **more)

    lax.conv_general_dilated = spy
    try:
        picture, classes = jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 32, 32, 19))
        for arch in ("drn_d_22", "drn_d_38"):
            model = Segmenter(arch=arch, num_classes=19)
            jax.eval_shape(lambda model=model: model.init(jax.random.key(0), picture, train=False))
        jax.eval_shape(lambda: Discriminator().init(jax.random.key(0), classes))
    finally:
        lax.conv_general_dilated = plain
    return sorted(found)


@pytest.mark.parametrize(("kernel", "stride", "dilation", "padding"), kinds())
@pytest.mark.parametrize("size", [(13, 18), (16, 16)])
def test_values_and_gradients_are_xlas(kernel, stride, dilation, padding, size):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2, *size, 3)), rng.normal(size=(kernel, kernel, 3, 5))

    def xlas(x, weights):
        pads, numbers = ((padding, padding),) * 2, ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, weights, (stride, stride), pads, rhs_dilation=(dilation, dilation), dimension_numbers=numbers
        )

    expected, pull = jax.vjp(xlas, x, weights)
    ours, pull_ours = jax.vjp(lambda *a: float64_convolution.convolution(*a, stride, dilation, padding), x, weights)
    gradient = rng.normal(size=expected.shape)
    for a, b in zip((ours, *pull_ours(gradient)), (expected, *pull(gradient)), strict=True):
        assert a.dtype == b.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * np.abs(b).max())


def test_a_network_is_the_same_and_what_was_compiled_is_kept_apart():
    model = Segmenter(arch="tiny", num_classes=19)
    x = np.random.default_rng(0).normal(size=(1, 40, 48, 3))
    variables = jax.tree.map(np.float64, model.init(jax.random.key(0), x, train=False))
    forward = jax.jit(lambda v, x: model.apply(v, x, train=False, method="heads").main)
    expected = forward(variables, x)
    with float64_convolution.as_matrix_products():
        np.testing.assert_allclose(forward(variables, x), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        assert forward._cache_size() == 2
    assert forward._cache_size() == 2
