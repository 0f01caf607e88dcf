"""Bytes of a file that is held in memory: as a stream, and as the raw storages of the formats before 1.6."""

import io
import struct

from dakd_jax.torch_files.faults import damaged
from dakd_jax.torch_files.objects import Global
from dakd_jax.torch_files.tensors import storage_dtype

_OTHER_SIZES = {"ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "QInt32Storage": 4}


class ByteStream(io.RawIOBase):
    """A read-only seekable file over bytes or mmap, without a copy."""

    def __init__(self, data):
        self._data = data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        if self._position < 0:
            raise ValueError("seek before the beginning")
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, target) -> int:
        part = self._data[self._position : self._position + len(target)]
        target[: len(part)] = part
        self._position += len(part)
        return len(part)


def read_raw_storage(data, position: int, kind: Global) -> tuple[memoryview, int]:
    """Return the bytes of the storage whose element count stands at position, and the position after it.

    kind is the storage's class, which gives the size of an element.
    """
    dtype = storage_dtype(kind)
    itemsize = dtype.itemsize if dtype is not None else _OTHER_SIZES.get(kind.name, 1)
    if position + 8 > len(data):
        raise damaged("it ends before its last storage")
    (numel,) = struct.unpack("<q", data[position : position + 8])
    start, end = position + 8, position + 8 + numel * itemsize
    if numel < 0 or end > len(data):
        raise damaged("it ends before its last storage")
    return memoryview(data)[start:end], end
