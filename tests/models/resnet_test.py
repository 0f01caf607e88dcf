"""ResNets against torchvision's, with random weights, in float64; dilated ones against those that stride."""

import hashlib
import pathlib

import golden
import jax
import numpy as np
import pytest
import tiny_runs
import torch

from dakd_jax.basics.errors import UserError
from dakd_jax.models import segmenter
from dakd_jax.models.backbones import resnet
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.stages import weights

# torchvision 0.28.0 wants these two of the operators that its compiled part would bring; nothing here calls them.
_library = torch.library.Library("torchvision", "DEF")
for _name in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", "qnms(Tensor dets) -> Tensor"):
    _library.define(_name)

import torchvision  # noqa: E402


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True), tiny_runs.quick_compilation():  # compiling is most of the time: the pictures are small
        yield


def wide(tree):
    """In numpy: jax would compile a program for every shape."""
    return jax.tree.map(lambda a: np.asarray(a, np.float64 if a.dtype == np.float32 else None), tree)


def pair(arch, dilated, tmp_path):
    """(theirs with random weights and statistics, our module, its variables from their file)."""
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, arch)(replace_stride_with_dilation=dilated)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    model = Segmenter(arch, 5, output_stride=32 // 2 ** sum(dilated))
    blank = segmenter.blank_segmenter(model)
    return theirs.double(), model, wide(weights.read_start(str(tmp_path / "theirs.pth"), model, blank))


def their_layers(net, x):
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    found = []
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        found.append(x)
    return found


# torchvision's basic blocks cannot be dilated.
@pytest.mark.parametrize(("arch", "dilated"), [("resnet34", [False] * 3), ("resnet50", [False, True, True])])
def test_layers_equal_torchvision_s(arch, dilated, tmp_path):
    net, model, variables = pair(arch, dilated, tmp_path)
    x = np.random.default_rng(0).normal(size=(2, 49, 70, 3))
    for train in (False, True):
        with torch.no_grad():
            theirs = their_layers(net.train(train), torch.tensor(golden.nchw(x)))
        run = jax.jit(lambda v, x, train=train: model.apply(v, x, train=train, method="heads", mutable=["batch_stats"]))
        heads, updates = run(variables, x)
        for i, expected in enumerate(theirs, 1):
            np.testing.assert_allclose(golden.nchw(heads.features[f"layer{i}"]), expected, rtol=1e-9, atol=1e-10)
    state = net.state_dict()
    for name, value in golden.named({"batch_stats": updates["batch_stats"]}).items():
        np.testing.assert_allclose(value, state[name.removeprefix("base.")], rtol=1e-9, atol=1e-10, err_msg=name)


def drawn(blank):
    """Kernels of a fitting size, and statistics of a batch norm that leaves its input as it is."""
    draw = np.random.default_rng(0)

    def fill(path, leaf):
        if path[-1].key == "kernel":
            return draw.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape)
        return np.full(leaf.shape, float(path[-1].key in ("scale", "var")))

    return jax.tree_util.tree_map_with_path(fill, blank)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_a_dilated_network_sees_between_what_the_striding_one_sees(arch):
    """The features of stride 8, taken at every fourth pixel, are those of stride 32."""
    striding, dilated = (Segmenter(arch, 5, width=0.125, output_stride=stride) for stride in (32, 8))
    variables = drawn(segmenter.blank_segmenter(striding))
    x = np.random.default_rng(0).normal(size=(1, 65, 97, 3))
    coarse, fine = (
        jax.jit(lambda v, x, model=model: model.apply(v, x, train=False, method="heads"))(variables, x).features
        for model in (striding, dilated)
    )
    np.testing.assert_allclose(fine["layer4"][:, ::4, ::4], coarse["layer4"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fine["layer3"][:, ::2, ::2], coarse["layer3"], rtol=1e-9, atol=1e-12)


def test_imagenet_is_found_in_the_usual_caches_by_name_and_checksum(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with pytest.raises(
        UserError, match=r"no ImageNet weights of resnet50 .*resnet50-11ad3fa6.pth or resnet50-0676ba61"
    ):
        resnet.find_imagenet("resnet50")

    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()
    snapshot = tmp_path / "hf" / "hub" / "models--timm--resnet50.a1_in1k" / "snapshots" / "abc"
    blob = snapshot.parents[1] / "blobs" / digest
    for folder in (snapshot, blob.parent):
        folder.mkdir(parents=True)
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blob)
    assert resnet.find_imagenet("resnet50") == snapshot / "model.safetensors"
    with pytest.raises(UserError, match="resnet18"):
        resnet.find_imagenet("resnet18")

    cached = tmp_path / "torch" / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    with pytest.raises(
        UserError, match=f"resnet50-0676ba61.pth: its sha256 begins with {digest[:8]}, expected 0676ba61"
    ):
        resnet.find_imagenet("resnet50")
    spec = resnet.ResNetSpec((3, 4, 6, 3), True, (digest[:8],))
    monkeypatch.setitem(resnet.ARCHITECTURES, "resnet50", spec)
    right = pathlib.Path(cached.with_name(f"resnet50-{digest[:8]}.pth"))
    cached.rename(right)
    assert resnet.find_imagenet("resnet50") == right
