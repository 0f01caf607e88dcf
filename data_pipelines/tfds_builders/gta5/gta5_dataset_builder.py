"""GTA5 ("Playing for Data")."""

import tensorflow_datasets as tfds

from data_pipelines.datasets import gta5
from data_pipelines.tfds_builders.segmentation_builder import OnDiskBuilder
from data_pipelines.tfds_builders.sources import Archives


class Builder(OnDiskBuilder):
    """24,966 pictures of a computer game; sizes vary, pairs whose sizes differ are left out."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Pictures as released, labels as train ids."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Download 01_images.zip to 10_images.zip and 01_labels.zip to 10_labels.zip from
    https://download.visinf.tu-darmstadt.de/data/from_games/ into manual_dir, or into gta5/ in it. They are read as
    they are; extracted folders are read as well: images/00001.png, labels/00001.png. Some of the ten parts are
    enough, pictures and labels of the same ones.
    """
    HOMEPAGE = "https://download.visinf.tu-darmstadt.de/data/from_games/"
    LICENCE = gta5.LICENCE
    LAYOUT = "gta5"
    archives = Archives(
        kinds=(("??_images.zip",), ("??_labels.zip",)),
        folders={"images/": "images/", "labels/": "labels/"},
    )
