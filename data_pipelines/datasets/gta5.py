"""GTA5 ("Playing for Data"): images/*.png with labels/*.png of the same names, in no splits.

Labels are palette PNGs whose pixel values are Cityscapes label ids, or RGB in the Cityscapes colours.
Sizes vary from picture to picture, and a few released pairs do not fit together.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_pipelines.basics import data_files
from data_pipelines.datasets import base
from data_pipelines.datasets.layouts import Layout, register
from data_pipelines.reading import label_spaces, loading
from data_pipelines.reading.examples import Example

SPLITS = ("train",)
OFFICIAL_COUNTS = {"train": 24966}
LICENCE = "For research and educational use; the pictures come from a commercial game and belong to its publisher."


def on_disk(root: Path, split: str) -> base.OnDisk:
    """All pictures and where their labels are: GTA5 has no splits on disk, a list file may restrict the set.

    Raises:
      DataError: missing folder.
    """
    del split  # one set only
    folder = base.require_folder(
        "gta5",
        root / "images",
        f"unpack the GTA5 parts into {root} so that images/00001.png and labels/00001.png exist",
    )
    return base.OnDisk(
        images=base.pictures_in(folder),
        name=lambda p: p.stem,
        label=lambda p: (data_files.in_any_case(root / "labels" / f"{p.stem}.png"), label_spaces.GTA5_IDS),
        folder=folder,
        wanted="images/*.png or .jpg",
        label_files=(base.LabelFiles("label", root / "labels", "*.png", ".png"),),
    )


def leave_out_mismatched(examples: list[Example]) -> tuple[list[Example], list[str]]:
    """Drops pairs whose image and label sizes differ, by file headers only; returns the rest and a note."""

    def fits(example: Example) -> bool:
        if example.label is None:
            return True
        return loading.picture_size(example.image) == loading.picture_size(example.label)

    with ThreadPoolExecutor(8) as pool:  # 25,000 pairs: waiting for the disk dominates
        kept = [example for example, ok in zip(examples, pool.map(fits, examples), strict=True) if ok]
    dropped = len(examples) - len(kept)
    if not dropped:
        return kept, []
    noun = "pair" if dropped == 1 else "pairs"
    return kept, [f"gta5: {dropped} {noun} left out: image and label sizes differ"]


# May not lack labels: a game is learnt from.
register("gta5", Layout(SPLITS, on_disk, OFFICIAL_COUNTS, leave_out_mismatched, licence=LICENCE, may_lack_labels=False))
