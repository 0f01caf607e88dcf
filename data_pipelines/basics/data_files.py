"""Looking at files and folders of the data: what the system refuses is one line with the path and what to do.

pathlib's own ways either let such an OSError through or hide it: Path.glob passes over a folder that it may not list,
as if nothing were in it. What is given here may lie in an archive too (tfds_builders/archives.py).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from data_pipelines.basics.errors import AccessError, DataError

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR}
_THIS_PROCESS = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
    errno.ENOMEM: "free some memory",
}
_ADVICE = {
    errno.EACCES: "allow this user to read it (chmod, also of the folders above it)",
    errno.EPERM: "allow this user to read it (chmod, also of the folders above it)",
    errno.ENOTDIR: "restore the folder, a file lies in its place",
    errno.EISDIR: "restore the file, a folder lies in its place",
    errno.ELOOP: "links lead in a circle: mend the link",
    errno.ENAMETOOLONG: "give a shorter path",
    **_THIS_PROCESS,
}
_DISK = "check the disk or the network share, then give the same command again"


def explain(path: Path, error: OSError, restore: str = "restore it") -> tuple[str, str]:
    """(what is wrong with a path, what to do about it); `restore` is what to do where nothing is there."""
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    if error.errno == errno.ENOENT:
        return reason + why_absent(path), restore
    return reason, _ADVICE.get(error.errno, _DISK)


def not_of_the_file(error: BaseException) -> bool:
    """Whether the process has come to a limit of its own, so that nothing is known of the file."""
    return isinstance(error, OSError) and error.errno in _THIS_PROCESS


@contextlib.contextmanager
def reading(path: Path, kind: type[DataError] = AccessError, restore: str = "restore it") -> Iterator[None]:
    """An OSError inside becomes a `kind` of DataError that names the path; `restore` as for explain.

    Raises:
      kind: the path cannot be read; AccessError where the process has come to a limit of its own.
    """
    try:
        yield
    except OSError as error:
        reason, advice = explain(path, error, restore)
        raise (AccessError if not_of_the_file(error) else kind)(
            f"{path}: cannot be read ({reason}); {advice}"
        ) from None


def is_folder(path: Path) -> bool:
    """Whether a folder is there. Raises AccessError when the system does not tell."""
    return _is(path, stat.S_ISDIR) if isinstance(path, Path) else path.is_dir()


def is_file(path: Path) -> bool:
    """Whether a file is there. Raises AccessError when the system does not tell."""
    return _is(path, stat.S_ISREG) if isinstance(path, Path) else path.is_file()


def listing(folder: Path) -> list[Path]:
    """What is directly in a folder, in no order. Raises AccessError when it cannot be listed."""
    with reading(folder):
        return list(folder.iterdir())


def matching(folder: Path, pattern: str) -> list[Path]:
    """Sorted paths below a folder that match one wildcard name for each level; none where there is no folder.

    Extensions match in any case; hidden files and folders, such as macOS's ._NAME.png, are passed over.

    Raises:
      AccessError: a folder that may hold some cannot be listed.
    """
    *levels, last = PurePosixPath(pattern).parts
    folders = [folder] if is_folder(folder) else []
    for level in levels:
        folders = [path for path in _named(folders, level) if is_folder(path)]
    return sorted(_named(folders, last))


def why_absent(path: Path) -> str:
    """' (...)' where a broken link or a file is in the place of what is missing or of a folder above, else ''."""
    missing = Path(str(path))
    for place in (missing, *missing.parents):
        what = "it" if place == missing else str(place)
        if os.path.islink(place) and not os.path.exists(place):
            return f" ({what} is a link to {os.readlink(place)}, which is not there)"
        if os.path.isfile(place):
            return f" ({what} is a file)"
    return ""


def below(path: Path, folder: Path) -> str:
    """The path relative to a folder, with /; by way of .. where it lies elsewhere, or is reached by a link."""
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder))).as_posix()


def lower_extension(name: str) -> str:
    """A file's name with its extension in lower case."""
    stem, extension = os.path.splitext(name)
    return stem + extension.lower()


def in_any_case(path: Path) -> Path:
    """The file at a path, or the one whose extension is of another case; the path itself where there is none."""
    if not is_file(path):
        for extension in (path.suffix.upper(), path.suffix.lower(), path.suffix.title()):
            if extension != path.suffix and is_file(other := path.with_name(path.stem + extension)):
                return other
    return path


def _named(folders: list[Path], pattern: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in listing(folder)
        if fnmatchcase(lower_extension(path.name), pattern) and path.name[0] != "."
    ]


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    with reading(path):
        try:
            return kind(os.stat(path).st_mode)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise
