"""The procedural city: rendered here, nothing is downloaded."""

import dataclasses
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tensorflow_datasets as tfds

from data_pipelines.datasets import LAYOUTS, base
from data_pipelines.datasets.toy_streets import LOOKS, RENDERER_VERSION, ToyCity, writer
from data_pipelines.tfds_builders.pairs import ExampleFiles, TfdsExample, make
from data_pipelines.tfds_builders.segmentation_builder import SPLIT_NAMES, ExamplesBuilder


@dataclasses.dataclass(eq=False, kw_only=True)
class Config(tfds.core.BuilderConfig):
    """One look of a city; a config of your own may name another city."""

    look: str
    city: ToyCity = ToyCity()


class Builder(ExamplesBuilder):
    """Street scenes with exact labels in the looks of a game, of America and of Europe."""

    VERSION = tfds.core.Version(f"{RENDERER_VERSION}.0.0")
    RELEASE_NOTES = {"1.0.0": "The first city."}
    BUILDER_CONFIGS = [
        Config(name=look.name, look=look.name, description=f"The {look.name} look, files as in {look.dataset}.")
        for look in LOOKS.values()
    ]
    HOMEPAGE = "https://arxiv.org/abs/2011.08007"
    LICENCE = "Apache-2.0"

    def _split_generators(self, dl_manager) -> dict[str, Any]:
        del dl_manager
        config = self.builder_config
        jobs = [job for job in writer.jobs(config.city) if job[0] == config.look]
        splits = {}
        for split in dict.fromkeys(split for _, split, _ in jobs):
            name, of_split = str(SPLIT_NAMES[split]), [job for job in jobs if job[1] == split]
            splits[name] = self._generate_examples(name, of_split, partial(render_example, config.city))
        return splits


def render_example(city: ToyCity, job: writer.Job) -> TfdsExample:
    """The example of a look, split and index: the files that the city on disk has, read as they are there."""
    with TemporaryDirectory() as folder:
        root = writer.write_picture(Path(folder), city, job)
        (example,) = base.examples_of(root.name, LAYOUTS[root.name].on_disk(root, job[1]), True)
        return make(ExampleFiles.of(root.name, root, example))
