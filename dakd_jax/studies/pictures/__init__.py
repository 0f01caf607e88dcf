"""Pictures that show what distillation did: which ones are chosen, by their own scores, and what networks make of them.

Definitions: docs/figures.md.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from dakd_jax.studies.pictures.selection import own_miou


@dataclasses.dataclass(frozen=True, eq=False)
class PictureScores:
    """Each picture of target val by itself.

    Attributes:
      names: N names, in order.
      confusions: network -> int64 [N, C, C], indexed [picture, label, prediction].
    """

    names: tuple[str, ...]
    confusions: Mapping[str, np.ndarray]

    def miou(self, network: str, names: Sequence[str] | None = None) -> np.ndarray:
        """float64 [N] of all pictures, or of those with these names; see selection.own_miou."""
        rows = slice(None) if names is None else [self.names.index(name) for name in names]
        return own_miou(self.confusions[network][rows])


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """A picture to be drawn.

    Attributes:
      name: of the picture.
      image: uint8 [h, w, 3] RGB, of any size: it is drawn at the label's shape.
      label: uint8 [H, W] of classes, 255 = ignore.
      predictions: network -> uint8 [H, W] of classes.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    predictions: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """What the figures of one experiment are about.

    Attributes:
      title, command: of the experiment, and what makes the same again.
      class_names, palette: C names and uint8 [C, 3] RGB colours.
      titles: network -> what people call it.
      reference: the undistilled student.
      cases: the distilled networks.
      case: the one of them that pictures are selected by.
      scores: of every network on every picture.
      selections: 'most_improved', 'least_improved', 'random' or 'chosen' -> names of pictures, in order.
      notes: what a reader must know, one sentence each.
    """

    title: str
    command: str
    class_names: tuple[str, ...]
    palette: np.ndarray
    titles: Mapping[str, str]
    reference: str
    cases: tuple[str, ...]
    case: str
    scores: PictureScores
    selections: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    @property
    def networks(self) -> tuple[str, ...]:
        """Those that are drawn, in the supplement's order: the cases, the teacher, the undistilled student."""
        return (*self.cases, *["teacher"] * ("teacher" in self.titles), self.reference)

    def changes(self) -> np.ndarray:
        """float64 [N]: each picture's own mIoU of the case minus that of the reference; NaN without labels."""
        return self.scores.miou(self.case) - self.scores.miou(self.reference)
