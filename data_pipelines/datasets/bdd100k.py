"""BDD100K, both releases of its semantic segmentation; labels hold train ids.

2018: seg/images/SPLIT/*.jpg with seg/labels/SPLIT/*_train_id.png.
2020: images/10k/SPLIT/*.jpg with labels/sem_seg/masks/SPLIT/*.png.
Both come with coloured copies of the labels, which nothing reads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.basics import data_files
from data_pipelines.datasets import base
from data_pipelines.datasets.layouts import Layout, register
from data_pipelines.reading import label_spaces

SPLITS = ("train", "val", "test")
OFFICIAL_COUNTS = {"train": 7000, "val": 1000, "test": 2000}
LICENCE = (
    "Copyright 2018 The Regents of the University of California; free for educational, research and "
    "not-for-profit purposes: https://doc.bdd100k.com/license.html"
)


class Release(NamedTuple):
    """Folders of one release, relative to the dataset, and the endings of the labels' names."""

    name: str
    images: str
    labels: str
    label_ending: str
    colours: str
    colour_ending: str


RELEASES = (
    Release("seg release", "seg/images", "seg/labels", "_train_id.png", "seg/color_labels", "_train_color.png"),
    Release("10k release", "images/10k", "labels/sem_seg/masks", ".png", "labels/sem_seg/colormaps", ".png"),
)


def on_disk(root: Path, split: str, releases: Sequence[Release] = RELEASES) -> base.OnDisk:
    """A split of whichever release is there; the first of `releases` when several are.

    Raises:
      DataError: missing folder.
    """
    present = [r for r in releases if data_files.is_folder(root / r.images / split)]
    release = present[0] if present else releases[0]
    expected = " or ".join(f"{r.images}/{split}" for r in releases)
    folder = base.require_folder(
        "bdd100k", root / release.images / split, f"unpack BDD100K into {root} so that {expected} exists"
    )
    labels, colours = root / release.labels / split, root / release.colours / split
    return base.OnDisk(
        images=base.pictures_in(folder),
        name=lambda p: p.stem,
        label=lambda p: (data_files.in_any_case(labels / (p.stem + release.label_ending)), label_spaces.TRAIN_IDS),
        folder=folder,
        wanted=f"{release.images}/{split}/*.jpg or .png",
        label_files=(
            base.LabelFiles("label", labels, f"*{release.label_ending}", release.label_ending),
            base.LabelFiles("colormap", colours, f"*{release.colour_ending}", release.colour_ending),
        ),
        detail=release.name,
    )


register("bdd100k", Layout(SPLITS, on_disk, OFFICIAL_COUNTS, licence=LICENCE))
