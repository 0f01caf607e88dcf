"""What the answers that come with a batch hold, and the step's way from them to what the losses look at.

A form is static in the compiled step. It says how an array [B, entries] is to be understood: the rows of a batch entry
`teacher_<domain>_answers`, each the answer to one picture.
"""

import dataclasses
import math
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.models.precision import widened
from dakd_jax.objectives.context import LEVELS
from dakd_jax.objectives.outputs import Outputs, Unexpanded
from dakd_jax.training.teaching import Views, combined, logarithm, resized

Size = tuple[int, int]  # (height, width)
LOGITS, PROBABILITIES, LABELS = KINDS = ("logits", "probabilities", "labels")  # of answers that are handed in
# A label says at most so much of its class: of none the student's log-probability could come to a logarithm of 0.
MOST_SURE = 0.99


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

    def said(self, answers: jax.Array, size: Size) -> Outputs | Unexpanded:
        """Answers [B, entries] as outputs at the student's (height, width), without features."""


class Logits(NamedTuple):
    """Logits of a head: which, their shape (h, w, classes), and their stride."""

    level: str
    shape: tuple[int, int, int]
    stride: int

    @property
    def entries(self) -> int:
        return math.prod(self.shape)


class ViewLogits(NamedTuple):
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

    shown: tuple[ViewLogits, ...]
    views: Views
    dtype: str
    tap: str

    @property
    def entries(self) -> int:
        return sum(logits.entries for view in self.shown for logits in view.logits)

    def said(self, answers: jax.Array, size: Size) -> Outputs | Unexpanded:
        """As teaching.answers gives them of the network, but for the features."""
        found, first = [], 0
        for view in self.shown:
            logits = {}
            for one in view.logits:
                logits[one.level] = answers[:, first : first + one.entries].reshape(-1, *one.shape)
                first += one.entries
            strides = tuple((one.level, one.stride) for one in view.logits)
            found.append(Unexpanded(logits, {}, strides, view.size, self.tap))
        if self.views.plain and self.shown[0].size == tuple(size):
            return found[0]
        return combined(found, size, self.views)


@dataclasses.dataclass(frozen=True)
class HandedIn:
    """Answers of another program, which stand for both heads.

    Attributes:
      kind: one of KINDS; with 'labels' classes uint8, and where `confidence` is 0 after them that of each pixel, uint8.
      shape: (height, width, their classes).
      channels_first: whether logits or probabilities lie as [classes, height, width].
      ours: of each of their classes the train id that it means, -1 for none: its probability is shared out.
      num_classes: ours.
      dtype: of the arrays.
      confidence: of all labels, in (0, MOST_SURE]; 0 where every pixel has its own, of 255.
    """

    kind: str
    shape: tuple[int, int, int]
    channels_first: bool
    ours: tuple[int, ...]
    num_classes: int
    dtype: str
    confidence: float = 0.0

    @property
    def entries(self) -> int:
        height, width, classes = self.shape
        return height * width * (classes if self.kind != LABELS else 1 + (not self.confidence))

    def said(self, answers: jax.Array, size: Size) -> Outputs:
        """Probabilities of our classes, resized as those of a teacher with a size of its own, and their logarithms."""
        probabilities = self._of_labels(answers) if self.kind == LABELS else self._of_numbers(answers)
        log_probs = logarithm(resized(probabilities, size))
        return Outputs(dict.fromkeys(LEVELS, log_probs), {}, "")

    def _of_numbers(self, answers):
        height, width, classes = self.shape
        if self.channels_first:
            answers = answers.reshape(-1, classes, height, width).transpose(0, 2, 3, 1)
        values = widened(answers.reshape(-1, height, width, classes))
        if self.kind == LOGITS:
            values = jax.nn.softmax(values, axis=-1)
        if self.ours != tuple(range(self.num_classes)):
            values = jnp.einsum("bhwt,to->bhwo", values, self._table(), precision="highest")
        total = jnp.sum(values, axis=-1, keepdims=True)
        return values / jnp.maximum(total, jnp.finfo(values.dtype).tiny)

    def _table(self) -> np.ndarray:
        """float32 [their classes, ours], 1 where one means the other."""
        return (np.array(self.ours)[:, None] == np.arange(self.num_classes)).astype(np.float32)

    def _of_labels(self, answers):
        """The label's class has the confidence, all others the rest in equal parts."""
        height, width, _ = self.shape
        parts = answers.reshape(-1, 1 + (not self.confidence), height, width)
        least = 1 / self.num_classes
        sure = jnp.float32(self.confidence) if self.confidence else parts[:, 1].astype(jnp.float32) / 255
        sure = jnp.clip(sure, least, MOST_SURE)[..., None]
        chosen = jnp.asarray(self._table())[parts[:, 0].astype(jnp.int32)] > 0
        return jnp.where(chosen, sure, (1 - sure) / max(1, self.num_classes - 1))


def told(forms: tuple[tuple[str, AnswerForm], ...]) -> dict:
    """StepOptions.answers as plain data."""
    return {domain: {"of": type(form).__name__} | dataclasses.asdict(form) for domain, form in forms}


def of_told(plain: dict) -> tuple[tuple[str, AnswerForm], ...]:
    """StepOptions.answers from the plain data of `told`, perhaps by way of JSON."""
    return tuple((domain, _of_told(dict(form))) for domain, form in plain.items())


def _of_told(form: dict) -> AnswerForm:
    if form.pop("of") == HandedIn.__name__:
        return HandedIn(**form | {"shape": tuple(form["shape"]), "ours": tuple(form["ours"])})
    shown = (
        ViewLogits(tuple(size), tuple(Logits(level, tuple(shape), stride) for level, shape, stride in logits))
        for size, logits in form["shown"]
    )
    views = Views(form["views"]["mirror"], tuple(form["views"]["scales"]))
    return NetworkAnswers(tuple(shown), views, form["dtype"], form["tap"])
