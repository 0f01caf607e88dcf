"""What the tfds builders share: features, sources, splits, and who makes the examples."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_pipelines.basics.errors import AccessError, DataError, MissingLabels
from data_pipelines.datasets import LAYOUTS, base
from data_pipelines.feeding.loaders import map_ahead
from data_pipelines.reading import label_spaces
from data_pipelines.reading.examples import Example
from data_pipelines.tfds_builders import beam
from data_pipelines.tfds_builders.archives import ArchivePath, close_archives
from data_pipelines.tfds_builders.pairs import ExampleFiles, TfdsExample, make
from data_pipelines.tfds_builders.sources import Archives, find_source

SPLIT_NAMES = {"train": tfds.Split.TRAIN, "val": tfds.Split.VALIDATION, "test": tfds.Split.TEST}
LABEL_DOC = f"train ids of the 19 Cityscapes classes; {label_spaces.IGNORE_LABEL} is ignored"


class ExamplesBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder whose examples are made one by one, here or on Beam.

    `info.metadata` says, for each split, how many pairs were left out and how many pixels of labels were outside of
    their table.
    """

    HOMEPAGE = ""
    LICENCE = ""
    IMAGE_KEY = "image"

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(self._features()),
            supervised_keys=(self.IMAGE_KEY, "label"),
            homepage=self.HOMEPAGE,
            license=self.LICENCE,
            metadata=tfds.core.MetadataDict(),
        )

    def _features(self) -> dict[str, Any]:
        return {
            "image_id": tfds.features.Text(doc="name of the example"),
            "file_name": tfds.features.Text(doc="file of the picture, relative to the dataset's folder"),
            self.IMAGE_KEY: tfds.features.Image(shape=(None, None, 3), doc="RGB, the file as it is"),
            "label": tfds.features.LabeledImage(
                labels=list(label_spaces.CITYSCAPES_CLASSES),
                shape=(None, None, 1),
                encoding_format="png",
                doc=LABEL_DOC,
            ),
        }

    def _download_and_prepare(self, dl_manager, download_config) -> None:
        self._on_beam = download_config.beam_runner is not None or download_config.beam_options is not None
        try:
            super()._download_and_prepare(dl_manager, download_config)
        finally:
            close_archives()

    def _generate_examples(self, split: str, jobs: Sequence[Any], make_example: Callable[[Any], TfdsExample]):
        """The examples of a split, or, where a Beam runner or Beam options were given, the transform to them."""
        if self._on_beam:
            return beam.transform(split, jobs, make_example)
        return self._generate_here(split, jobs, make_example)

    def _generate_here(
        self, split: str, jobs: Sequence[Any], make_example: Callable[[Any], TfdsExample]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        threads = os.cpu_count() or 1
        counts = Counter()
        for made in map_ahead(make_example, jobs, num_threads=threads, ahead=2 * threads):
            counts += beam.tally(made)
            self._note(split, counts)
            if made.features is not None:
                yield made.key, made.features

    def _process_pipeline_result(self, pipeline_result) -> None:
        for split, counts in beam.read_tallies(pipeline_result).items():
            self._note(split, counts)

    def _note(self, split: str, counts: Counter) -> None:
        self.info.metadata[split] = {name: counts[name] for name in ("left_out", "unknown_pixels")}


class OnDiskBuilder(ExamplesBuilder, skip_registration=True):
    """A builder of a dataset that lies in the manual directory, in archives or in folders.

    LAYOUT: its key in `datasets.LAYOUTS`. archives: the zip files in which it is downloaded.
    """

    LAYOUT: str
    archives: Archives

    def _find(self, root: Path | ArchivePath, split: str, labelled: bool) -> list[Example]:
        """The examples of a split as the reader of the layout lists them; raises a DataError as it does."""
        return base.examples_of(self.LAYOUT, LAYOUTS[self.LAYOUT].on_disk(root, split), labelled)

    def _split_generators(self, dl_manager) -> dict[str, Any]:
        manual_dir = Path(dl_manager.manual_dir)
        places = list(dict.fromkeys([manual_dir / self.name, manual_dir / self.LAYOUT, manual_dir]))
        root = find_source(self.name, places, self.archives, has_pictures=self._has_pictures)
        splits = {}
        for split in LAYOUTS[self.LAYOUT].splits:
            if examples := self._list(root, split):
                jobs = [ExampleFiles.of(self.LAYOUT, root, example) for example in examples]
                name = str(SPLIT_NAMES[split])
                splits[name] = self._generate_examples(name, jobs, partial(make, **self._make_arguments()))
        if not splits:  # archives, but not as they were released
            raise DataError(f"{self.name}: the archives in {manual_dir} hold no pictures; download them again")
        return splits

    def _make_arguments(self) -> dict[str, str]:
        return {"image_key": self.IMAGE_KEY}

    def _has_pictures(self, root: Path) -> bool:
        return any(self._list_unlabelled(root, split) for split in LAYOUTS[self.LAYOUT].splits)

    def _list_unlabelled(self, root: Path | ArchivePath, split: str) -> list[Example]:
        try:
            return self._find(root, split, False)
        except AccessError:
            raise
        except DataError:  # no such folder
            return []

    def _list(self, root: Path | ArchivePath, split: str) -> list[Example]:
        """The examples of a split, none where it is not there; only a test split may be without labels."""
        examples = self._list_unlabelled(root, split)
        if not examples:
            return []
        try:
            examples = self._find(root, split, True)
        except MissingLabels as error:
            if split != "test" or not error.all_missing:
                raise
        released = LAYOUTS[self.LAYOUT].official_counts[split]
        if len(examples) != released:
            logging.getLogger(__name__).warning(
                "%s: %d %s pictures, the release has %d", self.name, len(examples), split, released
            )
        return examples
