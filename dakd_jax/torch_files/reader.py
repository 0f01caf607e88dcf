"""Reads a PyTorch checkpoint into numpy arrays."""

import mmap
import os
import pathlib

import numpy as np

from dakd_jax.errors import UserError
from dakd_jax.torch_files.containers import load
from dakd_jax.torch_files.faults import Unreadable
from dakd_jax.torch_files.state_dict import collect

# Tied and expanded tensors make the arrays larger than the file, but not by much in any honest checkpoint.
_GROWTH = 4
_HEADROOM = 64 * 2**20


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return the named tensors of a file that torch.save wrote, in the order of the file.

    Read are the zip format (PyTorch >= 1.6), the stream of pickles before it, and the tar archives of 0.1.
    The file may hold a state dict, one under "state_dict", "model_state_dict", "model" or "net" beside other
    entries, or a whole module, whose parameters and persistent buffers are then collected under the names
    that its state_dict() would give. The prefix "module." is taken off if all names have it. No code of the
    file is imported or run, and no class need exist.

    The arrays are C-contiguous, writable, independent of each other and in native byte order; dtypes are
    float64, float32, float16, bfloat16 (ml_dtypes), the integers, and bool; shapes as in the file (OIHW for
    convolutions).

    Raises UserError, one line that names the file, where it is missing, no checkpoint, damaged, without
    tensors, a TorchScript archive, or holds tensors of an unsupported kind (quantised, sparse, complex).
    """
    path = pathlib.Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist or is no regular file"
        raise UserError(f"{path} {what}; give the path of a PyTorch checkpoint (.pth)")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # Mapped, not read: optimizer states and the like are skipped without a copy in memory.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        return collect(load(data), _GROWTH * size + _HEADROOM)
    except Unreadable as error:
        raise UserError(f"{path} {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
