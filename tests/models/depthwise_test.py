"""Depthwise convolution as sums of shifted products against XLA's own, in float64, and what is compiled for what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dakd_jax.models.convolution import depthwise


def _operands(size, kernel, dtype=np.float64, channels=5):
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape).astype(dtype) for shape in ((2, *size, channels), (kernel, kernel, 1, channels)))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation"),
    [
        ((8, 11), 3, 2, 1),
        ((7, 12), 5, 2, 1),
        ((7, 9), 5, 1, 2),
        ((7, 8), 3, 2, 2),
        ((3, 2), 5, 1, 4),  # of the kernel only the middle lies in the picture
        ((1, 1), 3, 2, 1),
    ],
)
def test_values_and_gradients_equal_the_native_ones(size, kernel, stride, dilation):
    with jax.enable_x64(True):
        x, weights = _operands(size, kernel)
        found = {}
        for implementation in ("native", "shifts"):
            how = {"stride": stride, "dilation": dilation, "implementation": implementation}
            out, pull = jax.vjp(lambda *given, how=how: depthwise.conv(*given, **how), x, weights)
            assert out.shape == (2, -(-size[0] // stride), -(-size[1] // stride), 5)
            found[implementation] = (out, *pull(np.random.default_rng(1).normal(size=out.shape)))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), *found.values())


def test_auto_is_compiled_as_shifts_for_a_cpu_and_as_a_convolution_for_others():
    x, weights = _operands((8, 8), 3, np.float32)

    def loss(x, weights):
        return depthwise.conv(x, weights).sum()

    for platform, native in (("cpu", False), ("cuda", True)):
        exported = jax.export.export(jax.jit(jax.grad(loss, (0, 1))), platforms=[platform])(x, weights)
        assert ("stablehlo.convolution" in exported.mlir_module()) == native


def test_half_precision_adds_in_float32():
    x, weights = _operands((16, 16), 5, np.float32, channels=3)
    rounded = [jnp.asarray(one, jnp.bfloat16) for one in (x, weights)]
    out, pull = jax.vjp(lambda *given: depthwise.conv(*given, implementation="shifts"), *rounded)
    gradients = pull(jnp.ones_like(out))
    assert {one.dtype for one in (out, *gradients)} == {jnp.dtype(jnp.bfloat16)}
    wide, pull = jax.vjp(lambda *given: depthwise.conv(*given), *(one.astype(jnp.float32) for one in rounded))
    for ours, exact in zip((out, *gradients), (wide, *pull(jnp.ones_like(wide))), strict=True):
        np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=2**-8, atol=2**-8)


def test_an_unknown_implementation_is_named():
    with pytest.raises(ValueError, match="implementation='fast': expected one of auto, native, shifts"):
        depthwise.conv(*_operands((4, 4), 3), implementation="fast")
