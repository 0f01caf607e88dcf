"""Networks against the released PyTorch code, in float64."""

import math

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import COMMITTED_GOLDEN

from dakd_jax.models import convolution, preprocessing, resizing, segmenter
from dakd_jax.models.backbones.drn import ARCHITECTURES, DRN
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter, log_probabilities

# torch's own float32 against float64, from golden/README.md; values reach 47.
FLOAT32_GAP = {"student": 8e-5, "teacher_cd": 2.4e-4, "teacher_f7": 2.4e-4}


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def _apply(model, variables, images, train):
    statistics = "batch" if train else "running"
    return jax.jit(lambda v, x: segmenter.forward(model, v, x, statistics=statistics))(variables, images)


@pytest.mark.parametrize("network", ["student", "teacher_cd", "teacher_f7"])
@pytest.mark.parametrize("size", ["2x64x128", "1x128x256", "1x100x150"])
def test_forward_equals_reference(golden_dir, network, size, monkeypatch):
    """One of them in the forms of models/convolution, which take seconds to compile; the others by XLA's."""
    if (network, size) != ("student", "2x64x128"):
        monkeypatch.setattr(convolution, "_LEAST_WORK", math.inf)
    if golden_dir == COMMITTED_GOLDEN and size == "1x128x256":
        pytest.skip("this size is in the full set of reference numbers only")
    stored = np.load(golden_dir / f"forward_{network}_{size}.npz")
    model = golden.NETWORKS[network]
    variables = golden.segmenter(golden_dir, model)
    images = stored["image_u8"]
    full = tuple(8 * n for n in stored["eval/logits1"].shape[2:])
    for mode in ("eval", "train"):
        heads, updates = _apply(model, variables, images, mode == "train")
        gap = FLOAT32_GAP[network]
        np.testing.assert_allclose(heads.auxiliary, golden.nhwc(stored[f"{mode}/logits1"]), atol=gap, rtol=0)
        np.testing.assert_allclose(heads.main, golden.nhwc(stored[f"{mode}/logits2"]), atol=gap, rtol=0)
        assert tuple(stored[f"{mode}/out_hw"]) == full
        for level, logits in ((1, heads.auxiliary), (2, heads.main)):
            log_probs = golden.nchw(log_probabilities(logits, full, 8))
            np.testing.assert_allclose(*golden.matched(stored, f"{mode}/logp{level}", log_probs), atol=gap, rtol=0)
        if f"{mode}/margin2" not in stored:
            continue
        prediction = np.argmax(log_probabilities(heads.main, full, heads.main_stride), -1)
        sure = stored[f"{mode}/margin2"] > 2 * gap
        assert (prediction == stored[f"{mode}/argmax2"])[sure].all() and sure.mean() > 0.99
    _assert_running_statistics(stored, updates, gap)


def _assert_running_statistics(stored, batch_stats, gap):
    """Means and the unbiased variances after one training forward, to the float32 of the file."""
    ours = golden.named({"batch_stats": batch_stats})
    names = [n.removeprefix("train/after/") for n in stored if n.startswith("train/after/")]
    assert sorted(names) == sorted(ours)
    for name in names:
        expected = stored[f"train/after/{name}"]
        np.testing.assert_allclose(ours[name], expected, rtol=gap, atol=gap * np.abs(expected).max())


@pytest.mark.parametrize("network", ["student", "teacher_cd"])
def test_every_layer_equals_reference(golden_dir, network):
    stored = np.load(golden_dir / f"layers_{network}_1x32x64.npz")
    model = golden.NETWORKS[network]
    variables = {c: tree["base"] for c, tree in golden.segmenter(golden_dir, model).items() if "base" in tree}
    x = preprocessing.bgr_minus_mean(stored["image_u8"], jnp.float64)
    layers = DRN(model.arch).apply(variables, x, train=False)
    for i, ours in enumerate(layers):
        ours, expected = golden.matched(stored, f"eval/layer{i}", golden.nchw(ours.array))
        np.testing.assert_allclose(ours, expected, atol=2e-5 * max(1, np.abs(expected).max()), err_msg=f"layer{i}")


def test_upsampling_and_its_gradient_equal_reference(golden_dir):
    stored = np.load(golden_dir / "upsample.npz")
    ours, pullback = jax.vjp(lambda x: resizing.upsample_aligned(x, 8), jnp.asarray(golden.nhwc(stored["x"])))
    np.testing.assert_allclose(ours, golden.nhwc(stored["y"]), atol=1e-6)
    (gradient,) = pullback(jnp.asarray(golden.nhwc(stored["gy"])))
    np.testing.assert_allclose(gradient, golden.nhwc(stored["gx"]), atol=2e-5)
    one_row = resizing.upsample_aligned(jnp.asarray(golden.nhwc(stored["x1"])), 8)
    np.testing.assert_allclose(one_row, golden.nhwc(stored["y1"]), atol=1e-6)


def test_half_pixel_resize_equals_a_plain_loop():
    x = np.random.default_rng(0).normal(size=(1, 3, 5, 2))
    ours = resizing.resize_half_pixel(jnp.asarray(x), (7, 4))
    for i in range(7):
        for j in range(4):
            y = np.clip((i + 0.5) * 3 / 7 - 0.5, 0, 2)
            z = np.clip((j + 0.5) * 5 / 4 - 0.5, 0, 4)
            (a, b), (c, d) = (int(y), min(int(y) + 1, 2)), (int(z), min(int(z) + 1, 4))
            top = x[0, a, c] * (1 - z + c) + x[0, a, d] * (z - c)
            bottom = x[0, b, c] * (1 - z + c) + x[0, b, d] * (z - c)
            np.testing.assert_allclose(ours[0, i, j], top * (1 - y + a) + bottom * (y - a), rtol=1e-6)


@pytest.mark.parametrize("which", ["D1", "D2"])
def test_discriminator_equals_reference(golden_dir, which):
    stored = np.load(golden_dir / "discriminator.npz")
    params = golden.discriminator(golden_dir, which)
    for size in ("32x64", "64x128", "72x128", "104x152"):
        logits = golden.nhwc(stored[f"in_logits_{size}"]).repeat(8, 1).repeat(8, 2)
        ours = Discriminator().apply({"params": params}, jax.nn.softmax(jnp.asarray(logits)))
        np.testing.assert_allclose(ours, golden.nhwc(stored[f"{which}/out_{size}"]), atol=2e-5)


def _parameters(shapes):
    return sum(int(np.prod(s.shape)) for s in jax.tree.leaves(shapes["params"]))


def _shapes(arch, width=1.0):
    model = Segmenter(arch=arch, num_classes=19, width=width)
    return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))


def test_sizes_of_the_paper():
    assert round(_parameters(_shapes("drn_d_22")) / 1e6, 2) == 15.90
    assert round(_parameters(_shapes("drn_d_38")) / 1e6, 2) == 26.01
    discriminator = jax.eval_shape(lambda: Discriminator().init(jax.random.key(0), jnp.zeros((1, 32, 32, 19))))
    assert _parameters(discriminator) == 2_781_121


# Parameters of the trunks without classifier, counted on the published PyTorch definitions.
TRUNKS = {
    "drn_c_26": 20_613_584, "drn_c_42": 30_721_744, "drn_c_58": 40_029_008, "drn_d_22": 15_880_752,
    "drn_d_24": 20_601_392, "drn_d_38": 25_988_912, "drn_d_40": 30_709_552, "drn_d_54": 35_296_176,
    "drn_d_56": 40_016_816, "drn_d_105": 54_288_304, "drn_d_107": 59_008_944,
}  # fmt: skip


@pytest.mark.parametrize("arch", sorted(TRUNKS))
def test_every_architecture_has_its_published_size_and_stride(arch):
    model = DRN(arch)
    x = jnp.zeros((1, 64, 96, 3))
    shapes, variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, train=False))
    assert _parameters(variables) == TRUNKS[arch]
    assert [s.array.shape[1:3] for s in shapes[4:]] == [(8, 12)] * 5
    assert shapes[8].array.shape[-1] == 512


def test_the_tiny_network_is_tiny_and_has_stride_dilation_and_taps_of_the_family():
    assert set(ARCHITECTURES) == {"tiny", *TRUNKS}
    assert _parameters(_shapes("tiny")) == 5_074
    layers = jax.eval_shape(
        lambda: DRN("tiny").init_with_output(jax.random.key(0), jnp.zeros((1, 64, 96, 3)), train=False)
    )
    assert [s.array.shape[1:3] for s in layers[0][4:]] == [(8, 12)] * 5
    model = Segmenter(arch="tiny", num_classes=19, auxiliary_tap="layer7")
    heads = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))[0]
    assert heads.main.shape == heads.auxiliary.shape == (1, 4, 4, 19) and heads.features["layer7"].shape == (1, 4, 4, 8)


def test_width_multiplier_scales_channels():
    shapes = _shapes("drn_d_22", width=0.25)
    assert shapes["params"]["base"]["layer8"]["0"]["kernel"].shape == (3, 3, 128, 128)
    assert _parameters(shapes) < _parameters(_shapes("drn_d_22")) / 14


def test_output_of_odd_sizes_is_cropped_to_the_picture():
    logits = jnp.arange(13 * 19 * 2.0).reshape(1, 13, 19, 2)
    whole, cropped = (log_probabilities(logits, size, 8) for size in ((104, 152), (100, 150)))
    assert cropped.shape == (1, 100, 150, 2)
    np.testing.assert_array_equal(cropped, whole[:, :100, :150])
