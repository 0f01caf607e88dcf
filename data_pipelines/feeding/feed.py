"""The data of a run for training and evaluation: label space, batches, fingerprints, licences, checks."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from data_pipelines.basics.errors import DataError
from data_pipelines.doctor import quick
from data_pipelines.domains import (
    Domains,
    SplitListing,
    benchmark,
    label_space,
    licence,
    target_lacks_labels,
    training_size,
)
from data_pipelines.feeding import input_pipeline, loaders, protocol_pictures, selection_pictures
from data_pipelines.reading import fingerprint
from data_pipelines.reading.examples import Split
from data_pipelines.reading.label_spaces import LabelSpace
from data_pipelines.reading.reading import Reader
from data_pipelines.reading.unreadable import Unreadable


@dataclasses.dataclass(frozen=True)
class Feed:
    """The domains of a config, opened when they are first asked for.

    Attributes:
      config: config.data.
      progress: told (done, total) while the toy city is rendered.
    """

    config: Any
    progress: Callable[[int, int], None] | None = None

    @functools.cached_property
    def label_space(self) -> LabelSpace:
        """What the train ids mean: the classes of source and target. Raises a DataError where they do not agree."""
        return label_space(self.config)

    class_names = property(attrgetter("label_space.class_names"))
    palette = property(attrgetter("label_space.palette"))
    categories = property(attrgetter("label_space.categories"))
    mean_instance_sizes = property(attrgetter("label_space.mean_instance_sizes"))
    label_ids = property(attrgetter("label_space.label_ids"))

    @functools.cached_property
    def benchmark(self) -> str:
        """What reports call the pair of domains, as 'bdd' or 'gta5 + my_city -> cityscapes'."""
        return benchmark(self.config)

    @functools.cached_property
    def _listing(self) -> SplitListing:
        return SplitListing(self.config, self.progress)

    @functools.cached_property
    def domains(self) -> Domains:
        """Source labelled, target unlabelled."""
        return self._listing.domains()

    def training_problem(self) -> str:
        """Why there is nothing to train on, '' when there is."""
        try:
            self.domains  # noqa: B018  opened for the error
        except DataError as error:
            return str(error)
        return ""

    @functools.cached_property
    def _labelled_target(self) -> Domains:
        return self._listing.domains(target_labels=True)

    @property
    def _target_val(self) -> Split:
        """Target val, without opening the other splits, which may be missing."""
        return self._listing.target_val

    def _training(self, labelled: str) -> Domains:
        return self._labelled_target if labelled == "target" else self.domains

    def fingerprint(self, labelled: str, with_target: bool) -> str:
        """Of the files that a stage learns from: the labels of 'source' or 'target', and the target's pictures."""
        roles = [f"{labelled}_train", *["target_train"] * (with_target and labelled != "target")]
        return self._training(labelled).fingerprint(*roles)

    def licences(self, labelled: str, with_target: bool) -> dict[str, str | None]:
        """{data set: licence in a line, None where it is unknown} of the files that fingerprint() is of."""
        found = self._training(labelled)
        splits = [found.source_train if labelled == "source" else found.target_train]
        splits += [found.target_train] * with_target
        parts = [part for split in splits for part in split.parts or (split,)]
        return {part.dataset: licence(self.config, part) for part in parts}

    def audit(self, labelled: Collection[str]) -> list[str]:
        """Warnings of a quick look at the files of stages that use the labels of 'source', 'target' or both.

        Before them a line where another loader is taken than data.loader says.

        Raises:
          DataError: such a stage would stop at one of the files, or learn from it wrongly.
        """
        found = quick.warn_or_raise(self.config, self._training("target" if "target" in labelled else "source"))
        return [*loaders.notes(self.config.loader), *found]

    def train_batches(
        self,
        *,
        seed: int,
        start_step: int,
        labelled: str,
        with_target: bool,
        mix_classes: bool,
        extras: Mapping[str, Any] | None = None,
        unreadable: Unreadable | None = None,
        network: str = "student",
        taught_on: tuple[str, ...] = (),
        clean: bool = False,
        identified: tuple[str, ...] = (),
        host: tuple[int, int] = (0, 1),
    ) -> Iterator[dict]:
        """See input_pipeline.train_batches."""
        return input_pipeline.train_batches(
            self.config,
            self._training(labelled),
            seed=seed,
            start_step=start_step,
            source=labelled,
            with_target=with_target,
            mix_classes=mix_classes,
            extras=extras,
            unreadable=unreadable,
            network=network,
            taught_on=taught_on,
            clean=clean,
            identified=identified,
            host=host,
        )

    def training_pictures(self, domain: str) -> Split:
        """The training pictures of 'source' or 'target', in the order of the indices that train_batches tells."""
        return self.domains.source_train if domain == "source" else self.domains.target_train

    def training_images(self, domain: str, indices: Sequence[int], *, network: str) -> Iterator[np.ndarray | None]:
        """Those training pictures as a network sees them, before any augmentation, see input_pipeline.images."""
        size = training_size(self.config, domain, network)
        return input_pipeline.images(
            self.training_pictures(domain), size, indices, threads=self.config.num_parallel_calls
        )

    def unreadable(self, report: Callable[[str], None]) -> Unreadable:
        """A counter, at 0, of the pictures that train_batches cannot read; `report` is given a line about each."""
        return Unreadable(self.config.max_unreadable, report)

    def eval_batches(
        self, *, image_size, label_size, resample, batch_size: int, host: tuple[int, int] = (0, 1)
    ) -> Iterator[dict]:
        """One pass over target val, see input_pipeline.eval_batches."""
        return input_pipeline.eval_batches(
            self._target_val,
            image_size=image_size,
            batch_size=batch_size,
            label_size=label_size,
            resample=resample,
            host=host,
            num_parallel_calls=self.config.num_parallel_calls,
        )

    @property
    def source_split(self) -> str:
        """'val'; 'train' where the source has no labelled validation pictures."""
        return "train" if self.domains.source_val is None else "val"

    def source_batches(
        self, *, count: int, batch_size: int, network: str = "student", host: tuple[int, int] = (0, 1)
    ) -> Iterator[dict]:
        """Some labelled pictures of source_split at a network's training size, see selection_pictures.py."""
        split = self.domains.source_val or self.domains.source_train
        size = training_size(self.config, "source", network)
        how = {"count": count, "batch_size": batch_size, "num_parallel_calls": self.config.num_parallel_calls}
        return selection_pictures.labelled_batches(split, size, **how, host=host)

    def target_batches(
        self, *, count: int, batch_size: int, network: str = "student", host: tuple[int, int] = (0, 1)
    ) -> Iterator[dict]:
        """Some of the target's unlabelled training pictures at a network's training size, see selection_pictures.py."""
        split, size = self.domains.target_train, training_size(self.config, "target", network)
        how = {"count": count, "batch_size": batch_size, "num_parallel_calls": self.config.num_parallel_calls}
        return selection_pictures.unlabelled_batches(split, size, **how, host=host)

    def selection_fingerprint(self, count: int) -> str:
        """Of the pictures of source_batches and target_batches."""
        domains = self.domains
        chosen = {"source": domains.source_val or domains.source_train, "target": domains.target_train}
        parts = ((role, selection_pictures.spread(split, count).fingerprint) for role, split in chosen.items())
        return fingerprint.of_roles(parts)

    def evaluation_names(self) -> tuple[str, ...]:
        """Names of target val's pictures, in order."""
        return tuple(example.name for example in self._target_val.examples)

    def evaluation_problem(self) -> str:
        """Why target val cannot be used, '' when it can."""
        return self._target_val.problem

    def target_lacks_labels(self) -> bool:
        """Whether a run may do without scores, since the target has no label at all."""
        return target_lacks_labels(self.config)

    def evaluation_fingerprint(self) -> str:
        """Of the files of target val."""
        return fingerprint.of_roles([("target_val", self._target_val.fingerprint)])

    def pictures(self, names, *, image_size, label_size=None, resample="bicubic") -> list[tuple]:
        """(name, image uint8 [h, w, 3], label uint8 [H, W]) of some of target val's pictures, as in eval_batches."""
        val, label_size = self._target_val, label_size and tuple(label_size)
        reader = Reader(val, tuple(image_size), label_size, resample)
        rows = {e.name: i for i, e in enumerate(val.examples)}
        loaded = [(name, reader.load(rows[name])) for name in names]
        return [(name, one.image, one.label) for name, one in loaded]

    def protocol_batches(
        self, *, views, label_sizes, batch_size: int, skip: frozenset[str] = frozenset()
    ) -> Iterator[dict]:
        """One pass over target val for many protocols at once, see protocol_pictures.batches."""
        return protocol_pictures.batches(
            self._target_val,
            views=views,
            label_sizes=label_sizes,
            batch_size=batch_size,
            instances=not self.instances_problem(),
            skip=skip,
            num_parallel_calls=self.config.num_parallel_calls,
        )

    def instances_problem(self) -> str:
        """Why target val's instances cannot be scored, '' when they can."""
        return protocol_pictures.instances_problem(self._target_val)

    def protocol_fingerprint(self) -> str:
        """Of the files of protocol_batches."""
        instances = protocol_pictures.instances_fingerprint(self._target_val)
        return fingerprint.of_roles([("target_val", self.evaluation_fingerprint()), ("instances", instances)])

    def target_pictures(self, split: str) -> Split:
        """The target's 'val' or 'test' pictures, without labels."""
        return self._listing.target_pictures(split)

    def picture_batches(self, pictures: Split, *, views, batch_size: int, skip: frozenset[str]) -> Iterator[dict]:
        """One pass over target_pictures() but those named in `skip`, see protocol_pictures.batches."""
        threads = self.config.num_parallel_calls
        how = {"batch_size": batch_size, "skip": skip, "num_parallel_calls": threads}
        return protocol_pictures.batches(pictures, views=views, **how)
