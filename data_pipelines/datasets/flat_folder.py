"""A folder of the user's own pictures (jpg, png, webp, bmp, tif), as an unlabelled split."""

import re
from pathlib import Path

from data_pipelines.basics import data_files
from data_pipelines.datasets import base
from data_pipelines.datasets.layouts import Layout, register

SPLITS = ("train",)
SUFFIXES = base.PICTURE_SUFFIXES | {".bmp", ".tif", ".tiff"}


def on_disk(root: Path, split: str, recursive: bool = False) -> base.OnDisk:
    """The pictures of a folder in natural order, called by their file names.

    Args:
      recursive: whether those in the folders below are taken as well; they are called by their paths below `root`.

    Raises:
      DataError: missing folder.
    """
    del split  # one set only
    folder = base.require_folder("flat_folder", root, "set --config.data.target_dir to a folder of pictures")
    images = [image for place in _folders(folder, recursive) for image in base.pictures_in(place, SUFFIXES)]
    return base.OnDisk(
        images=sorted(images, key=lambda p: natural_key(_name(folder, p))),
        name=lambda p: _name(folder, p),
        label=None,
        folder=folder,
        wanted="*.jpg, .png, .webp, .bmp or .tif",
        more="" if recursive else "set --config.data.target_recursive=True to take those in folders below",
    )


def _name(folder: Path, image: Path) -> str:
    return image.relative_to(folder).as_posix()


def _folders(folder: Path, recursive: bool) -> list[Path]:
    """The folder, and those below it when asked; hidden ones are passed over, links are not followed."""
    found = [folder]
    for place in found if recursive else ():
        visible = (path for path in data_files.listing(place) if path.name[0] != "." and path.name != "__MACOSX")
        found += sorted(path for path in visible if not path.is_symlink() and data_files.is_folder(path))
    return found


def natural_key(name: str) -> tuple:
    """Sort key that puts frame2 before frame10; equal up to case falls back to the plain name."""
    parts = re.split(r"(\d+)", name.casefold())  # odd places are the numbers
    return tuple(int(p) if i % 2 else p for i, p in enumerate(parts)), name


register("flat_folder", Layout(SPLITS, on_disk, has_labels=False, has_folders=True))
