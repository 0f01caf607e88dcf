"""tensorflow-datasets builders of the datasets; importing this registers them.

    import data_pipelines.tfds_builders
    tfds.load("gta5", download_and_prepare_kwargs={"download_config": tfds.download.DownloadConfig(manual_dir=...)})

Each has its folder, with what tfds shows of it (README.md, CITATIONS.bib, TAGS.txt). Needs tensorflow-datasets, so
nothing else in data_pipelines imports this.
"""

from data_pipelines.tfds_builders.bdd100k_seg.bdd100k_seg_dataset_builder import Builder as Bdd100kSeg
from data_pipelines.tfds_builders.cityscapes_seg.cityscapes_seg_dataset_builder import Builder as CityscapesSeg
from data_pipelines.tfds_builders.gta5.gta5_dataset_builder import Builder as Gta5
from data_pipelines.tfds_builders.toy_streets.toy_streets_dataset_builder import Builder as ToyStreets

__all__ = ["Bdd100kSeg", "CityscapesSeg", "Gta5", "ToyStreets"]
