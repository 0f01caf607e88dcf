"""PATH or PATH#KEY to a file, and the file, by its content, to its named tensors."""

import os
import pathlib
from typing import NamedTuple

from dakd_jax.basics.errors import UserError
from dakd_jax.models.weight_files import npz_files, safetensors_files, torch_files
from dakd_jax.models.weight_files.torch_files.entries import Entry
from dakd_jax.models.weight_files.torch_files.reader import one_line


class Place(NamedTuple):
    """A file or a stage's folder, there or not, and the part of it that was picked; '' where none was."""

    path: pathlib.Path
    key: str = ""

    def __str__(self) -> str:
        return f"{self.path}#{self.key}" if self.key else str(self.path)


def place(path: "str | os.PathLike | Place") -> Place:
    """Splits PATH#KEY; what lies on the disk under the whole text is meant as a whole, '#' or not; '~' is the home."""
    if isinstance(path, Place):
        return path
    text = os.path.expanduser(os.fspath(path))
    cuts = [i for i, letter in enumerate(text) if letter == "#" and i]
    for cut in (len(text), *reversed(cuts)):
        # os.path's answer: False, and no exception, for what can be no path.
        if os.path.exists(text[:cut]):
            return Place(pathlib.Path(text[:cut]), text[cut + 1 :] or "." * (cut < len(text)))
    return Place(pathlib.Path(text))


def scan(path: pathlib.Path) -> list[Entry]:
    """All named tensors of a .pth, .safetensors or .npz file, told apart by content; none of them loaded yet.

    Raises:
      UserError: it is missing, none of these, damaged, or hostile: one line that names it.
    """
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist or is no regular file"
        raise UserError(f"{path} {what}; give the path of a file of weights (.pth, .safetensors or .npz)")
    with one_line(path):
        with path.open("rb") as file:
            head = file.read(16)
        if safetensors_files.looks_like(head) or path.suffix == ".safetensors":
            return safetensors_files.scan(path)
        if npz_files.looks_like(path, head):
            return npz_files.scan(path)
    return torch_files.scan(path)
