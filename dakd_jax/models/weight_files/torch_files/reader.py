"""Reads a PyTorch checkpoint: every named tensor in it, or one state dict as numpy arrays."""

import contextlib
import mmap
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from dakd_jax.basics.errors import UserError
from dakd_jax.models.weight_files.torch_files import entries
from dakd_jax.models.weight_files.torch_files.containers import load
from dakd_jax.models.weight_files.torch_files.faults import Unreadable

# Tied and expanded tensors make the arrays larger than the file, but not by much in any honest checkpoint.
_GROWTH = 4
_HEADROOM = 64 * 2**20
_USUAL = ("state_dict", "model_state_dict", "model", "net")  # where no network says which dictionary is meant
_DATA_PARALLEL = "module."


@contextlib.contextmanager
def one_line(path: pathlib.Path) -> Iterator[None]:
    """Raises what is wrong with a file as a UserError that names it."""
    try:
        yield
    except Unreadable as error:
        raise UserError(f"{path} {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error


def scan(path: str | os.PathLike) -> list[entries.Entry]:
    """Return all named tensors of a file that torch.save wrote, none of them loaded yet.

    Read are the zip format (PyTorch >= 1.6) and the stream of pickles before it. The file may hold dictionaries, nested
    in each other, and whole modules, whose parameters and persistent buffers have the names that state_dict() would
    give. No code of the file is imported or run, and no class need exist.

    Raises UserError, one line that names the file, where it is missing, no checkpoint, damaged, or of TorchScript.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist or is no regular file"
        raise UserError(f"{path} {what}; give the path of a PyTorch checkpoint (.pth)")
    with one_line(path), path.open("rb") as file:
        # Mapped, not read: optimizer states and the like are skipped without a copy in memory.
        empty = os.fstat(file.fileno()).st_size == 0
        return entries.entries(load(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return the tensors of the one state dict of a file, in the order of the file, without DataParallel's prefix.

    It is the whole file, or lies under one of its usual names beside other entries; which dictionary fits a certain
    network is found by weight_files.

    The arrays are C-contiguous, writable, independent of each other and in native byte order; dtypes are
    float64, float32, float16, bfloat16 (ml_dtypes), the integers, and bool; shapes as in the file (OIHW for
    convolutions).

    Raises UserError as scan(), and where there are no tensors, or of an unsupported kind (quantised, sparse, complex).
    """
    path = pathlib.Path(path)
    found = scan(path)
    with one_line(path):
        tensors = _state_dict(found)
        # A few bytes of a file can claim a huge expanded tensor.
        if sum(tensor.nbytes for tensor in tensors.values()) > _GROWTH * path.stat().st_size + _HEADROOM:
            raise Unreadable("claims tensors far larger than the file; save it again with .contiguous() tensors")
        return {name: tensor.to_array() for name, tensor in tensors.items()}


def _state_dict(found: list[entries.Entry]) -> dict:
    places = dict.fromkeys(one.where for one in found)
    usual = [where for where in places if where and set(where.split(".")) <= set(_USUAL)]
    if len(usual) > 1:
        raise Unreadable(f"holds tensors under each of {', '.join(usual)}; save the one that is meant alone")
    chosen = usual[0] if usual else ""
    tensors = {one.name: one.tensor for one in found if one.where == chosen}
    if not tensors:
        raise Unreadable(f"holds no tensors under {', '.join(_USUAL)} or at its top; save model.state_dict()")
    if all(name.startswith(_DATA_PARALLEL) for name in tensors):
        tensors = {name.removeprefix(_DATA_PARALLEL): tensor for name, tensor in tensors.items()}
    return tensors
