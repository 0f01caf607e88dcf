"""PyTorch checkpoints to Flax trees and back, exactly; every mismatch in one error."""

import golden
import handmade_checkpoints as handmade
import jax
import numpy as np
import pytest
import tiny_runs
from ml_collections import ConfigDict

from dakd_jax.basics.errors import UserError
from dakd_jax.models.backbones.drn import PUBLISHED
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter, blank_segmenter
from dakd_jax.models.weight_files import pretrained, torch_files
from dakd_jax.stages import weights

TINY = Segmenter(arch="drn_d_22", num_classes=19, width=0.05)


def numbers(model=TINY, seed=1):
    """A segmenter's variables, every tensor different."""
    rng = np.random.default_rng(seed)

    def fill(leaf):
        if leaf.dtype.kind == "i":
            return rng.integers(1, 1000, leaf.shape).astype(leaf.dtype)
        return rng.standard_normal(leaf.shape).astype(leaf.dtype)

    return jax.tree.map(fill, blank_segmenter(model))


def blank_discriminator(width):
    shapes = jax.eval_shape(lambda: Discriminator(width=width).init(jax.random.key(0), np.zeros((1, 32, 32, 19))))
    return jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes["params"])


def state_dict(model=TINY, seed=1):
    return pretrained.to_state_dict(numbers(model, seed))


def assert_same_tree(some, others):
    assert jax.tree.structure(some) == jax.tree.structure(others)
    for a, b in zip(jax.tree.leaves(some), jax.tree.leaves(others), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


def written(path, tensors):
    torch_files.write(path, tensors)
    return path


# Whole segmenters


@pytest.mark.parametrize("model", [golden.STUDENT, golden.TEACHER], ids=["student", "teacher"])
def test_golden_weights_go_through_flax_and_back(golden_dir, tmp_path, model):
    which = "student" if model is golden.STUDENT else "teacher"
    original = golden.state_dict(golden_dir, which)
    variables = pretrained.from_state_dict(original, blank_segmenter(model), name=which, published=PUBLISHED)
    pretrained.save_segmenter(tmp_path / "x.pth", variables, PUBLISHED)
    found = torch_files.read(tmp_path / "x.pth")
    used = {name for name in original if not name.startswith(("up1", "up2"))}
    assert set(found) - {"up1.weight", "up2.weight"} == used
    for name in used:
        assert found[name].dtype == original[name].dtype, name
        np.testing.assert_array_equal(found[name], original[name], err_msg=name)
    again, kind = pretrained.load_segmenter(tmp_path / "x.pth", blank_segmenter(model), published=PUBLISHED)
    assert kind == "segmenter"
    assert_same_tree(again, variables)


@pytest.mark.parametrize("which", ["D1", "D2"])
def test_golden_discriminators_go_through_flax_and_back(golden_dir, tmp_path, which):
    original = golden.state_dict(golden_dir, which)
    params = pretrained.from_state_dict(original, {"params": blank_discriminator(1.0)}, name=which)["params"]
    found = torch_files.read(written(tmp_path / "d.pth", pretrained.to_state_dict({"params": params})))
    for name, array in original.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert_same_tree(pretrained.from_state_dict(found, {"params": params}, name=which)["params"], params)


def test_pytorch_reads_what_is_written(tmp_path):
    torch = pytest.importorskip("torch", reason="only this check needs PyTorch")
    variables = numbers()
    pretrained.save_segmenter(tmp_path / "x.pth", variables, PUBLISHED)
    found = torch.load(tmp_path / "x.pth", weights_only=True)
    for name, array in pretrained.to_state_dict(variables).items():
        np.testing.assert_array_equal(found[name].numpy(), array)
    # The unused upsampling: bilinear and the same for every class, as the released code fixes it.
    kernel = found["up1.weight"]
    assert kernel.shape == (19, 1, 16, 16)
    upsampled = torch.nn.functional.conv_transpose2d(torch.ones(1, 19, 5, 5), kernel, stride=8, padding=4, groups=19)[
        ..., 8:-8, 8:-8
    ]
    np.testing.assert_allclose(upsampled.numpy(), 1.0, rtol=1e-6)


@pytest.mark.parametrize("kind", ["zip", "stream"])
def test_new_and_old_formats(tmp_path, kind):
    tensors = state_dict()
    path = tmp_path / "x.pth"
    if kind == "zip":
        torch_files.write(path, tensors)
    else:
        tree = {name: handmade.plain(str(i), array) for i, (name, array) in enumerate(tensors.items())}
        path.write_bytes(handmade.stream_bytes(tree))
    assert_same_tree(weights.load(path, TINY), numbers())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_whole_pickled_module(tmp_path, legacy):
    torch = pytest.importorskip("torch", reason="a pickled module is made with PyTorch")
    root = torch.nn.Module()
    for name, array in state_dict().items():
        *folders, leaf = name.split(".")
        module = root
        for folder in folders:
            if folder not in module._modules:
                module.add_module(folder, torch.nn.Module())
            module = module._modules[folder]
        value = torch.from_numpy(np.ascontiguousarray(array)) if array.ndim else torch.tensor(array.item())
        if leaf in ("running_mean", "running_var", "num_batches_tracked"):
            module.register_buffer(leaf, value)
        else:
            module.register_parameter(leaf, torch.nn.Parameter(value))
    torch.save(root, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    assert_same_tree(weights.load(tmp_path / "x.pth", TINY), numbers())


# Trunks


def trunk(seed=2):
    """An ImageNet trunk as released: no 'base.', a classifier, no counts."""
    tensors = {
        name.removeprefix("base."): array
        for name, array in state_dict(seed=seed).items()
        if name.startswith("base.") and not name.endswith("num_batches_tracked")
    }
    rng = np.random.default_rng(0)
    return tensors | {"fc.weight": rng.random((1000, 26, 1, 1), np.float32), "fc.bias": np.zeros(1000, np.float32)}


def test_a_trunk_fills_the_trunk_and_leaves_the_heads(tmp_path):
    start = numbers(seed=1)
    found, kind = pretrained.load_segmenter(written(tmp_path / "t.pth", trunk()), start, published=PUBLISHED)
    assert kind == "trunk"
    ours, before, theirs = (pretrained.to_state_dict(v) for v in (found, start, numbers(seed=2)))
    for name in ours:
        kept = name.startswith("seg") or name.endswith("num_batches_tracked")
        np.testing.assert_array_equal(ours[name], (before if kept else theirs)[name], err_msg=name)


def test_a_trunk_is_no_finished_network(tmp_path):
    path = written(tmp_path / "t.pth", trunk())
    with pytest.raises(UserError, match="t.pth holds a trunk without segmentation heads"):
        weights.load(path, TINY)


# Mistakes


def test_everything_that_does_not_fit_is_in_one_error(tmp_path):
    tensors = state_dict()
    tensors["base.layer9.0.weight"] = np.zeros((1, 1), np.float32)
    tensors["extra"] = np.zeros(1, np.float32)
    del tensors["base.layer4.0.conv1.weight"], tensors["seg1.bias"]
    tensors["base.layer0.0.weight"] = np.zeros((4, 3, 5, 5), np.float32)
    with pytest.raises(UserError) as caught:
        weights.load(written(tmp_path / "x.pth", tensors), TINY)
    message = str(caught.value)
    assert "\n" not in message and str(tmp_path / "x.pth") in message
    for part in (
        "2 unknown names: base.layer9.0.weight, extra",
        "2 missing names: ",
        "base.layer4.0.conv1.weight",
        "seg1.bias",
        "1 wrong shapes: base.layer0.0.weight",
        "(4, 3, 5, 5)",
        "(4, 3, 7, 7)",
        "Choose the architecture that",
    ):
        assert part in message
    assert "width" not in message and "class count" not in message  # its names do not fit


@pytest.mark.parametrize(
    ("model", "part"),
    [
        (
            Segmenter(arch="drn_d_22", num_classes=7, width=0.05),
            r"seg1.*\(19, 26, 1, 1\).*\(7, 26, 1, 1\).*Its names fit: choose the class count",
        ),
        (Segmenter(arch="drn_d_22", num_classes=19, width=0.1), r"wrong shapes.*Its names fit: choose the width that"),
        (Segmenter(arch="drn_d_22", num_classes=7, width=0.1), r"wrong shapes.*choose the width and class count that"),
        (Segmenter(arch="drn_d_38", num_classes=19, width=0.05), r"missing names: .*\.\.\."),
        (Segmenter(arch="drn_d_24", num_classes=19, width=0.05), r"missing names: .*base.layer7.3"),
        (Segmenter(arch="drn_c_26", num_classes=19, width=0.05), r"unknown names.*missing names"),
    ],
    ids=["classes", "width", "both", "drn_d_38", "drn_d_24", "drn_c_26"],
)
def test_another_network_is_one_line(tmp_path, model, part):
    path = written(tmp_path / "x.pth", state_dict())
    with pytest.raises(UserError, match=part) as caught:
        weights.load(path, model)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1500


def test_a_discriminator_is_no_segmenter(tmp_path):
    written(tmp_path / "d.pth", pretrained.to_state_dict({"params": blank_discriminator(0.05)}))
    with pytest.raises(UserError, match="d.pth does not fit"):
        weights.load(tmp_path / "d.pth", TINY)


def test_other_floats_are_taken_in_the_network_s_precision(tmp_path):
    halves = {n: a.astype(np.float16) if a.dtype.kind == "f" else a for n, a in state_dict().items()}
    found = weights.load(written(tmp_path / "x.pth", halves), TINY)
    for leaf, like in zip(jax.tree.leaves(found), jax.tree.leaves(numbers()), strict=True):
        assert leaf.dtype == like.dtype
        if leaf.dtype.kind == "f":
            np.testing.assert_array_equal(leaf, like.astype(np.float16).astype(np.float32))


# Where weights come from


def test_start_is_random_by_seed_and_role_then_the_named_file(tmp_path):
    bare = ConfigDict({"pretrained": ""})
    keys = ((0, "student"), (1, "student"), (0, "teacher"))
    with tiny_runs.quick_compilation():
        starts = [weights.start(TINY, bare, *key) for key in keys]
        assert_same_tree(starts[0], weights.start(TINY, bare, 0, "student"))
        assert len(set(map(weights.content_hash, starts))) == 3
        bare.pretrained = str(written(tmp_path / "t.pth", trunk()))
        named = pretrained.to_state_dict(weights.start(TINY, bare, 0, "student"))
    np.testing.assert_array_equal(named["base.layer0.0.weight"], trunk()["layer0.0.weight"])
    np.testing.assert_array_equal(named["seg1.weight"], pretrained.to_state_dict(starts[0])["seg1.weight"])


def test_content_hash_does_not_change_with_the_file(tmp_path):
    variables = numbers()
    weights.save(tmp_path / "model.pth", variables)
    assert weights.content_hash(weights.load(tmp_path, TINY)) == weights.content_hash(variables)
    assert weights.hash_file(tmp_path) == weights.hash_file(tmp_path / "model.pth")
