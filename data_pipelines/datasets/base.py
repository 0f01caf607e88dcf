"""What the readers of on-disk layouts share: listing, pairing and restricting pictures."""

import codecs
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import DataError, MissingLabels
from data_pipelines.reading import label_spaces
from data_pipelines.reading.examples import Example

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
# What people keep pictures in, whether it can be read here or not: to say what lies there instead.
PICTURE_LIKE = PICTURE_SUFFIXES | {
    ".avif", ".bmp", ".dng", ".exr", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".npy", ".pgm", ".pnm", ".ppm", ".raw",
    ".tga", ".tif", ".tiff",
}  # fmt: skip
_PICTURE_NAMES = re.compile(r"\.(?:png|jpe?g|webp)\b", re.IGNORECASE)
_DEPTH, _MOST = 4, 100_000  # of the folders, and of the files, that are searched for such pictures


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
        """The files that are there, by example name."""
        files = data_files.matching(self.folder, self.pattern)
        return {data_files.lower_extension(path.name).removesuffix(self.ending): path for path in files}


class OnDisk(NamedTuple):
    """A split as it lies on disk, complete or not.

    Attributes:
      images: picture files in order.
      name: picture file to example name.
      label: picture file to the label file that is read for it, there or not, and its encoding; None: no labels.
      folder: in which pictures are looked for.
      wanted: what is looked for there, for people.
      label_files: every kind of file that belongs to a picture.
      detail: what else there is to say, '' for nothing.
      more: how to have pictures taken that are passed over, '' for no way.
    """

    images: list[Path]
    name: Callable[[Path], str]
    label: Callable[[Path], tuple[Path, label_spaces.LabelEncoding]] | None
    folder: Path
    wanted: str
    label_files: tuple[LabelFiles, ...] = ()
    detail: str = ""
    more: str = ""

    def passed_over(self) -> list[Path]:
        """Files that look like pictures, in the folder and those below it, and are none of the split's, in order."""
        taken = set(self.files())
        # In an archive nothing lies around that its makers did not put there.
        found = _picture_like(self.folder) if isinstance(self.folder, Path) else ()
        return [path for path in found if path not in taken]

    def files(self) -> list[Path]:
        """Its pictures and the labels that are read for them, there or not."""
        return [*self.images, *(self.label(image)[0] for image in self.images if self.label)]

    def repeated(self) -> list[list[Path]]:
        """Picture files that stand for one and the same picture: in several folders, or with several extensions."""
        by_name: dict[str, list[Path]] = {}
        for image in self.images:
            by_name.setdefault(_without_extension(self.name(image)), []).append(image)
        return [images for images in by_name.values() if len(images) > 1]


def _without_extension(name: str) -> str:
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in PICTURE_LIKE else name


def _picture_like(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, files in os.walk(folder):
        here = Path(place)
        deep = len(here.relative_to(folder).parts) >= _DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if name[0] != "." and name != "__MACOSX")
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in PICTURE_LIKE and name[0] != ".":
                yield here / name
        seen += len(files)
        if seen > _MOST:
            return


def say_passed_over(files: Sequence[Path], folder: Path) -> str:
    """'3 other pictures (2 .jpg, 1 .TIF; the first aachen/a.jpg)'."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(path.suffix for path in files).most_common(4))
    more = "s" * (len(files) != 1)
    return f"{len(files):,} other picture{more} ({kinds}; the first {data_files.below(files[0], folder)})"


def require_folder(dataset: str, folder: Path, way_out: str) -> Path:
    """Returns the folder, or raises a DataError that names it and the way out."""
    if not data_files.is_folder(folder):
        raise DataError(f"{dataset}: no folder {folder}{data_files.why_absent(folder)}; {way_out}")
    return folder


def pictures_in(folder: Path, suffixes: frozenset[str] = PICTURE_SUFFIXES) -> list[Path]:
    """Picture files directly in the folder, by name; hidden files are passed over."""
    return sorted(p for p in data_files.listing(folder) if p.suffix.lower() in suffixes and p.name[0] != ".")


def examples_of(dataset: str, found: OnDisk, labelled: bool) -> list[Example]:
    """The examples of a split.

    Args:
      dataset: name for messages.
      labelled: whether every picture must have a label; if not, labels on disk are passed over.

    Raises:
      MissingLabels: a picture has no label file.
      DataError: several files stand for one picture, or labels are wanted of a layout that has none.
    """
    if repeated := found.repeated():
        first, second, *_ = repeated[0]
        more = f" (and {len(repeated) - 1} more such pictures)" if len(repeated) > 1 else ""
        raise DataError(f"{dataset}: {first} and {second} are files of one picture{more}; keep one of them")
    if not labelled:
        return [Example(found.name(image), image) for image in found.images]
    if found.label is None:
        raise DataError(
            f"{dataset}: {found.folder} holds pictures without labels; use a labelled dataset for this stage"
        )
    examples = [Example(found.name(image), image, *found.label(image)) for image in found.images]
    missing = [example for example in examples if not data_files.is_file(example.label)]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        why = data_files.why_absent(missing[0].label)
        raise MissingLabels(
            f"{dataset}: {missing[0].image} has no label, expected {missing[0].label}{why}{more}; "
            "add the label or remove the picture",
            all_missing=len(missing) == len(examples),
        )
    return examples


def restrict_to_list(dataset: str, examples: list[Example], list_file: str | Path) -> list[Example]:
    """Keeps the examples that a list file names, in their own order.

    A line names a picture by example name, file name (its extension in any case), or path, with / or \\; blank lines
    and lines that begin with # are passed over. The text is UTF-8 or, with its mark at the start, UTF-16.

    Raises:
      DataError: no such file, no text, no line, or a line that names no picture.
    """
    lines = (line.strip() for line in _text(dataset, list_file).splitlines())
    wanted = [line for line in lines if line and not line.startswith("#")]
    if several := [line for line in wanted if len(_PICTURE_NAMES.findall(line)) > 1]:
        raise DataError(
            f"{dataset}: {list_file} names several files in a line, {several[0]!r}; write one picture to a line"
        )
    if not wanted:
        raise DataError(f"{dataset}: the list file {list_file} names no picture; write one to a line")
    by_alias: dict[str, list[Example]] = {}
    for example in examples:
        # Joined data sets call theirs DATASET/NAME.
        names = example.name, example.image.name, *[example.name.partition("/")[2]] * ("+" in dataset)
        for alias in {data_files.lower_extension(name) for name in names}:
            by_alias.setdefault(alias, []).append(example)
    found = {line: _named_by(dataset, list_file, line, by_alias) for line in wanted}
    unknown = [line for line in wanted if found[line] is None]
    if unknown:
        raise DataError(
            f"{dataset}: {list_file} names {len(unknown)} pictures that are not there, first {unknown[0]!r}; "
            "correct the list or the folder"
        )
    names = {example.name for example in found.values()}
    return [example for example in examples if example.name in names]


def _named_by(dataset: str, list_file: str | Path, line: str, by_alias: dict[str, list[Example]]) -> Example | None:
    """The example that a line names, None for none. Raises a DataError where several joined data sets have the name."""
    path = line.replace("\\", "/")
    name = data_files.lower_extension(PurePosixPath(path).name)
    there = by_alias.get(data_files.lower_extension(path)) or by_alias.get(name, [])
    matching = [example for example in there if example.image.as_posix() == path] or there
    if "+" in dataset and len(matching) > 1:
        names = " and ".join(example.name for example in matching[:2])
        raise DataError(f"{dataset}: {list_file} names {line!r}, which may be {names}; write one of these")
    return matching[-1] if matching else None


def _text(dataset: str, list_file: str | Path) -> str:
    try:
        content = Path(list_file).read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{dataset}: cannot read the list file {list_file} ({error}); name a text file") from None
