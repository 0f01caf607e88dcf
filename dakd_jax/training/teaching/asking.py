"""Answers of a teacher network, asked one picture at a time outside of the step, and kept where there is room.

Asked or kept, an answer is what `said` gives of one picture, rounded to the dtype in which it is kept: training has the
same bits either way. The host adds answers to a batch before the step takes it; what is asked stays on the device, and
goes to the file one batch later, when the device has it anyway.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.models import segmenter
from dakd_jax.models.precision import widened
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.training.teaching import Views, pictures_of
from dakd_jax.training.teaching.answer_files import AnswerFile
from dakd_jax.training.teaching.forms import AnswerForm, Logits, NetworkAnswers, Size, ViewLogits, entry


@functools.partial(jax.jit, static_argnames=("model", "views", "levels", "precision", "dtype"))
def said(
    variables: dict,
    pictures: jax.Array,
    *,
    model: Segmenter,
    views: Views,
    levels: tuple[str, ...],
    precision: str,
    dtype: str,
) -> jax.Array:
    """[B, entries] of a NetworkAnswers: what a network says of pictures uint8 [B, h, w, 3], with running statistics."""
    heads = _heads(variables, pictures, model, views, precision)
    logits = [getattr(of, level).reshape(len(pictures), -1) for of in heads for level in levels]
    return jnp.concatenate([widened(of) for of in logits], axis=1).astype(dtype)


def _heads(variables, pictures, model, views, precision):
    return [segmenter.forward(model, variables, view, precision=precision)[0] for view in pictures_of(pictures, views)]


@functools.cache
def form(
    model: Segmenter, size: Size, *, views: Views, levels: tuple[str, ...], precision: str, dtype: str
) -> NetworkAnswers:
    """What `said` gives of pictures of a (height, width); computes nothing."""
    variables = segmenter.shapes_of(model)
    picture = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
    views_of = jax.eval_shape(lambda picture: list(pictures_of(picture, views)), picture)
    heads = jax.eval_shape(lambda *of: _heads(*of, model, views, precision), variables, picture)
    shown = (
        ViewLogits(
            tuple(view.shape[1:3]),
            tuple(Logits(of, getattr(one, of).shape[1:], getattr(one, f"{of}_stride")) for of in levels),
        )
        for view, one in zip(views_of, heads, strict=True)
    )
    return NetworkAnswers(tuple(shown), views, dtype, model.auxiliary_tap)


class Answering(Protocol):
    """Gives the answers to a domain's pictures."""

    @property
    def form(self) -> AnswerForm: ...

    def of(self, which: np.ndarray, pictures: np.ndarray) -> np.ndarray | jax.Array:
        """[B, entries] of pictures uint8 [B, h, w, 3]; `which`: int64 [B, 2], see TrainingData.train_batches."""

    def close(self) -> None:
        """Ends what was begun."""


class AskedTeacher:
    """Answering of a network.

    Args:
      variables: {'params', 'batch_stats'}.
      model: the network.
      form: of its answers to the pictures of a domain.
      precision: what it computes in.
      file: where they are kept.
      count: how many pictures the domain has.
    """

    def __init__(
        self,
        variables: dict,
        model: Segmenter,
        form: NetworkAnswers,
        *,
        precision: str,
        file: AnswerFile,
        count: int,
    ):
        self.form, self.file, self._count = form, file, count
        levels = tuple(logits.level for logits in form.shown[0].logits)
        how = {"model": model, "views": form.views, "levels": levels, "precision": precision, "dtype": form.dtype}
        self._ask = functools.partial(said, variables, **how)
        self._asked: dict[int, jax.Array] = {}

    def slot(self, index: int, mirrored: int) -> int:
        """Of a picture, or its mirror image, in the file."""
        return int(index) + self._count * int(mirrored)

    def of(self, which: np.ndarray, pictures: np.ndarray) -> np.ndarray | jax.Array:
        slots = [self.slot(*one) for one in which]
        before, self._asked = self._asked, {}
        try:
            rows = [before[slot] if slot in before else self._row(slot, pictures[i]) for i, slot in enumerate(slots)]
        finally:  # whatever happens, what was answered is kept
            self._write(before)
        if all(isinstance(row, np.ndarray) for row in rows):
            return np.concatenate(rows)
        return jnp.concatenate(rows)

    def ensure(self, index: int, mirrored: int, picture: np.ndarray) -> None:
        """Keeps the answer to a picture uint8 [h, w, 3] that is not kept yet; it goes to the file at the next one."""
        before, self._asked = self._asked, {}
        try:
            self._row(self.slot(index, mirrored), picture)
        finally:
            self._write(before)

    def _row(self, slot: int, picture: np.ndarray) -> np.ndarray | jax.Array:
        if slot in self._asked:
            return self._asked[slot]
        if (kept := self.file.read(slot)) is not None:
            return kept[None]
        self._asked[slot] = self._ask(np.ascontiguousarray(picture)[None])
        return self._asked[slot]

    def _write(self, answers: Mapping[int, jax.Array]) -> None:
        for slot, answer in answers.items():
            self.file.write(slot, np.asarray(answer)[0])

    def close(self) -> None:
        """Keeps what was asked last."""
        asked, self._asked = self._asked, {}
        self._write(asked)
        self.file.close()


def added(
    batches: Iterator[dict], answering: Mapping[str, Answering], blank: Mapping[str, AnswerForm] | None = None
) -> Iterator[dict]:
    """The batches with answers in them, in place of what they tell of the teacher's pictures.

    Args:
      batches: of TrainingData.train_batches, with the domains of `answering` identified.
      answering: {domain: who answers}.
      blank: {domain: form} of domains that the step is compiled for and no answer is wanted of.

    Closes `batches` when it is closed itself.
    """
    blanks: dict[str, jax.Array] = {}
    try:
        for batch in batches:
            batch = dict(batch)
            for domain, form_of in (blank or {}).items():
                if domain not in blanks:
                    blanks[domain] = jnp.zeros((len(batch["source_image"]), form_of.entries), form_of.dtype)
                batch[entry(domain)] = blanks[domain]
            for domain, of in answering.items():
                which = batch.pop(f"{domain}_picture")
                pictures = batch.pop(f"teacher_{domain}_image", batch[f"{domain}_image"])
                batch[entry(domain)] = of.of(which, pictures)
            yield batch
    finally:
        for of in answering.values():
            of.close()
        if hasattr(batches, "close"):
            batches.close()
