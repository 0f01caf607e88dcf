"""Checkpoint files that are hostile, damaged, foreign or random: a UserError or inert data, never more."""

import copy
import os
import pickle
import re
import struct
import zipfile

import handmade_checkpoints as handmade
import numpy as np
import pytest
from handmade_checkpoints import archive, assert_same, one_tensor, refuses, saved, tensor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dakd_jax.basics.errors import UserError
from dakd_jax.models.weight_files import torch_files

# Hostile pickles


class Reduces:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class SetsState:
    armed = False

    def __init__(self):
        self.value = 1

    def __new__(cls):
        assert not cls.armed, "code of the file ran"
        return super().__new__(cls)

    def __setstate__(self, state):
        raise AssertionError("code of the file ran")


def hostile(kind, marker):
    if kind == "set state":
        return SetsState()
    return {
        "system": Reduces(os.system, f"touch {marker}"),
        "eval": Reduces(eval, f"open({str(marker)!r}, 'w')"),
        "open": Reduces(open, str(marker), "w"),
        "import": Reduces(__import__, "this_module_must_not_be_imported"),
    }[kind]


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("kind", ["system", "eval", "open", "import", "set state"])
def test_code_in_a_pickle_never_runs(tmp_path, monkeypatch, kind, protocol):
    marker = tmp_path / "ran"
    evil = hostile(kind, marker)
    monkeypatch.setattr(SetsState, "armed", True)
    refuses(archive(tmp_path / "a.pth", pickle.dumps({"w": evil}, protocol)), "no tensors")
    refuses(archive(tmp_path / "b.pth", pickle.dumps(evil, protocol)), "no tensors")
    header = pickle.dumps(evil, protocol)
    refuses(saved(tmp_path / "c.pth", header), "not a PyTorch checkpoint")
    if protocol >= 2:
        path = saved(tmp_path / "d.pth", handmade.stream_bytes({"x": evil, "w": handmade.plain("1", np.ones(2))}))
        assert_same(torch_files.read(path), {"w": np.ones(2)})
    assert not marker.exists()


BOMBS = {
    "memo index": b"\x80\x02Nr\xff\xff\xff\xff.",
    "byte count": b"\x80\x02\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "negative count": b"\x80\x02T" + struct.pack("<i", -5) + b"x.",
    "bottomless key": b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"Ns.",
    "doubling key": b"\x80\x02})" + b"q\x00h\x00\x86" * 500 + b"Ns.",
    "doubling set": b"\x80\x04\x8f()" + b"q\x00h\x00\x86" * 500 + b"\x90.",
    "copies": b"\x80\x02](" + b"N" * 2000 + b"eq\x00" + b"0c__builtin__\nset\nh\x00\x85R" * 20_000 + b".",
    "huge number": b"\x80\x02I" + b"9" * 100_000 + b"\n.",
    "unhashable": b"\x80\x02}}Ns.",
    "no stack": b"\x80\x02R.",
    "build on a name": b"\x80\x02cos\nsystem\n}U\x08__code__Nsb.",
    "endless marks": b"\x80\x02" + b"(" * 200_000 + b".",
    "extension": b"\x80\x02\x82\x01.",
    "self": b"\x80\x02]q\x00h\x00a.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_fizzle_out(tmp_path, name):
    refuses(archive(tmp_path / "a.pth", BOMBS[name]), "no tensors|damaged")


@pytest.mark.parametrize(
    "geometry",
    [
        {"shape": (5,)},
        {"offset": 1},
        {"offset": -1},
        {"strides": (-1,)},
        {"strides": (2,)},
        {"shape": (-4,)},
        {"shape": (2, 2)},
        {"shape": (2**62, 0), "strides": (1, 1)},
        {"shape": (2**40, 2**40, 0), "strides": (0, 0, 0)},
        {"shape": (2**62,), "strides": (4,), "size": 2**62},
        {"shape": (2**40,), "size": 2**40},
        {"size": 5, "shape": (5,)},
        {"shape": (1,) * 65, "strides": (1,) * 65},
        {"key": b"9"},
    ],
)
def test_tensor_outside_its_storage(tmp_path, geometry):
    refuses(one_tensor(tmp_path / "a.pth", **geometry), "damaged|larger than the file")


def test_expanded_tensor_is_read_up_to_a_limit(tmp_path):
    path = one_tensor(tmp_path / "a.pth", np.full(4, 2, np.float32).tobytes(), shape=(3, 1000), strides=(0, 0))
    assert_same(torch_files.read(path), {"w": np.full((3, 1000), 2, np.float32)})
    refuses(one_tensor(tmp_path / "b.pth", shape=(2**40,), strides=(0,)), "larger than the file")


def test_size_one_axis_may_have_any_stride(tmp_path):
    path = one_tensor(tmp_path / "a.pth", shape=(1, 4), strides=(2**61, 1))
    assert torch_files.read(path)["w"].shape == (1, 4)


def test_odd_bytes_of_bool_become_true(tmp_path):
    path = one_tensor(tmp_path / "a.pth", b"\x00\x01\x02\xff", storage=b"BoolStorage")
    assert torch_files.read(path)["w"].tobytes() == b"\x00\x01\x01\x01"


@pytest.mark.parametrize("storage", [b"ComplexFloatStorage", b"QInt8Storage"])
def test_unsupported_dtype_is_named(tmp_path, storage):
    refuses(one_tensor(tmp_path / "a.pth", bytes(64), storage=storage), f"'w'.*{storage.decode()}")


# Wrong and damaged files


@pytest.mark.parametrize(
    "content",
    [b"", b"\x89HDF", b"version https://git-lfs.github.com/spec/v1", b"<html>", pickle.dumps({"a": 1})],
)
def test_other_files_are_no_checkpoints(tmp_path, content):
    refuses(saved(tmp_path / "a.pth", content), "not a PyTorch checkpoint")


def test_missing_file_folder_and_foreign_archives(tmp_path):
    refuses(tmp_path / "none.pth", "does not exist")
    refuses(tmp_path, "is a folder")
    np.savez(tmp_path / "a.npz", w=np.ones(3))
    refuses(tmp_path / "a.npz", "not a PyTorch checkpoint")
    script = archive(tmp_path / "script.pt", pickle.dumps({}), {"constants.pkl": b""})
    refuses(script, "TorchScript")
    pressed = archive(tmp_path / "z.pth", b"\x80\x02}." * 100, compression=zipfile.ZIP_DEFLATED)
    refuses(pressed, "compressed")


def test_overlapping_records(tmp_path):
    """One stored block under many names must not be read once for each."""
    keys = "abcdefghij"
    entries = b"".join(b"U\x01" + key.encode() + tensor(key=key.encode(), size=4096) for key in keys)
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}(" + entries + b"u.")
        file.writestr("archive/data/a", bytes(4 * 4096))
        for key in keys[1:]:
            twin = copy.copy(file.getinfo("archive/data/a"))
            twin.filename = f"archive/data/{key}"
            file.filelist.append(twin)
    refuses(path, "records overlap")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "a.pth"
    torch_files.write(path, {"w": np.ones((2, 2), np.float32), "n": np.array(3, np.int64)})
    tree = {
        "state_dict": {
            "module.w": handmade.plain("1", np.ones((2, 2))),
            "n": handmade.plain("2", np.int64(3)),
        }
    }
    return {"zip": path.read_bytes(), "stream": handmade.stream_bytes(tree)}


def assert_arrays_or_user_error(path):
    try:
        found = torch_files.read(path)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert found and all(isinstance(value, np.ndarray) for value in found.values())


@pytest.mark.parametrize("kind", ["zip", "stream"])
def test_every_truncation_is_refused(samples, tmp_path, kind):
    content = samples[kind]
    for end in range(0, len(content), 1 if len(content) < 1500 else 7):
        refuses(saved(tmp_path / "a.pth", content[:end]), ".")


FUZZ = settings(
    max_examples=200,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("kind", ["zip", "stream"])
@FUZZ
@given(changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_give_arrays_or_user_error(samples, tmp_path, kind, changes):
    content = bytearray(samples[kind])
    for position, value in changes:
        content[position % len(content)] = value
    assert_arrays_or_user_error(saved(tmp_path / "a.pth", bytes(content)))


@FUZZ
@given(changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_of_the_pickle_behind_valid_checksums(samples, tmp_path, changes):
    with zipfile.ZipFile(saved(tmp_path / "whole.pth", samples["zip"])) as file:
        records = {re.sub("^archive/", "", name): file.read(name) for name in file.namelist()}
    pickled = bytearray(records.pop("data.pkl"))
    for position, value in changes:
        pickled[position % len(pickled)] = value
    assert_arrays_or_user_error(archive(tmp_path / "a.pth", bytes(pickled), records))


@FUZZ
@given(body=st.binary(max_size=60))
def test_random_pickles_give_user_errors(tmp_path, body):
    assert_arrays_or_user_error(archive(tmp_path / "a.pth", b"\x80\x02" + body + b"."))
