"""What the answers that come with a batch hold, and the step's way from them to what the losses look at.

A form is static in the compiled step. It says how an array [B, entries] is to be understood: the rows of a batch entry
`teacher_<domain>_answers`, each the answer to one picture.
"""

import dataclasses
import math
from typing import NamedTuple, Protocol

import jax

from dakd_jax.models import segmenter
from dakd_jax.objectives.context import Outputs
from dakd_jax.training.teaching import Views, combined

Size = tuple[int, int]  # (height, width)


def entry(domain: str) -> str:
    """The batch's entry with the answers of 'source' or 'target'."""
    return f"teacher_{domain}_answers"


class AnswerForm(Protocol):
    """How an answer is understood; hashable, and equal where it is understood alike."""

    @property
    def entries(self) -> int:
        """Numbers of an answer."""

    @property
    def dtype(self) -> str:
        """Of these numbers."""

    def outputs(self, answers: jax.Array, size: Size) -> Outputs:
        """Answers [B, entries] as log-probabilities at the student's size, without features."""


class Logits(NamedTuple):
    """Logits of a head: which, their shape (h, w, classes), and their stride."""

    level: str
    shape: tuple[int, int, int]
    stride: int

    @property
    def entries(self) -> int:
        return math.prod(self.shape)


class Shown(NamedTuple):
    """A view of the picture, its size, and the logits of the heads that are kept of it."""

    size: Size
    logits: tuple[Logits, ...]


@dataclasses.dataclass(frozen=True)
class NetworkAnswers:
    """Logits at the network's stride, of every view one after another.

    Attributes:
      shown: the views.
      views: that they are.
      dtype: 'float32' or 'float16'.
      tap: see Outputs.
    """

    shown: tuple[Shown, ...]
    views: Views
    dtype: str
    tap: str

    @property
    def entries(self) -> int:
        return sum(logits.entries for view in self.shown for logits in view.logits)

    def outputs(self, answers: jax.Array, size: Size) -> Outputs:
        """As teaching.answers gives them of the network, but for the features."""
        found, first = [], 0
        for view in self.shown:
            log_probs = {}
            for logits in view.logits:
                part = answers[:, first : first + logits.entries].reshape(-1, *logits.shape)
                log_probs[logits.level] = segmenter.log_probabilities(part, view.size, logits.stride)
                first += logits.entries
            found.append(Outputs(log_probs, {}, self.tap))
        if self.views.plain and self.shown[0].size == tuple(size):
            return found[0]
        return combined(found, size, self.views)
