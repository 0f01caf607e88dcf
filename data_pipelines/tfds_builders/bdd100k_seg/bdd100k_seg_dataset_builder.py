"""BDD100K, semantic segmentation, both releases."""

import dataclasses
from pathlib import Path

import tensorflow_datasets as tfds

from data_pipelines.datasets import base, bdd100k
from data_pipelines.reading.examples import Example
from data_pipelines.tfds_builders.archives import ArchivePath
from data_pipelines.tfds_builders.segmentation_builder import OnDiskBuilder
from data_pipelines.tfds_builders.sources import Archives


@dataclasses.dataclass(eq=False, kw_only=True)
class Config(tfds.core.BuilderConfig):
    """One release: its folders, and the archives it is downloaded in."""

    release: bdd100k.Release
    archives: Archives


_SEG, _TEN_K = bdd100k.RELEASES


class Builder(OnDiskBuilder):
    """7,000 + 1,000 American street pictures of 1280x720 with labels, and 2,000 without."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Pictures and train ids as released."}
    BUILDER_CONFIGS = [
        Config(
            name="seg_2018",
            description="The first release, which the paper uses: folder seg/.",
            release=_SEG,
            archives=Archives(kinds=(("bdd100k_seg.zip", "bdd100k_seg_2018.zip"),), folders={"seg/": "seg/"}),
        ),
        Config(
            name="seg_2020",
            description="The release of 2020: folders images/10k/ and labels/sem_seg/.",
            release=_TEN_K,
            archives=Archives(
                kinds=(("bdd100k_images_10k.zip", "10k_images_*.zip"), ("bdd100k_sem_seg_labels_trainval.zip",)),
                folders={"images/10k/": "images/10k/", "10k/": "images/10k/", "labels/sem_seg/": "labels/sem_seg/"},
            ),
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    After registration at https://bdd-data.berkeley.edu/ download into manual_dir, or into bdd100k/ in it,
      for seg_2018: bdd100k_seg.zip;
      for seg_2020: "10K Images" (bdd100k_images_10k.zip, or 10k_images_train.zip, 10k_images_val.zip and
      10k_images_test.zip) and "Segmentation" (bdd100k_sem_seg_labels_trainval.zip).
    They are read as they are; the extracted folders are read as well: seg/images/train/*.jpg and
    seg/labels/train/*_train_id.png, or images/10k/train/*.jpg and labels/sem_seg/masks/train/*.png.
    """
    HOMEPAGE = "https://www.vis.xyz/bdd100k/"
    LICENCE = bdd100k.LICENCE
    LAYOUT = "bdd100k"

    @property
    def archives(self) -> Archives:
        """Of the chosen release."""
        return self.builder_config.archives

    def _find(self, root: Path | ArchivePath, split: str, labelled: bool) -> list[Example]:
        return base.examples_of("bdd100k", bdd100k.on_disk(root, split, (self.builder_config.release,)), labelled)
