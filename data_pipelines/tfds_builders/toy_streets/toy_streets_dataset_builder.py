"""The procedural city: rendered here, nothing is downloaded."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tensorflow_datasets as tfds

from data_pipelines.datasets import LAYOUTS, base
from data_pipelines.datasets.toy_streets import LOOKS, RENDERER_VERSION, ToyCity, render, writer
from data_pipelines.datasets.toy_streets.layouts import SAVERS
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
        jobs = [(config.city, *job) for job in writer.jobs(config.city) if job[0] == config.look]
        splits = {}
        for split in dict.fromkeys(split for _, _, split, _ in jobs):
            name = str(SPLIT_NAMES[split])
            splits[name] = self._generate_examples(name, [job for job in jobs if job[2] == split], render_example)
        return splits


def render_example(job: tuple[ToyCity, str, str, int]) -> TfdsExample:
    """The example of a city, look, split and index: the files that the city on disk has, read as they are there."""
    city, look, split, index = job
    layout = LOOKS[look].dataset
    with TemporaryDirectory() as folder:
        root = Path(folder)
        SAVERS[layout](root, split, index, render(city.seed, look, split, index, city.size))
        (example,) = base.examples_of(layout, LAYOUTS[layout].on_disk(root, split), True)
        return make(ExampleFiles.of(layout, root, example))
