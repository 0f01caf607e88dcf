"""All that training and evaluation want from the data, behind one object."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

from data_pipelines import input_pipeline, loading
from data_pipelines.domains import Domains, open_domains
from data_pipelines.label_spaces import CITYSCAPES_CLASSES, PALETTE


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

    def fingerprint(self, labelled: str) -> str:
        """Of all files behind a stage that uses the labels of 'source' or 'target'."""
        return self._training(labelled).fingerprint

    def train_batches(self, *, seed: int, start_step: int, labelled: str, with_target: bool) -> Iterator[dict]:
        """See input_pipeline.train_batches."""
        domains = self._training(labelled)
        return input_pipeline.train_batches(
            self.config, domains, seed=seed, start_step=start_step, source=labelled, with_target=with_target
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
        return self._evaluation.fingerprint

    def pictures(self, names, *, image_size) -> list[tuple]:
        """(name, image uint8 [h, w, 3], label uint8 [H, W] at native size) of some of target val's pictures."""
        found = {e.name: e for e in self._evaluation.target_val.examples if e.name in names}
        loaded = [(name, loading.load_example(found[name], tuple(image_size), None, "bicubic")) for name in names]
        return [(name, one.image, one.label) for name, one in loaded]
