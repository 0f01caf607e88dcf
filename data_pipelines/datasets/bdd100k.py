"""BDD100K, both releases of its semantic segmentation; labels hold train ids.

2018: seg/images/SPLIT/*.jpg with seg/labels/SPLIT/*_train_id.png.
2020: images/10k/SPLIT/*.jpg with labels/sem_seg/masks/SPLIT/*.png.
"""

from pathlib import Path
from typing import NamedTuple

from data_pipelines import label_spaces
from data_pipelines.datasets import base
from data_pipelines.examples import Example

SPLITS = ("train", "val", "test")


class Release(NamedTuple):
    """Folders of one release, relative to the dataset, and the ending of its labels' names."""

    name: str
    images: str
    labels: str
    label_ending: str


RELEASES = (
    Release("seg release", "seg/images", "seg/labels", "_train_id.png"),
    Release("10k release", "images/10k", "labels/sem_seg/masks", ".png"),
)


def find(root: Path, split: str, labelled: bool) -> tuple[list[Example], str]:
    """Lists a split of whichever release is there; the first of RELEASES when both are.

    Raises:
      DataError: missing folder, or a picture without a label in a labelled split.
    """
    present = [r for r in RELEASES if (root / r.images / split).is_dir()]
    release = present[0] if present else RELEASES[0]
    expected = " or ".join(f"{r.images}/{split}" for r in RELEASES)
    folder = base.require_folder(
        "bdd100k", root / release.images / split, f"unpack BDD100K into {root} so that {expected} exists"
    )

    def label(image: Path) -> tuple[Path, label_spaces.LabelEncoding]:
        return root / release.labels / split / (image.stem + release.label_ending), label_spaces.TRAIN_IDS

    examples = base.pair_with_labels(
        "bdd100k", base.pictures_in(folder), name=lambda p: p.stem, label=label if labelled else None
    )
    return examples, release.name
