"""Files that another program wrote, one array in each: .npy, .npz, or PNG; their headers, contents and samples.

What is wrong with one is told in a line. No pickled object is ever loaded.
"""

import hashlib
import pathlib
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from dakd_jax.basics.errors import UserError

_SAMPLE_BYTES = 4096
# What readers raise on a file with wrong bytes.
_DAMAGED = (
    OSError, ValueError, KeyError, EOFError, TypeError, SyntaxError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def existing(folder: pathlib.Path, name: str, endings: tuple[str, ...]) -> pathlib.Path:
    """The file of a picture's answer. Raises UserError where there is none."""
    for ending in endings:
        if (path := folder / f"{name}{ending}").is_file():
            return path
    raise UserError(
        f"{folder} has no {name}{' or '.join(endings)}, the answer to a training picture of that name; add it, or "
        "leave the picture out (--config.data.source_list)"
    )


def told(path: pathlib.Path, read: Callable):
    """read(path), whose faults are a line."""
    try:
        return read(path)
    except _DAMAGED as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); write it anew") from None


def header(path: pathlib.Path) -> tuple[tuple[int, ...], str]:
    """(shape, dtype) that the header of a file tells; see `array`."""
    if path.suffix == ".png":
        with Image.open(path) as picture:
            return (picture.height, picture.width), _pixels(picture)
    if path.suffix == ".npy":
        with path.open("rb") as stream:
            return _array_header(stream)
    with zipfile.ZipFile(path) as archive, archive.open(_only(archive)) as stream:
        return _array_header(stream)


def _array_header(stream) -> tuple[tuple[int, ...], str]:
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(stream)
    return shape, str(dtype)


def _only(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    if len(names) != 1:
        raise ValueError(f"{len(names)} arrays in it, where one is expected")
    return names[0]


def _pixels(picture: Image.Image) -> str:
    """The dtype of a picture's pixels; palette numbers are numbers."""
    return "uint8" if picture.mode in ("L", "P") else f"pixels of mode {picture.mode}"


def array(path: pathlib.Path) -> np.ndarray:
    """The array in a .npy, in a .npz that holds one, or in a PNG file of one byte a pixel."""
    if path.suffix == ".png":
        with Image.open(path) as picture:
            if _pixels(picture) != "uint8":
                raise ValueError(_pixels(picture))
            return np.asarray(picture)
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        (name,) = found.files
        return found[name]


def sample(path: pathlib.Path) -> bytes:
    """32 bytes that stand for a file's name, size and 4 KiB of its start, middle and end."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{path.name} {size}".encode())
    with path.open("rb") as file:
        for place in (0, size // 2, max(0, size - _SAMPLE_BYTES)):
            file.seek(place)
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.digest()
