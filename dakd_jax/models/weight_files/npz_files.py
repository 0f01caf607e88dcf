"""Archives of numpy.savez: read without pickles, each array when it is asked for."""

import dataclasses
import math
import pathlib
import struct
import tokenize
import zipfile
import zlib

import numpy as np

from dakd_jax.models.weight_files.torch_files.entries import Entry
from dakd_jax.models.weight_files.torch_files.faults import damaged, shown
from dakd_jax.models.weight_files.torch_files.tensors import UnreadableTensor, unsupported

_ENDING = ".npy"
_MOST_ARRAYS = 20_000
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, SyntaxError, tokenize.TokenError, NotImplementedError,
    RuntimeError, struct.error, OverflowError, MemoryError, RecursionError,
)  # fmt: skip


def looks_like(path: pathlib.Path, head: bytes) -> bool:
    """Whether a file that begins so is a zip archive of .npy files."""
    if head[:2] != b"PK":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _BROKEN:
        return path.suffix == ".npz"
    return any(name.endswith(_ENDING) for name in names) or path.suffix == ".npz"


@dataclasses.dataclass(frozen=True)
class _Array:
    """An array that is read when it is asked for, see torch_files.entries.Entry."""

    path: pathlib.Path
    name: str
    shape: tuple[int, ...]

    def to_array(self) -> np.ndarray:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.name + _ENDING) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
                file.read(1)  # at the end the checksum is compared
            return array
        except _BROKEN as error:
            raise damaged(f"{shown(self.name)} of its archive cannot be read") from error


def scan(path: pathlib.Path) -> list[Entry]:
    """Return all arrays of a file, none of them loaded yet; raises Unreadable for a broken archive or header."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if info.filename.endswith(_ENDING)]
            names = [info.filename for info in infos]
            if len(set(names)) < len(names) or len(names) > _MOST_ARRAYS:
                raise damaged("an array occurs twice in its archive, or there are too many")
            return [_entry(path, archive, info) for info in infos]
    except _BROKEN as error:
        raise damaged("its archive of arrays is broken") from error


def _entry(path: pathlib.Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        left = info.file_size - file.tell()
    name = info.filename.removesuffix(_ENDING)
    if dtype.kind not in "fiub":
        return Entry("", name, unsupported(name, dtype, "save numbers, since no pickle is read"))
    if math.prod(shape) * dtype.itemsize != left:
        return Entry("", name, UnreadableTensor(damaged(f"{shown(name)} has another size than its header says")))
    return Entry("", name, _Array(path, name, tuple(shape)))
