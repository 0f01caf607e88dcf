"""The forms of a convolution that are not XLA's own give what XLA's own gives, values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dakd_jax.deploy.export.folding import folded
from dakd_jax.models import convolution
from dakd_jax.models.convolution import gradients, pointwise, winograd

# (height, width), channels in and out, size, stride, dilation, padding. Odd sides, and sides smaller than the kernel.
WINOGRAD = [((6, 8), 3, 4, 3, 1, 1, 1), ((9, 5), 2, 3, 3, 1, 4, 4), ((1, 3), 2, 2, 3, 1, 2, 2)]
ROWS = [
    ((6, 9), 3, 16, 7, 1, 1, 3), ((6, 9), 5, 64, 4, 2, 1, 2), ((7, 8), 3, 40, 3, 2, 1, 1),
    ((5, 21), 2, 200, 3, 1, 1, 0), ((9, 9), 2, 9, 2, 3, 1, 0),
]  # fmt: skip
PHASES = [((6, 9), 3, 5, 4, 2, 1, 2), ((7, 8), 3, 4, 3, 2, 1, 1), ((7, 6), 2, 3, 5, 2, 1, 1)]
TAPS = [((7, 9), 3, 4, 3, 1, 2, 2), ((9, 6), 2, 3, 5, 1, 3, 6)]


def _operands(side, inputs, outputs, size, stride, dilation, padding, batch=2, dtype=np.float64):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(batch, *side, inputs)).astype(dtype)
    kernel = draw.normal(size=(size, size, inputs, outputs)).astype(dtype)
    how = {"window_strides": (stride,) * 2, "padding": ((padding,) * 2,) * 2, "rhs_dilation": (dilation,) * 2}
    xlas = functools.partial(jax.lax.conv_general_dilated, **how, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    out, pull = jax.vjp(xlas, x, kernel)
    gradient = draw.normal(size=out.shape).astype(dtype)
    return x, kernel, gradient, out, *pull(gradient)


def _same(found, expected):
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("case", WINOGRAD, ids=str)
def test_winograd(case):
    with jax.enable_x64(True):
        x, kernel, gradient, out, _, of_kernel = _operands(*case)
        _same(winograd.forward(x, kernel, case[5]), out)
        _same(winograd.kernel_gradient(x, gradient, case[5]), of_kernel)


@pytest.mark.parametrize("case", [*ROWS, *TAPS], ids=str)
def test_kernel_gradient_by_rows_and_by_taps(case):
    with jax.enable_x64(True):
        x, _, gradient, _, _, of_kernel = _operands(*case)
        _, _, _, size, stride, dilation, padding = case
        if case in ROWS:
            found = gradients.of_kernel_by_rows(x, gradient, size, stride, padding)
        else:
            found = gradients.of_kernel_by_taps(x, gradient, size, dilation, padding)
        _same(found, of_kernel)


@pytest.mark.parametrize("case", PHASES, ids=str)
def test_input_gradient_by_phases(case):
    with jax.enable_x64(True):
        x, kernel, gradient, _, of_x, _ = _operands(*case)
        _same(gradients.of_input_by_phases(gradient, jnp.asarray(kernel), case[6], x.shape), of_x)


POINTWISE = [((6, 9), 3, 5, 1, 1, 1, 0), ((7, 8), 4, 3, 1, 2, 1, 0), ((5, 5), 2, 6, 1, 3, 1, 0)]


@pytest.mark.parametrize("case", POINTWISE, ids=str)
def test_pointwise(case):
    with jax.enable_x64(True):
        x, kernel, gradient, out, of_x, of_kernel = map(jnp.asarray, _operands(*case))
        _same(pointwise.forward(x, kernel, case[4]), out)
        _same(pointwise.of_input(gradient, kernel, case[4], case[0]), of_x)
        _same(pointwise.of_kernel(x, gradient, case[4]), of_kernel)


# One of each form, large enough for it to be chosen.
CHOSEN = {
    "winograd": ((32, 32), 128, 128, 3, 1, 2, 2),
    "rows": ((128, 128), 16, 64, 3, 1, 1, 1),
    "rows and phases": ((128, 128), 32, 64, 4, 2, 1, 2),
    "taps": ((128, 128), 40, 24, 3, 1, 2, 2),
    "pointwise": ((6, 8), 5, 7, 1, 1, 1, 0),  # of any size
}
LOOPS, CONVOLVES = {"winograd", "rows", "rows and phases"}, {"rows", "rows and phases", "taps"}  # on a CPU


@pytest.mark.parametrize("name", CHOSEN)
def test_a_layer_gives_what_xlas_convolution_gives(name):
    """In float32, by the form that the compiled program has."""
    case = CHOSEN[name]
    x, kernel, gradient, out, of_x, of_kernel = _operands(*case, batch=1, dtype=np.float32)
    _, _, _, _, stride, dilation, padding = case

    @jax.jit
    def ours(x, kernel, gradient):
        layer = functools.partial(_layer, stride=stride, dilation=dilation, padding=padding)
        found, pull = jax.vjp(layer, x, kernel)
        return found, *pull(gradient)

    for found, expected in zip(ours(x, kernel, gradient), (out, of_x, of_kernel), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    whole = jax.make_jaxpr(ours)(x, kernel, gradient)
    assert "platform_index" in str(whole)
    for platform, expected in (("cpu", True), ("cuda", False)):
        lowered = ours.trace(x, kernel, gradient).lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.while" in lowered) == (expected and name in LOOPS), platform
        assert ("stablehlo.convolution" in lowered) == (not expected or name in CONVOLVES), platform


def test_an_export_holds_xlas_convolution_with_batch_norm_in_it():
    """Whatever the platform: other forms are for training, and what they are made of hides the convolution."""
    x, kernel, *_ = _operands(*CHOSEN["winograd"], batch=1, dtype=np.float32)
    gain = np.linspace(1, 2, kernel.shape[-1], dtype=np.float32)
    layer = functools.partial(_layer, kernel=kernel, stride=1, dilation=2, padding=2)
    simpler = jax.make_jaxpr(folded(lambda x: layer(x) * gain, native=False))(x)
    assert {equation.primitive.name for equation in simpler.eqns} - {"platform_index"} == {"conv_general_dilated"}
    found, expected = jax.core.eval_jaxpr(simpler.jaxpr, simpler.consts, x)[0], layer(x) * gain
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def _layer(x, kernel, *, stride, dilation, padding):
    numbers = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))
    how = {"rhs_dilation": (dilation,) * 2, "lhs_dilation": (1, 1), "dimension_numbers": numbers}
    return convolution.conv_general_dilated(x, kernel, (stride,) * 2, ((padding,) * 2,) * 2, **how)


def test_bfloat16_is_rounded_once():
    """Winograd's sums are made in float32, of operands and into outputs that are rounded."""
    x, kernel, gradient, *_ = _operands(*CHOSEN["winograd"], batch=1, dtype=np.float32)
    x, kernel, gradient = (jnp.asarray(one, jnp.bfloat16) for one in (x, kernel, gradient))
    found, pull = jax.vjp(functools.partial(_layer, stride=1, dilation=2, padding=2), x, kernel)
    wide = [one.astype(jnp.float32) for one in (x, kernel, gradient)]
    expected, wide_pull = jax.vjp(functools.partial(_layer, stride=1, dilation=2, padding=2), *wide[:2])
    pairs = [(found, expected), *zip(pull(gradient), wide_pull(wide[2]), strict=True)]
    for rounded, exact in pairs:
        assert rounded.dtype == jnp.bfloat16
        np.testing.assert_allclose(rounded.astype(jnp.float32), exact, rtol=2**-8, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("how", [{"feature_group_count": 2}, {"lhs_dilation": (2, 2)}, {"padding": "SAME"}])
def test_other_convolutions_are_xlas(how):
    draw = np.random.default_rng(0)
    x, kernel = (
        draw.normal(size=(1, 128, 128, 16)),
        draw.normal(size=(3, 3, 16 // how.get("feature_group_count", 1), 64)),
    )
    numbers = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))
    given = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "rhs_dilation": (1, 1), "lhs_dilation": (1, 1)} | how
    given["dimension_numbers"] = numbers
    found = convolution.conv_general_dilated(x, kernel, **given)
    expected = jax.lax.conv_general_dilated(x, kernel, given.pop("strides"), given.pop("padding"), **given)
    np.testing.assert_array_equal(found, expected)
