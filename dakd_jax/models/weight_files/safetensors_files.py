"""Files of the safetensors format, by the package of that name: a JSON header and raw tensors."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import safetensors
import safetensors.numpy

from dakd_jax.basics import atomic_files
from dakd_jax.basics.errors import UserError
from dakd_jax.models.weight_files.torch_files.entries import Entry
from dakd_jax.models.weight_files.torch_files.faults import Unreadable, damaged, shown
from dakd_jax.models.weight_files.torch_files.tensors import unsupported

_LONGEST_HEADER = 16 * 2**20  # bytes; a network of 1,000 tensors has a tenth of one MiB
_READ = {
    "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL",
}  # fmt: skip


def looks_like(head: bytes) -> bool:
    """Whether a file that begins so is of this format: the length of its header, then the header's brace."""
    return head[8:9] == b"{"


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor that is read when it is asked for, see torch_files.entries.Entry."""

    path: pathlib.Path
    name: str
    shape: tuple[int, ...]

    def to_array(self) -> np.ndarray:
        with _package(self.path) as file:
            return file.get_tensor(self.name)


@contextlib.contextmanager
def _package(path: pathlib.Path) -> Iterator[safetensors.safe_open]:
    """The package's view of a file; what it finds wrong is Unreadable."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise damaged(f"no whole safetensors file: {' '.join(str(error).split())[:200]}") from error


def scan(path: pathlib.Path) -> list[Entry]:
    """Return all tensors of a file, none of them loaded yet.

    Raises Unreadable for a header that is longer than the file or than any network's, that is no JSON, names a tensor
    twice, or whose tensors overlap or leave gaps.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= path.stat().st_size - 8:
            raise damaged(f"its safetensors header would be {length} bytes long, and it is shorter")
        if length > _LONGEST_HEADER:
            raise Unreadable(
                f"has a safetensors header of {length} bytes, more than any network needs; save the weights alone"
            )
        header = file.read(length)
    with _package(path) as opened:  # has checked the header
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  no dictionary
        found = [_entry(path, name, one.get_dtype(), one.get_shape()) for name, one in slices.items()]
    json.loads(header, object_pairs_hook=_refuse_twins)
    return found


def _entry(path: pathlib.Path, name: str, dtype: str, shape: list[int]) -> Entry:
    if dtype not in _READ:
        return Entry("", name, unsupported(name, dtype, "save it as F32"))
    return Entry("", name, _Tensor(path, name, tuple(shape)))


def _refuse_twins(pairs: list) -> dict:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"holds the name {shown(twice)} twice; save it again with unique names")
    return dict(pairs)


def write(path: pathlib.Path, state_dict: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays, whole or not at all; the same arrays give the same bytes.

    Raises:
      UserError: the path cannot be written.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in state_dict.items()}
    arrays = {name: array.reshape(np.shape(state_dict[name])) for name, array in arrays.items()}  # () became (1,)
    try:
        with atomic_files.replacing(path) as temporary:
            # Its own save_file would make a file that its owner alone can read.
            temporary.write_bytes(safetensors.numpy.save(arrays, metadata={"format": "pt"}))
    except (OSError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path} cannot be written: {reason}; choose a folder with room") from error
