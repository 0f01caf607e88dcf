"""A flat folder of the user's own pictures (jpg, png, webp), as an unlabelled split."""

import re
from pathlib import Path

from data_pipelines.datasets import base
from data_pipelines.errors import DataError
from data_pipelines.examples import Example

SPLITS = ("train",)


def on_disk(root: Path, split: str) -> base.OnDisk:
    """The pictures directly in `root`, in natural order; subfolders are not searched.

    Raises:
      DataError: missing folder.
    """
    del split  # one set only
    folder = base.require_folder("flat_folder", root, "set --config.data.target_dir to a folder of pictures")
    images = sorted(base.pictures_in(folder), key=lambda p: natural_key(p.name))
    return base.OnDisk(images, name=lambda p: p.name, label=None)


def find(root: Path, split: str, labelled: bool) -> tuple[list[Example], str]:
    """Lists the pictures.

    Raises:
      DataError: missing folder, or labels are asked for.
    """
    if labelled:
        raise DataError(f"flat_folder: {root} holds pictures without labels; use a labelled dataset for this stage")
    found = on_disk(root, split)
    return base.pair_with_labels("flat_folder", found.images, name=found.name, label=None), ""


def natural_key(name: str) -> tuple:
    """Sort key that puts frame2 before frame10; equal up to case falls back to the plain name."""
    parts = re.split(r"(\d+)", name.casefold())  # odd places are the numbers
    return tuple(int(p) if i % 2 else p for i, p in enumerate(parts)), name
