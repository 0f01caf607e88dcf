"""Cityscapes: leftImg8bit/SPLIT/CITY/*_leftImg8bit.png with gtFine/SPLIT/CITY/*_gtFine_labelIds.png."""

from pathlib import Path

from data_pipelines import label_spaces
from data_pipelines.datasets import base
from data_pipelines.examples import Example

SPLITS = ("train", "val", "test")
_IMAGE_SUFFIX = "_leftImg8bit.png"


def find(root: Path, split: str, labelled: bool) -> tuple[list[Example], str]:
    """Lists a split, city by city.

    A label is read from *_labelIds.png, as released, through the id table; only where that is missing from
    *_labelTrainIds.png, which the Cityscapes scripts write and which holds the same labels.

    Raises:
      DataError: missing folder, or a picture without a label in a labelled split.
    """
    folder = base.require_folder(
        "cityscapes",
        root / "leftImg8bit" / split,
        f"unpack leftImg8bit_trainvaltest.zip into {root} so that it holds leftImg8bit/{split}/CITY/*.png",
    )
    images = sorted(folder.glob(f"*/*{_IMAGE_SUFFIX}"))

    def label(image: Path) -> tuple[Path, label_spaces.LabelEncoding]:
        stem = root / "gtFine" / split / image.parent.name / image.name.removesuffix(_IMAGE_SUFFIX)
        ids, train_ids = (stem.with_name(f"{stem.name}_gtFine_{kind}.png") for kind in ("labelIds", "labelTrainIds"))
        if train_ids.is_file() and not ids.is_file():
            return train_ids, label_spaces.TRAIN_IDS
        return ids, label_spaces.LABEL_IDS

    examples = base.pair_with_labels(
        "cityscapes",
        images,
        name=lambda p: p.name.removesuffix(_IMAGE_SUFFIX),
        label=label if labelled else None,
    )
    return examples, "labelled" if labelled else "unlabelled"
