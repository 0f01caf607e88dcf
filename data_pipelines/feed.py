"""All that training and evaluation want from the data, behind one object."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator
from typing import Any

from data_pipelines import input_pipeline
from data_pipelines.doctor import quick
from data_pipelines.domains import Domains, open_domains
from data_pipelines.label_spaces import CITYSCAPES_CLASSES, PALETTE
from data_pipelines.reading import Reader


@dataclasses.dataclass(frozen=True)
class Feed:
    """The domains of a config, opened when they are first asked for.

    Attributes:
      config: config.data.
      progress: told (done, total) while the toy city is rendered.
      class_names, palette: of the label space.
    """

    config: Any
    progress: Callable[[int, int], None] | None = None
    class_names: tuple[str, ...] = CITYSCAPES_CLASSES
    palette: Any = dataclasses.field(default_factory=lambda: PALETTE)

    @functools.cached_property
    def domains(self) -> Domains:
        """Source labelled, target unlabelled."""
        return open_domains(self.config, progress=self.progress)

    @functools.cached_property
    def _labelled_target(self) -> Domains:
        return open_domains(self.config, need_target_labels=True, progress=self.progress)

    @functools.cached_property
    def _evaluation(self) -> Domains:
        """Target val; nothing else need be there."""
        return open_domains(self.config, need_source=False, need_target=False, progress=self.progress)

    def _training(self, labelled: str) -> Domains:
        return self._labelled_target if labelled == "target" else self.domains

    def fingerprint(self, labelled: str, with_target: bool) -> str:
        """Of the files that a stage learns from: the labels of 'source' or 'target', and the target's pictures."""
        roles = [f"{labelled}_train", *["target_train"] * (with_target and labelled != "target")]
        return self._training(labelled).fingerprint(*roles)

    def audit(self, labelled: Collection[str]) -> list[str]:
        """Warnings of a quick look at the files of stages that use the labels of 'source', 'target' or both.

        Raises:
          DataError: such a stage would stop at one of the files, or learn from it wrongly.
        """
        return quick.warn_or_raise(self.config, self._training("target" if "target" in labelled else "source"))

    def train_batches(
        self, *, seed: int, start_step: int, labelled: str, with_target: bool, mix_classes: bool
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
        )

    def eval_batches(self, *, image_size, label_size, resample, batch_size: int) -> Iterator[dict]:
        """One pass over target val, see input_pipeline.eval_batches."""
        return input_pipeline.eval_batches(
            self._evaluation.target_val,
            image_size=image_size,
            batch_size=batch_size,
            label_size=label_size,
            resample=resample,
        )

    def evaluation_names(self) -> tuple[str, ...]:
        """Names of target val's pictures, in order."""
        return tuple(example.name for example in self._evaluation.target_val.examples)

    def evaluation_problem(self) -> str:
        """Why target val cannot be used, '' when it can."""
        return self._evaluation.target_val.problem

    def evaluation_fingerprint(self) -> str:
        """Of the files of target val."""
        return self._evaluation.fingerprint("target_val")

    def pictures(self, names, *, image_size) -> list[tuple]:
        """(name, image uint8 [h, w, 3], label uint8 [H, W] at native size) of some of target val's pictures."""
        val = self._evaluation.target_val
        reader, rows = Reader(val, tuple(image_size), None), {e.name: i for i, e in enumerate(val.examples)}
        loaded = [(name, reader.load(rows[name])) for name in names]
        return [(name, one.image, one.label) for name, one in loaded]
