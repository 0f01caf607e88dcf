"""Checkpoint files without PyTorch: round trips, handmade old files, where tensors are found."""

import os
import struct
import tarfile
import zipfile
from collections import OrderedDict

import handmade_checkpoints as handmade
import ml_dtypes
import numpy as np
import pytest
from handmade_checkpoints import archive, assert_same, refuses, saved, tensor

from dakd_jax.basics.errors import UserError
from dakd_jax.models.weight_files import torch_files

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def arrays():
    rng = np.random.default_rng(0)
    made = {f"t.{dtype}": rng.integers(0, 2, (3, 4)).astype(dtype) for dtype in DTYPES}
    made["t.bfloat16"] = rng.normal(size=(5,)).astype(ml_dtypes.bfloat16)
    made["bn.num_batches_tracked"] = np.array(7, np.int64)
    made["empty"] = np.zeros((2, 0, 3), np.float32)
    made["nan"] = np.array([np.nan, np.inf, -0.0], np.float32)
    return made


# Round trip


def test_what_is_written_reads_back_bit_for_bit(tmp_path):
    torch_files.write(tmp_path / "a.pth", arrays())
    assert_same(torch_files.read(tmp_path / "a.pth"), arrays())


def test_views_and_foreign_byte_order_are_written_by_value(tmp_path):
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    given = {"t": base.transpose(2, 0, 1), "s": base[:, ::2], "big": base.astype(">f4")}
    torch_files.write(tmp_path / "a.pth", given)
    plain = {name: np.ascontiguousarray(value, np.float32) for name, value in given.items()}
    assert_same(torch_files.read(tmp_path / "a.pth"), plain)


def test_same_arrays_give_same_aligned_bytes_and_replace_the_old_file(tmp_path):
    path, other = tmp_path / "a.pth", tmp_path / "b.pth"
    path.write_bytes(b"old")
    torch_files.write(path, arrays())
    torch_files.write(other, arrays())
    content = path.read_bytes()
    assert content == other.read_bytes()
    with zipfile.ZipFile(path) as file:
        for entry in file.infolist():
            lengths = struct.unpack("<HH", content[entry.header_offset + 26 :][:4])
            assert (entry.header_offset + 30 + sum(lengths)) % 64 == 0
    assert sorted(os.listdir(tmp_path)) == ["a.pth", "b.pth"]


@pytest.mark.parametrize(
    "state, pattern",
    [
        ({}, "no tensors"),
        ({3: np.zeros(2)}, "no str"),
        ({"w": np.zeros(2, np.complex64)}, "'w' has dtype complex64"),
    ],
)
def test_unwritable_state_leaves_no_file(tmp_path, state, pattern):
    with pytest.raises(UserError, match=pattern):
        torch_files.write(tmp_path / "a.pth", state)
    assert not os.listdir(tmp_path)


def test_failure_while_writing_keeps_the_old_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = saved(tmp_path / "a.pth", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        torch_files.write(path, arrays())
    assert os.listdir(tmp_path) == ["a.pth"] and path.read_bytes() == b"old"


# Old formats, made by hand


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_stream_of_pickles(tmp_path, protocol):
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    shared = handmade.Storage("7", np.arange(10.0))
    tree = OrderedDict(
        weight=handmade.plain("1", weight),
        transposed=handmade.Tensor(handmade.Storage("1", weight.reshape(-1)), 0, (3, 2), (1, 3)),
        tail=handmade.Tensor(shared, 8, (2,), (1,)),
        view=handmade.Tensor(handmade.Storage("7", np.arange(10.0), ("8", 4, 3)), 1, (2,), (1,)),
        count=handmade.plain("3", np.int64(5)),
        expanded=handmade.Tensor(shared, 3, (2, 2), (0, 0)),
    )
    path = saved(tmp_path / "a.pth", handmade.stream_bytes({"epoch": 3, "state_dict": tree}, protocol=protocol))
    expected = {"weight": weight, "transposed": np.ascontiguousarray(weight.T), "tail": np.array([8.0, 9.0])}
    expected |= {"view": np.array([5.0, 6.0]), "count": np.array(5), "expanded": np.full((2, 2), 3.0)}
    assert_same(torch_files.read(path), expected)


def test_tar_archive_of_pytorch_0_1_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.pth", mode="w:", format=tarfile.PAX_FORMAT) as file:
        for name in ("storages", "tensors", "pickle"):
            file.addfile(tarfile.TarInfo(name))
    refuses(tmp_path / "a.pth", r"tar archive.* save it again .*torch\.save .*0\.4 or later, best 1\.6 or later")


def test_big_endian_archive(tmp_path):
    content = np.arange(4, dtype=">f4").tobytes()
    pickled = b"\x80\x02}U\x01w" + tensor() + b"s."
    path = archive(tmp_path / "a.pth", pickled, {"byteorder": b"big", "data/0": content})
    assert_same(torch_files.read(path), {"w": np.arange(4, dtype=np.float32)})


@pytest.mark.parametrize("kind", [b"torch.nn.parameter\nParameter", b"torch.autograd.variable\nVariable"])
@pytest.mark.parametrize("call", [b"R", b"\x81"])
def test_parameters_before_0_4_are_their_class_called_with_a_tensor(tmp_path, kind, call):
    pickled = b"\x80\x02}U\x01wc" + kind + b"\n" + tensor() + b"\x85" + call + b"(\x88\x89Ntbs."
    content = np.arange(4, dtype=np.float32)
    path = archive(tmp_path / "a.pth", pickled, {"data/0": content.tobytes()})
    assert_same(torch_files.read(path), {"w": content})


# Where the tensors are


def wrapped(tmp_path, tree):
    return saved(tmp_path / "a.pth", handmade.stream_bytes(tree))


@pytest.mark.parametrize("entry", ["state_dict", "model", "model_state_dict", "net"])
def test_state_dict_among_other_entries(tmp_path, entry):
    tree = {
        "optimizer": {"w": handmade.plain("2", np.ones(2))},
        entry: {"module.w": handmade.plain("1", np.zeros(3))},
    }
    assert_same(torch_files.read(wrapped(tmp_path, tree)), {"w": np.zeros(3)})


def test_prefix_stays_unless_all_names_have_it(tmp_path):
    tree = {"module.w": handmade.plain("1", np.zeros(3)), "w": handmade.plain("2", np.ones(3))}
    assert list(torch_files.read(wrapped(tmp_path, tree))) == ["module.w", "w"]


@pytest.mark.parametrize(
    "tree, pattern",
    [
        ({"epoch": 3}, "no tensors"),
        ([handmade.plain("1", np.zeros(3))], "no tensors"),
        ({5: handmade.plain("1", np.zeros(3))}, "no tensors"),
        ({key: {"w": handmade.plain(key, np.zeros(3))} for key in ("model", "net")}, "each of model, net"),
    ],
)
def test_no_or_ambiguous_tensors(tmp_path, tree, pattern):
    refuses(wrapped(tmp_path, tree), pattern)


def test_name_that_occurs_twice(tmp_path):
    pickled = b"\x80\x02}(U\x01w" + tensor() + b"U\x01w" + tensor() + b"u."
    refuses(archive(tmp_path / "a.pth", pickled, {"data/0": bytes(16)}), "'w' twice")


def test_module_that_contains_itself(tmp_path):
    pickled = b"\x80\x02cnn\nModule\n)\x81q\x00}U\x08_modules}U\x01mh\x00ssb."
    refuses(archive(tmp_path / "a.pth", pickled), "nested too deeply")
