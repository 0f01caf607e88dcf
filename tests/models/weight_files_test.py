"""Files of weights as people have them: which part is the network, by its names; safetensors and npz; hostile ones."""

import json
import os
import struct
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from dakd_jax.basics import atomic_files
from dakd_jax.basics.errors import UserError
from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models import weight_files
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.models.weight_files import pretrained, torch_files
from dakd_jax.stages import weights

torch = pytest.importorskip("torch", reason="files as people have them are made with PyTorch")

TINY = Segmenter(arch="tiny", num_classes=19)


def network(seed=0, **changes):
    """PyTorch's names to arrays, different for each seed."""
    rng = np.random.default_rng(seed)
    blank = segmenter_module.blank_segmenter(Segmenter(**{"arch": "tiny", "num_classes": 19, **changes}))
    state_dict = pretrained.to_state_dict(blank)
    return {name: np.asarray(rng.standard_normal(a.shape)).astype(a.dtype) for name, a in state_dict.items()}


def behind(prefix, tensors):
    return {prefix + name: array for name, array in tensors.items()}


A, B = network(0), network(1)
TRUNK = {name.removeprefix("base."): array for name, array in A.items() if name.startswith("base.")}
JUDGE = {"conv1.weight": np.zeros((3, 3), np.float32), "conv1.bias": np.zeros(3, np.float32)}
OPTIMIZER = {"state": {0: {"exp_avg": np.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


def as_torch(tree):
    if isinstance(tree, dict):
        return {key: as_torch(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(map(as_torch, tree))
    return torch.from_numpy(np.array(tree)) if isinstance(tree, np.ndarray) else tree


def saved(path, tree):
    torch.save(as_torch(tree), path)
    return path


def loaded(path, model=TINY):
    return pretrained.to_state_dict(weights.load(path, model))


def holds(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def refused(path, *parts, model=TINY, most=1500):
    with pytest.raises(UserError) as caught:
        weights.load(path, model)
    line = str(caught.value)
    assert "\n" not in line and len(line) < most, line
    for part in parts:
        assert part in line, line
    return line


# Wrappers

WRAPPED = {
    **{prefix: behind(prefix, A) for prefix in ("module.", "_orig_mod.", "model.", "net.", "backbone.segmenter.")},
    "nested one way": behind("module._orig_mod.", A),
    "nested the other way": behind("_orig_mod.module.", A),
    "nested with names": behind("model.module.net._orig_mod.", A),
    "inside the network": {
        name.replace("base.", "base.module.").replace("seg1.", "seg1._orig_mod."): array for name, array in A.items()
    },
    **{
        key: {key: A, "epoch": 3, "optimizer": OPTIMIZER}
        for key in ("state_dict", "model_state", "ema", "student", "net_G", "my own")
    },
    "two dictionaries": {"net_G": A, "net_D": JUDGE},
    "Lightning": {
        "state_dict": behind("model.", A) | {"criterion.weight": np.ones(3)},
        "optimizer_states": [OPTIMIZER],
        "hyper_parameters": {"lr": 0.1},
    },
    "deep": {"a": {"b": {"c": {"model_state": behind("module.", A)}}}},
    "a list": [A, OPTIMIZER],
    "averaged": behind("module.", A) | {"n_averaged": np.array(3)},
    "other networks beside it": behind("student.", A) | behind("judge.", JUDGE),
    "a wider one of the same names": {"student": A, "teacher": network(2, width=2.0)},
    "one of other classes": behind("student.", A) | behind("old.", network(2, num_classes=7)),
    "a larger architecture": behind("s.", A) | behind("t.", network(3, arch="drn_d_22", width=0.05)),
    "other dictionaries beside the names": A | {"judge": JUDGE},
    "counts that are lists": {n: np.array([a]) if n.endswith("tracked") else a for n, a in A.items()},
    "names of dots": {"a.b": {"c.d": A}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_the_part_whose_names_fit_is_taken(tmp_path, kind):
    holds(loaded(saved(tmp_path / "x.pth", WRAPPED[kind])), A)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickled_module_with_the_network_somewhere_in_it(tmp_path, legacy):
    root = torch.nn.Module()
    for name, array in (behind("student.", A) | behind("judge.", JUDGE)).items():
        *folders, leaf = name.split(".")
        module = root
        for folder in folders:
            if folder not in module._modules:
                module.add_module(folder, torch.nn.Module())
            module = module._modules[folder]
        module.register_buffer(leaf, torch.from_numpy(np.array(array)))
    torch.save({"epoch": 1, "trainer": root}, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    holds(loaded(tmp_path / "x.pth"), A)


TWO = {
    "dictionaries": ({"model": A, "ema": B}, "model", "ema"),
    "nested": ({"a": {"model": A}, "ema": behind("module.", B)}, "a.model", "ema.module"),
    "prefixes": (behind("student.", A) | behind("teacher.", B), "student", "teacher"),
    "in a dictionary": ({"state_dict": behind("student.", A) | behind("teacher.", B)}, "state_dict.student", "teacher"),
    "at the top": (A | behind("teacher.", B), ".", "teacher"),
}


@pytest.mark.parametrize("kind", TWO)
def test_of_several_that_fit_a_key_picks_one(tmp_path, kind):
    tree, first, second = TWO[kind]
    path = saved(tmp_path / "x.pth", tree)
    refused(path, "x.pth holds 2 networks whose names fit", first, second, f"x.pth#{first}", most=250 + len(str(path)))
    for key, expected in ((first, A), (second, B)):
        holds(loaded(f"{path}#{key}"), expected)
    assert weights.hash_file(f"{path}#{first}") != weights.hash_file(f"{path}#{second}") != weights.hash_file(path)


def test_keys_that_are_not_there_or_do_not_settle_it(tmp_path):
    path = saved(tmp_path / "x.pth", {"state_dict": behind("s.", A) | behind("t.", B), "judge": JUDGE})
    refused(
        f"{path}#nope", "x.pth holds nothing under the key nope; its keys are state_dict.s, state_dict.t, ", "judge"
    )
    refused(f"{path}#state_dict", "2 networks whose names fit: state_dict.s, state_dict.t")
    refused(f"{path}#judge", "#judge does not fit", "In the file: judge.conv1.weight, judge.conv1.bias; wanted: base.")
    refused(f"{path}#", "holds nothing under the key .")
    refused(f"{tmp_path}/none.pth#key", "no checkpoint at")


def test_what_lies_on_the_disk_counts_before_a_key(tmp_path, monkeypatch):
    saved(tmp_path / "x#ema.pth", {"a": A, "b": B})
    holds(loaded(f"{tmp_path}/x#ema.pth#b"), B)
    saved(tmp_path / "x", {"c": A, "c#d": B})
    holds(loaded(f"{tmp_path}/x#c"), A)
    holds(loaded(f"{tmp_path}/x#c#d"), B)
    saved(tmp_path / "x#c", {"e": B})
    holds(loaded(f"{tmp_path}/x#c"), B)
    monkeypatch.setenv("HOME", str(tmp_path))
    holds(loaded("~/x#ema.pth#a"), A)


def test_names_beside_the_network_are_left_out_only_when_it_is_picked(tmp_path):
    path = saved(tmp_path / "x.pth", A | behind("judge.", JUDGE))
    refused(path, "2 unknown names: judge.conv1.weight, judge.conv1.bias", "The key #. after the path")
    holds(loaded(f"{path}#."), A)
    more = saved(tmp_path / "y.pth", A | {"base.layer9.0.weight": np.zeros((1, 1))})
    refused(f"{more}#.", "1 unknown names: base.layer9.0.weight")


@pytest.mark.parametrize(
    "tree",
    [TRUNK, behind("module.", TRUNK), {"model": TRUNK}, behind("encoder.", TRUNK) | behind("head.", JUDGE)],
    ids=["bare", "prefix", "dictionary", "beside a head"],
)
def test_a_trunk_is_found_as_well(tmp_path, tree):
    start = segmenter_module.blank_segmenter(TINY)
    found, kind = pretrained.load_segmenter(saved(tmp_path / "x.pth", tree), start)
    found = pretrained.to_state_dict(found)
    assert kind == "trunk" and not found["seg1.weight"].any()
    holds({name: array for name, array in found.items() if name.startswith("base.")}, behind("base.", TRUNK))


def test_a_segmenter_without_a_head_is_no_trunk(tmp_path):
    broken = {name: array for name, array in A.items() if name != "seg1.bias"}
    with pytest.raises(UserError, match="1 missing names: seg1.bias"):
        pretrained.load_segmenter(saved(tmp_path / "x.pth", broken), segmenter_module.blank_segmenter(TINY))


# Where nothing fits


def test_names_of_the_file_stand_beside_those_that_are_wanted(tmp_path):
    other = {"encoder.stem.weight": np.zeros(3), "encoder.stem.bias": np.zeros(3)}
    line = refused(saved(tmp_path / "x.pth", {"state_dict": other}))
    assert "In the file: state_dict.encoder.stem.weight, state_dict.encoder.stem.bias; wanted: base.layer0.0." in line
    path = saved(tmp_path / "y.pth", behind("model.", network(arch="drn_d_22", width=0.05)))
    line += refused(path, "unknown names: model.base.layer1.1.", "names fit, as model.base.", "in the file for base.")
    assert "width" not in line and "class count" not in line


def test_width_and_classes_are_spoken_of_when_the_names_fit(tmp_path):
    wide = saved(tmp_path / "x.pth", {"ema": network(width=2.0)})
    refused(wide, "wrong shapes: ema.base.", "Its names fit: choose the width that")
    refused(saved(tmp_path / "y.pth", network(num_classes=7)), "Its names fit: choose the class count that")


@pytest.mark.parametrize("name", ["a\nb.weight", "x" * 1900, "\x1b[31m.weight", "é" * 900])
def test_no_name_of_a_file_spoils_the_line(tmp_path, name):
    line = refused(saved(tmp_path / "x.pth", {name + str(i): np.zeros(1) for i in range(9)}), "does not fit")
    assert line.isprintable()


def test_a_file_without_names_is_one_line(tmp_path):
    refused(saved(tmp_path / "x.pth", OPTIMIZER), "x.pth holds no tensors that have names")


# safetensors


def safe(path, tensors):
    safetensors.numpy.save_file({name: np.array(array, order="C") for name, array in tensors.items()}, path)
    return path


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["x.safetensors", "x.pth", "x"])
def test_safetensors_of_every_precision_by_content(tmp_path, dtype, name):
    cast = {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in A.items()}
    expected = {n: a.astype(A[n].dtype) for n, a in cast.items()}
    holds(loaded(safe(tmp_path / name, behind("model.", cast))), expected)


def raw(path, header, body=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + body)
    return path


def one(start, end, dtype="F32", shape=(2,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


TWICE = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
HOSTILE = {
    "a header longer than the file": ({"w": one(0, 8)}, b"\0" * 8, 2**62),
    "overlapping": ({"v": one(0, 8), "w": one(0, 8)}, b"\0" * 8),
    "a gap": ({"v": one(0, 8), "w": one(12, 20)}, b"\0" * 20),
    "outside": ({"w": one(0, 800)}, b"\0" * 8),
    "backwards": ({"w": one(8, 0)}, b"\0" * 8),
    "cut": ({"w": one(0, 8)}, b"\0" * 4),
    "too large a product": ({"w": one(0, 8, shape=(2**62, 16))}, b"\0" * 8),
    "nested": (b'{"w":' + b"[" * 100_000,),
    "no JSON": (b"{" * 100,),
    "twice": (TWICE, b"\0" * 4),
    "nothing in it": ({},),
    "metadata alone": ({"__metadata__": {"a": "b"}},),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_header_is_one_line(tmp_path, kind):
    tracemalloc.start()
    refused(raw(tmp_path / "x.safetensors", *HOSTILE[kind]), "x.safetensors", most=500 + len(str(tmp_path)))
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


def test_a_name_that_stands_twice_in_a_header_is_said_to(tmp_path):
    refused(raw(tmp_path / "x.safetensors", TWICE, b"\0" * 4), "holds the name 'w' twice")


def test_a_header_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**33) + b"{")
        file.truncate(2**33 + 8)
    refused(path, "has a safetensors header of 8589934592 bytes, more than any network needs")


def test_dtypes_that_cannot_be_read_are_named_if_asked_for(tmp_path):
    refused(raw(tmp_path / "x.safetensors", {"seg1.bias": one(0, 8, "F8_E4M3", (8,))}, b"\0" * 8), "'seg1.bias' as F8")


@pytest.mark.parametrize("content", [b"", b"<html>" * 9, b"PK\x03\x04 torn"])
def test_something_else_under_the_name(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    refused(tmp_path / "x.safetensors", "x.safetensors is damaged")


def test_what_is_written_is_read_by_the_package_and_by_us(tmp_path):
    variables = pretrained.from_state_dict(A, segmenter_module.blank_segmenter(TINY), name="A")
    weights.save_finished(tmp_path, variables)
    ours = torch_files.read(tmp_path / "model.pth")
    found = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert set(found) == set(ours)
    for name, array in ours.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert sorted(os.listdir(tmp_path)) == ["model.pth", "model.safetensors"]
    holds(loaded(tmp_path / "model.safetensors"), A)
    first = (tmp_path / "model.safetensors").read_bytes()
    weights.save_finished(tmp_path, variables)
    assert (tmp_path / "model.safetensors").read_bytes() == first
    (tmp_path / "model.pth").unlink()
    holds(loaded(tmp_path), A)  # the folder of a stage with this file alone


def test_a_full_disk_leaves_the_old_safetensors(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")
    monkeypatch.setattr(atomic_files, "_flush", full)
    with pytest.raises(UserError, match="x.safetensors cannot be written: No space left"):
        weight_files.write_safetensors(path, A)
    assert os.listdir(tmp_path) == ["x.safetensors"] and path.read_bytes() == b"old"


# npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_npz(tmp_path, save, prefix):
    with (tmp_path / "x").open("wb") as file:
        save(file, **behind(prefix, {name: np.array(array, order="F") for name, array in A.items()}))
    holds(loaded(tmp_path / "x"), A)


def test_no_pickle_in_an_npz_is_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    np.savez(tmp_path / "x.npz", **A | {"seg1.bias": np.array([Evil()], object)})
    refused(tmp_path / "x.npz", "'seg1.bias' as object", "no pickle is read")
    assert not (tmp_path / "ran").exists()


def test_a_damaged_npz_is_one_line(tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", **A)
    content = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "x.npz"
    for damaged in (content[:-300], content[:5], content[: len(content) // 2] + b"\xff" * 9 + content[-2000:]):
        path.write_bytes(damaged)
        refused(path, "x.npz", most=300 + len(str(path)))
    for position in range(40, 4000, 97):
        flipped = bytearray(content)
        flipped[position] ^= 255
        path.write_bytes(flipped)
        try:
            holds(loaded(path), A)
        except UserError as error:
            assert "\n" not in str(error)
