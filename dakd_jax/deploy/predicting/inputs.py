"""Which pictures and films words on a command line mean, and what their answers are called."""

import glob
import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dakd_jax.basics.errors import UserError
from data_pipelines.pictures import films

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")  # their endings in a folder, in any case

ENDINGS = PICTURES + films.ENDINGS


class Input(NamedTuple):
    """A picture or film to be predicted on.

    Attributes:
      path: absolute.
      name: of its answers, a path below their folder without ending.
    """

    path: pathlib.Path
    name: str

    def is_film(self) -> bool:
        """By its ending."""
        return self.path.name.lower().endswith(films.ENDINGS)

    def mark(self) -> str:
        """Where it lies and which state of it this is, for a file of answers; OSError where it is gone."""
        status = self.path.stat()
        return f"{place_mark(self.path)} {status.st_size} {status.st_mtime_ns}"


def place_mark(path: pathlib.Path) -> str:
    """16 digits that stand for an absolute path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def find(words: Sequence[str], output: pathlib.Path, kinds: Sequence[str]) -> list[pathlib.Path]:
    """Absolute paths of all pictures and films that words mean: files, folders with all below, patterns; each once.

    Args:
      output: a folder that is passed over inside others.
      kinds: the folders in it that answers lie in, which patterns pass over.

    Raises:
      UserError: a word means nothing, or a folder cannot be listed; or answers would be written where a picture lies.
    """
    found: dict[pathlib.Path, None] = {}
    homes = [os.path.realpath(output), *(os.path.realpath(output / kind) for kind in kinds)]
    for word in words:
        for path in _meant(os.path.expanduser(word), homes[1:]):
            _refuse(path if path.is_dir() else path.parent, homes)
            there = sorted(_below(path, homes)) if path.is_dir() else [path]
            if not there:
                raise UserError(
                    f"{path} holds no picture ({', '.join(PICTURES)}) and no film ({', '.join(films.ENDINGS)}); name a "
                    "folder of some"
                )
            found |= dict.fromkeys(there)
    return list(found)


def named(paths: Sequence[pathlib.Path], taken_by_another) -> list[Input]:
    """Inputs with names of their own: their path below the deepest folder that holds them all, without its ending.

    Args:
      taken_by_another: whether a name stands for another input's answers already, of (path, name); '-2', '-3', ...
        is added until it does not.
    """
    base, names, found = os.path.commonpath([path.parent for path in paths]), set(), []
    for path in paths:
        plain = path.relative_to(base).with_suffix("").as_posix()
        name, number = plain, 2
        while name.casefold() in names or taken_by_another(path, name):
            name, number = f"{plain}-{number}", number + 1
        names.add(name.casefold())  # some file systems tell no difference
        found.append(Input(path, name))
    return found


def _meant(word: str, passed_over: Sequence[str]) -> list[pathlib.Path]:
    """The files and folders of one word; what lies under the whole text is meant, whatever letters it has."""
    if os.path.exists(word):
        return [pathlib.Path(os.path.abspath(word))]
    matches = [pathlib.Path(os.path.abspath(match)) for match in sorted(glob.glob(word, recursive=True))]
    found = [match for match in matches if not _is_in(match, passed_over)]
    if not found:
        what = "no picture or film matches it" if glob.has_magic(word) else "there is no such picture, film or folder"
        raise UserError(
            f"{word or repr(word)}: {what}; give paths of pictures or films, folders, or patterns as 'street/*.jpg'"
        )
    return found


def _below(folder: pathlib.Path, passed_over: Sequence[str]) -> Iterator[pathlib.Path]:
    """Pictures and films in a folder and all below it, hidden ones left out."""

    def refused(error: OSError):
        raise UserError(
            f"{error.filename}: cannot be listed ({error.strerror}); allow it, or name the others"
        ) from error

    for here, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [f for f in _shown(folders) if not _is_in(pathlib.Path(here, f), passed_over)]
        yield from (
            pathlib.Path(here, file) for file in _shown(files) if file.lower().endswith(PICTURES + films.ENDINGS)
        )


def _shown(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(".")]


def _refuse(folder: pathlib.Path, homes: Sequence[str]) -> None:
    if _is_in(folder, homes):
        raise UserError(
            f"--output={homes[0]} is or holds {folder}, where inputs lie that are read; name a folder of its own"
        )


def _is_in(path: pathlib.Path, folders: Sequence[str]) -> bool:
    """Whether a path is one of the folders, or lies in one, wherever links lead."""
    real = os.path.realpath(path)
    return any(real == folder or real.startswith(os.path.join(folder, "")) for folder in folders)
