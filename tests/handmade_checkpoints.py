"""Checkpoints made without PyTorch, in its old and new formats, and the checks on what is read from them."""

import contextlib
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest

from dakd_jax.basics.errors import UserError
from dakd_jax.models.weight_files import torch_files

MAGIC = 0x1950A86A20F9469CFC6C
_KINDS = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
}


class Storage:
    """A flat array under a key; a view is (key of the view, offset, size) in elements."""

    def __init__(self, key, values, view=None):
        self.key, self.values, self.view = key, np.asarray(values), view

    @property
    def kind(self):
        return getattr(sys.modules["torch"], _KINDS[self.values.dtype.name])


class Tensor:
    """Pickles as a call of torch._utils._rebuild_tensor."""

    def __init__(self, storage, offset, shape, strides):
        self.parts = storage, offset, shape, strides

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor, self.parts


def plain(key, array):
    """Return a contiguous tensor on a storage of its own."""
    array = np.asarray(array)
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return Tensor(Storage(key, array.reshape(-1)), 0, array.shape, strides)


@contextlib.contextmanager
def named_like_torch():
    """Let pickle find the names of torch, with nothing behind them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in _KINDS.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor(*_):
        raise AssertionError("never called")

    _rebuild_tensor.__module__, _rebuild_tensor.__qualname__ = "torch._utils", "_rebuild_tensor"
    utils._rebuild_tensor = _rebuild_tensor
    kept = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def raw(values):
    """Return a storage as it follows the pickles: element count, elements."""
    return struct.pack("<q", values.size) + values.tobytes()


def stream_bytes(tree, *, protocol=2):
    """Return tree, whose tensors are Tensor objects, as torch.save of PyTorch 0.2 to 1.5 wrote it."""
    file, storages = io.BytesIO(), {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if not isinstance(obj, Storage):
                return None
            storages[obj.key] = obj.values
            return "storage", obj.kind, obj.key, "cpu", obj.values.size, obj.view

    with named_like_torch():
        for header in (MAGIC, 1001, {"protocol_version": 1001, "little_endian": True}):
            pickle.dump(header, file, protocol=protocol)
        Pickler(file, protocol=protocol).dump(tree)
    pickle.dump(sorted(storages), file, protocol=protocol)
    for key in sorted(storages):
        file.write(raw(storages[key]))
    return file.getvalue()


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        value = np.asarray(value)
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
        assert found[name].tobytes() == value.tobytes(), name
        assert found[name].flags.c_contiguous and found[name].flags.writeable, name


def refuses(path, pattern):
    with pytest.raises(UserError, match=pattern) as caught:
        torch_files.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def saved(path, content):
    path.write_bytes(content)
    return path


def archive(path, pickled, records=None, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        for name, content in (records or {}).items():
            file.writestr(f"archive/{name}", content)
    return path


def tensor(storage=b"FloatStorage", *, size=4, offset=0, shape=(4,), strides=(1,), key=b"0"):
    """Return the opcodes of one tensor, for impossible ones."""
    long = lambda value: b"\x8a\x09" + value.to_bytes(9, "little", signed=True)  # noqa: E731
    axis = lambda values: b"(" + b"".join(map(long, values)) + b"t"  # noqa: E731
    identity = b"(U\x07storagectorch\n" + storage + b"\nU\x01" + key + b"U\x03cpu" + long(size) + b"tQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n"
        + b"("
        + identity
        + long(offset)
        + axis(shape)
        + axis(strides)
        + b"\x89}tR"
    )


def one_tensor(path, content=bytes(16), **geometry):
    return archive(path, b"\x80\x02}U\x01w" + tensor(**geometry) + b"s.", {"data/0": content})
