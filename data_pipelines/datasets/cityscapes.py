"""Cityscapes: leftImg8bit/SPLIT/CITY/*_leftImg8bit.png with gtFine/SPLIT/CITY/*_gtFine_labelIds.png."""

from pathlib import Path

import numpy as np

from data_pipelines.basics import data_files
from data_pipelines.datasets import base
from data_pipelines.datasets.layouts import Instances, Layout, register
from data_pipelines.reading import label_spaces

SPLITS = ("train", "val", "test")
OFFICIAL_COUNTS = {"train": 2975, "val": 500, "test": 1525}
LICENCE = "For non-commercial research and teaching, no redistribution: https://www.cityscapes-dataset.com/license/"
_IMAGE_SUFFIX = "_leftImg8bit.png"
_LABEL_KINDS = ("labelIds", "labelTrainIds", "color", "instanceIds")


def on_disk(root: Path, split: str) -> base.OnDisk:
    """The pictures of a split, city by city, and where their labels are.

    A label is read from *_labelIds.png, as released, through the id table; only where that is missing from
    *_labelTrainIds.png, which the Cityscapes scripts write and which holds the same labels.

    Raises:
      DataError: missing folder.
    """
    folder = base.require_folder(
        "cityscapes",
        root / "leftImg8bit" / split,
        f"unpack leftImg8bit_trainvaltest.zip into {root} so that it holds leftImg8bit/{split}/CITY/*.png",
    )
    labels = root / "gtFine" / split

    def label(image: Path) -> tuple[Path, label_spaces.LabelEncoding]:
        folder, stem = labels / image.parent.name, _name(image)
        ids, train_ids = (
            data_files.in_any_case(folder / f"{stem}_gtFine_{kind}.png") for kind in ("labelIds", "labelTrainIds")
        )
        if data_files.is_file(train_ids) and not data_files.is_file(ids):
            return train_ids, label_spaces.TRAIN_IDS
        return ids, label_spaces.LABEL_IDS

    return base.OnDisk(
        images=data_files.matching(folder, f"*/*{_IMAGE_SUFFIX}"),
        name=_name,
        label=label,
        folder=folder,
        wanted=f"leftImg8bit/{split}/CITY/*{_IMAGE_SUFFIX}",
        label_files=tuple(
            base.LabelFiles(kind, labels, f"*/*_gtFine_{kind}.png", f"_gtFine_{kind}.png") for kind in _LABEL_KINDS
        ),
    )


def _name(image: Path) -> str:
    return data_files.lower_extension(image.name).removesuffix(_IMAGE_SUFFIX)


def instance_file(label: Path) -> Path:
    """Where the instances of a label file's picture are kept, there or not."""
    return data_files.in_any_case(label.with_name(f"{label.stem.rsplit('_', 1)[0]}_instanceIds.png"))


def counted_instances(pixels: np.ndarray) -> np.ndarray:
    """The instances that Cityscapes scores, of the pixels of an *_instanceIds.png.

    Args:
      pixels: integer [H, W]: label id * 1000 + number on an instance, the label id alone elsewhere and on groups.

    Returns:
      int32 [H, W]: train id * 1000 + number on an instance of a class that is evaluated, -1 elsewhere.
    """
    with_instances = [label_spaces.CITYSCAPES_CLASSES.index(name) for name in label_spaces.MEAN_INSTANCE_SIZES]
    label_ids, numbers = np.divmod(pixels.astype(np.int32), 1000)
    train_ids = label_spaces.LABEL_ID_TO_TRAIN_ID[np.minimum(label_ids, 255)].astype(np.int32)
    return np.where(np.isin(train_ids, with_instances), train_ids * 1000 + numbers, -1).astype(np.int32)


_INSTANCES = Instances(instance_file, counted_instances, wanted="*_instanceIds.png")
register("cityscapes", Layout(SPLITS, on_disk, OFFICIAL_COUNTS, licence=LICENCE, instances=_INSTANCES))
