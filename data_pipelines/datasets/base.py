"""What the readers of on-disk layouts share: listing, pairing and restricting pictures."""

import pathlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from data_pipelines import data_files, label_spaces
from data_pipelines.errors import DataError, MissingLabels
from data_pipelines.examples import Example

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


class LabelFiles(NamedTuple):
    """Where a layout keeps one kind of file that exists once for each picture.

    Attributes:
      kind: what people call it, e.g. 'labelIds'.
      folder: where these files lie; it need not be there.
      pattern: glob below the folder.
      ending: what follows the example's name in the file's name.
    """

    kind: str
    folder: Path
    pattern: str
    ending: str

    def by_name(self) -> dict[str, Path]:
        """The files that are there, by example name; hidden files are passed over."""
        files = (p for p in data_files.matching(self.folder, self.pattern) if p.name[0] != ".")
        return {path.name.removesuffix(self.ending): path for path in files}


class OnDisk(NamedTuple):
    """A split as it lies on disk, complete or not.

    Attributes:
      images: picture files in order.
      name: picture file to example name.
      label: picture file to the label file that is read for it, there or not, and its encoding; None: no labels.
      label_files: every kind of file that belongs to a picture.
      detail: what else there is to say, '' for nothing.
    """

    images: list[Path]
    name: Callable[[Path], str]
    label: Callable[[Path], tuple[Path, label_spaces.LabelEncoding]] | None
    label_files: tuple[LabelFiles, ...] = ()
    detail: str = ""


def require_folder(dataset: str, folder: Path, way_out: str) -> Path:
    """Returns the folder, or raises a DataError that names it and the way out."""
    if not data_files.is_folder(folder):
        raise DataError(f"{dataset}: no folder {folder}{data_files.why_absent(folder)}; {way_out}")
    return folder


def pictures_in(folder: Path) -> list[Path]:
    """Picture files directly in the folder, by name; hidden files are passed over."""
    files = (p for p in data_files.listing(folder) if p.suffix.lower() in PICTURE_SUFFIXES and p.name[0] != ".")
    return sorted(files)


def pair_with_labels(
    dataset: str,
    images: Iterable[Path],
    *,
    name: Callable[[Path], str],
    label: Callable[[Path], tuple[Path, label_spaces.LabelEncoding]] | None,
) -> list[Example]:
    """Builds the examples of a split.

    Args:
      dataset: name for messages.
      images: picture files.
      name: picture file to example name.
      label: picture file to its label file and encoding; None for an unlabelled split.

    Raises:
      MissingLabels: a picture has no label file.
    """
    if label is None:
        return [Example(name(image), image) for image in images]
    examples = [Example(name(image), image, *label(image)) for image in images]
    missing = [example for example in examples if not data_files.is_file(example.label)]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise MissingLabels(
            f"{dataset}: {missing[0].image} has no label, expected {missing[0].label}{more}; "
            "add the label or remove the picture",
            all_missing=len(missing) == len(examples),
        )
    return examples


def restrict_to_list(dataset: str, examples: list[Example], list_file: str | Path) -> list[Example]:
    """Keeps the examples that a list file names, in their own order.

    A line names a picture by example name, file name, or path; blank lines and lines that begin with # are
    passed over.

    Raises:
      DataError: no such file, or a line that names no picture.
    """
    try:
        lines = Path(list_file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{dataset}: cannot read the list file {list_file} ({error}); name a text file") from None
    wanted = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    by_alias = {alias: e for e in examples for alias in (e.name, e.image.name)}
    unknown = [line for line in wanted if pathlib.PurePosixPath(line).name not in by_alias]
    if unknown:
        raise DataError(
            f"{dataset}: {list_file} names {len(unknown)} pictures that are not there, first {unknown[0]!r}; "
            "correct the list or the folder"
        )
    names = {by_alias[pathlib.PurePosixPath(line).name].name for line in wanted}
    return [example for example in examples if example.name in names]
