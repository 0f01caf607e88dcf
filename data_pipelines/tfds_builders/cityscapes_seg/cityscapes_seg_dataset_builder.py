"""Cityscapes, fine labels: the features of tfds' `cityscapes/semantic_segmentation` and train ids."""

from typing import Any

import tensorflow_datasets as tfds

from data_pipelines.datasets import cityscapes
from data_pipelines.reading import label_spaces
from data_pipelines.tfds_builders.segmentation_builder import OnDiskBuilder
from data_pipelines.tfds_builders.sources import Archives

_NUM_LABEL_IDS = 34


class Builder(OnDiskBuilder):
    """2,975 + 500 German street pictures of 2048x1024 with labels, and 1,525 whose labels are withheld."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "As cityscapes/semantic_segmentation 1.0.0 of tfds; also from folders, with train ids."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    After registration at https://www.cityscapes-dataset.com/ download leftImg8bit_trainvaltest.zip and
    gtFine_trainvaltest.zip into manual_dir, or into cityscapes/ in it. They are read as they are; the extracted
    folders are read as well: leftImg8bit/train/aachen/*_leftImg8bit.png, gtFine/train/aachen/*_gtFine_labelIds.png.
    """
    HOMEPAGE = "https://www.cityscapes-dataset.com"
    LICENCE = cityscapes.LICENCE
    LAYOUT = "cityscapes"
    archives = Archives(
        kinds=(("leftImg8bit_trainvaltest.zip",), ("gtFine_trainvaltest.zip",)),
        folders={"leftImg8bit/": "leftImg8bit/", "gtFine/": "gtFine/"},
    )
    IMAGE_KEY = "image_left"

    def _features(self) -> dict[str, Any]:
        names = {row.label_id: row.name for row in label_spaces.LABEL_CLASSES}
        label_ids = tfds.features.LabeledImage(
            labels=[names[label_id] for label_id in range(_NUM_LABEL_IDS)],
            shape=(None, None, 1),
            encoding_format="png",
            doc="label ids, the very file; 0 everywhere where there is none",
        )
        return super()._features() | {"segmentation_label": label_ids}

    def _make_arguments(self) -> dict[str, str]:
        return super()._make_arguments() | {"label_ids_key": "segmentation_label"}
