"""Zip archives as they are downloaded, read in place: the readers list them as they list a folder."""

import functools
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data_pipelines.basics.errors import DataError

# What zipfile raises on damaged, truncated, encrypted and unusual members.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError)
_lock = threading.Lock()  # the threads share the open archives


class Member(NamedTuple):
    """A file in an archive; small to send to another process."""

    archive: Path
    name: str

    def read_bytes(self) -> bytes:
        """The whole content. Raises DataError when it cannot be read."""
        try:
            with _lock:
                return _open(self.archive).read(self.name)
        except _UNREADABLE as error:
            raise DataError(f"{self}: cannot be read ({_reason(error)}); download the archive again") from None

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"


class Tree(NamedTuple):
    """The files of several archives, and the folders that their names imply.

    Attributes:
      home: folder of the archives, for messages.
      members: path in the tree to member.
      folders: path in the tree to the paths in that folder, which are keys.
    """

    home: Path
    members: dict[PurePosixPath, Member]
    folders: dict[PurePosixPath, dict[PurePosixPath, None]]

    def add(self, path: PurePosixPath, member: Member) -> None:
        """Puts a member at a path, unless another archive has put one there."""
        if path in self.members:
            return
        self.members[path] = member
        for child, folder in zip((path, *path.parents), path.parents, strict=False):
            self.folders.setdefault(folder, {})[child] = None


class ArchivePath:
    """A file or folder of a tree: as much of pathlib.Path as the readers of on-disk layouts use."""

    def __init__(self, tree: Tree, path: PurePosixPath):
        self._tree = tree
        self._path = path
        self.name, self.stem, self.suffix = path.name, path.stem, path.suffix

    @property
    def parent(self) -> "ArchivePath":
        """The folder that it is in."""
        return ArchivePath(self._tree, self._path.parent)

    @property
    def member(self) -> Member:
        """Where the file is; KeyError for a folder."""
        return self._tree.members[self._path]

    def __truediv__(self, name: str) -> "ArchivePath":
        return ArchivePath(self._tree, self._path / name)

    def with_name(self, name: str) -> "ArchivePath":
        """The path of another name in the same folder."""
        return ArchivePath(self._tree, self._path.with_name(name))

    def is_file(self) -> bool:
        """Whether an archive holds this file."""
        return self._path in self._tree.members

    def is_dir(self) -> bool:
        """Whether an archive holds files below this path."""
        return self._path in self._tree.folders

    def iterdir(self) -> Iterator["ArchivePath"]:
        """What is directly in the folder."""
        return (ArchivePath(self._tree, path) for path in self._tree.folders.get(self._path, ()))

    def relative_to(self, folder: "ArchivePath") -> PurePosixPath:
        """The path below a folder of the same tree."""
        return self._path.relative_to(folder._path)

    def __lt__(self, other: "ArchivePath") -> bool:
        return self._path < other._path

    def __str__(self) -> str:
        member = self._tree.members.get(self._path)
        return str(member) if member else f"{self._tree.home}/*.zip/{self._path}"


def open_archives(archives: Sequence[Path], folders: Mapping[str, str]) -> ArchivePath:
    """The root of the tree of some archives, all of one folder.

    Args:
      archives: zip files.
      folders: folder in an archive to folder in the tree, both with a / at the end. Whatever an archive has above
        its folder is dropped, and so are files outside of the folders; the first that fits counts.

    Raises:
      DataError: an archive cannot be read.
    """
    tree = Tree(archives[0].parent, {}, {})
    for archive in archives:
        for name in _names(archive):
            if path := _path_in_tree(name, folders):
                tree.add(path, Member(archive, name))
    return ArchivePath(tree, PurePosixPath())


def close_archives() -> None:
    """Closes what was opened by reading; a file that is replaced is then read anew."""
    _open.cache_clear()


@functools.lru_cache(maxsize=32)
def _open(archive: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive)


def _names(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as opened:
            return [info.filename for info in opened.infolist() if not info.is_dir()]
    except _UNREADABLE as error:
        raise DataError(f"{archive}: not a whole zip archive ({_reason(error)}); download it again") from None


def _path_in_tree(name: str, folders: Mapping[str, str]) -> PurePosixPath | None:
    rooted = f"/{name}"
    for folder, target in folders.items():
        _, found, rest = rooted.partition(f"/{folder}")
        if found and not name.startswith("__MACOSX/"):
            return PurePosixPath(target + rest)
    return None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
