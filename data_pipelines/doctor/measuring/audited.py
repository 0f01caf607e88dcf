"""A split as the checks see it."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.doctor.measuring.inventory import Inventory
from data_pipelines.doctor.measuring.measuring import Facts, LabelFacts, PictureFacts
from data_pipelines.reading.examples import Example


@dataclasses.dataclass(frozen=True, eq=False)
class AuditedSplit:
    """The files of a split and the facts measured of them.

    Attributes:
      inventory: its files.
      facts: of each example, in the order of the inventory's examples.
      contents: of each example's picture, a hash of its content, '' where it is not known.
      bit_depth: how many bits the values of wide pictures use, 0 refuses these.
    """

    inventory: Inventory
    facts: Sequence[Facts]
    contents: Sequence[str]
    bit_depth: int = 0

    @property
    def whole(self) -> bool:
        """Whether every file was decoded, not a sample."""
        return all(facts.decoded for facts in self.facts)

    @property
    def num_decoded(self) -> int:
        """How many pictures were decoded."""
        return sum(facts.decoded for facts in self.facts)

    def pictures(self) -> Iterator[tuple[Path, PictureFacts]]:
        """Every picture and its facts."""
        for example, facts in zip(self.inventory.examples, self.facts, strict=True):
            yield example.image, facts.image

    def labels(self) -> Iterator[tuple[Example, LabelFacts]]:
        """Every example that has a label, and the label's facts."""
        for example, facts in zip(self.inventory.examples, self.facts, strict=True):
            if facts.label is not None:
                yield example, facts.label

    def class_counts(self) -> np.ndarray:
        """int64 [N, 20]: pixels of each class and, last, of void in the labels that were decoded and are fine."""
        counts = [label.counts for _, label in self.labels() if label.counts is not None]
        return np.stack(counts) if counts else np.zeros((0, 20), np.int64)
