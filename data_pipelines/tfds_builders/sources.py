"""Where the files of a dataset are: in extracted folders, or in the archives as they were downloaded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import DataError
from data_pipelines.tfds_builders.archives import ArchivePath, open_archives


class Archives(NamedTuple):
    """The archives in which a dataset is downloaded.

    Attributes:
      kinds: globs of file names; each kind must be there, its globs are other names for the same.
      folders: see archives.open_archives.
    """

    kinds: tuple[tuple[str, ...], ...]
    folders: Mapping[str, str]

    def found_in(self, folder: Path) -> list[list[Path]]:
        """The archives of each kind in a folder."""
        return [sorted(path for glob in globs for path in data_files.matching(folder, glob)) for globs in self.kinds]


def find_source(
    dataset: str, places: list[Path], archives: Archives, has_pictures: Callable[[Path], bool]
) -> Path | ArchivePath:
    """The root of a dataset, for its reader.

    Args:
      dataset: name for messages.
      places: folders to look in, in this order.
      archives: what to look for where nothing is extracted.
      has_pictures: whether the reader finds any in an extracted folder.

    Raises:
      DataError: nothing found, a kind of archive missing, or an archive that cannot be read.
    """
    for place in places:
        if has_pictures(place):
            return place
    problem = f"neither its extracted folders nor {_names(archives.kinds)}"
    for place in places:
        found = archives.found_in(place)
        if all(found):
            return open_archives([path for kind in found for path in kind], archives.folders)
        if any(found):
            missing = tuple(globs for globs, kind in zip(archives.kinds, found, strict=True) if not kind)
            problem = f"no {_names(missing)} beside {next(path.name for kind in found for path in kind)}"
    raise DataError(f"{dataset}: {places[-1]} holds {problem}; put the download there, or set manual_dir to its folder")


def _names(kinds: tuple[tuple[str, ...], ...]) -> str:
    return " and ".join(" or ".join(globs) for globs in kinds)
