"""Writes numpy arrays as a PyTorch checkpoint."""

import os
import pathlib
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

from dakd_jax.basics import atomic_files
from dakd_jax.basics.errors import UserError
from dakd_jax.models.weight_files.torch_files.faults import shown
from dakd_jax.models.weight_files.torch_files.tensors import STORAGE_DTYPES

_STORAGE_CLASSES = {dtype: name for name, dtype in STORAGE_DTYPES.items()}
_FOLDER = "archive"
_ALIGNMENT = 64  # of each storage in the file, so that torch can map it
_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def write(path: str | os.PathLike, state_dict: Mapping[str, np.ndarray]) -> None:
    """Write named arrays so that torch.load(path, weights_only=True) returns an OrderedDict of equal tensors.

    Dtypes are float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8 and bool; any shape,
    strides and byte order. The same arrays give the same bytes. The file appears complete or not at all.

    Raises UserError for an empty state dict, a name that is no str, another dtype, or a path that cannot be
    written.
    """
    path = pathlib.Path(path)
    arrays = {name: _checked(path, name, value) for name, value in state_dict.items()}
    if not arrays:
        raise UserError(f"{path} is not written: there are no tensors to write")
    try:
        with atomic_files.replacing(path) as temporary:
            _write_archive(temporary, arrays)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}; choose a folder with room") from error


def _checked(path: pathlib.Path, name: object, value: object) -> np.ndarray:
    if not isinstance(name, str):
        raise UserError(f"{path} is not written: the name {name!r} of a tensor is no str")
    array = np.asarray(value)
    if array.dtype.newbyteorder("=") not in _STORAGE_CLASSES:
        kinds = ", ".join(dtype.name for dtype in _STORAGE_CLASSES)
        raise UserError(f"{path} is not written: {shown(name)} has dtype {array.dtype}; convert it to one of {kinds}")
    return array


def _write_archive(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            _add_record(archive, "data.pkl", _pickled(arrays))
            _add_record(archive, "byteorder", b"little")
            for key, array in enumerate(arrays.values()):
                little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                _add_record(archive, f"data/{key}", little.reshape(-1).view(np.uint8).data)
            _add_record(archive, "version", b"3\n")
            for entry in archive.infolist():
                entry.extra = b""  # the padding belongs to the local headers only, as in torch's own files
        file.flush()
        os.fsync(file.fileno())


def _add_record(archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    """Add an uncompressed record whose content starts at a multiple of the alignment."""
    entry = zipfile.ZipInfo(f"{_FOLDER}/{name}")  # dated 1980: no clock in the file
    padding = -(archive.fp.tell() + 30 + len(entry.filename) + 4) % _ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    entry.file_size = len(content)
    with archive.open(entry, "w") as record:
        record.write(content)


# The pickle: OrderedDict of torch._utils._rebuild_tensor_v2 calls, in the opcodes of protocol 2


def _pickled(arrays: dict[str, np.ndarray]) -> bytes:
    tensors = (_text(name) + _tensor(str(key), array) for key, (name, array) in enumerate(arrays.items()))
    return b"\x80\x02" + _ORDERED_DICT + b"(" + b"".join(tensors) + b"u."


def _tensor(key: str, array: np.ndarray) -> bytes:
    kind = _STORAGE_CLASSES[array.dtype.newbyteorder("=")].encode()
    storage = b"(" + _text("storage") + b"ctorch\n" + kind + b"\n" + _text(key) + _text("cpu") + _integer(array.size)
    strides = [int(np.prod(array.shape[axis + 1 :], dtype=np.int64)) for axis in range(array.ndim)]
    geometry = _integer(0) + _tuple(array.shape) + _tuple(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + geometry + b"\x89" + _ORDERED_DICT + b"tR"


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def _tuple(values: tuple | list) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"
