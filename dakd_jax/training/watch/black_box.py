"""What is kept of a step that went wrong, so that it can be run again: the state before it, its batch, its settings.

A bundle is a folder: `about.json`, `state.npz`, `batch.npz` and, where the stage has a teacher, `teacher.npz`.
"""

import pathlib
import shutil
import zipfile
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.training.train_state import TrainState, as_format_3, from_format_3, named_leaves

ABOUT = "about.json"
MOST_NAMES = 6  # of values in one line


class BadStep(Exception):
    """A step whose loss, gradient or parameters are not finite.

    Attributes:
      step: its number, from 1.
      values: losses and norms that were not finite, by name.
      left_out: how many such steps before it were left out.
    """

    def __init__(self, step: int, values: Mapping[str, float] | None = None, left_out: int = 0):
        super().__init__(step)
        self.step, self.values, self.left_out = step, dict(values or {}), left_out

    @property
    def names(self) -> str:
        """What was not finite, for people: the first names with their values."""
        shown = [f"{name} ({value})" for name, value in list(self.values.items())[:MOST_NAMES]]
        more = len(self.values) - len(shown)
        return (", ".join(shown) or "something") + f" and {more} more" * (more > 0)

    def __str__(self) -> str:
        before = f", and {self.left_out} before it were left out, which is as many as may be" if self.left_out else ""
        return f"step {self.step}: {self.names} not finite{before}"


class FiniteWatch:
    """The steps' own verdicts, read when the device has them anyway.

    Args:
      most: how many steps may be left out, never more; None where the first one ends the run.
      skipped: how many were, before the run was stopped and went on.

    Attributes:
      skipped: how many steps were left out so far.
      newest: the newest step that was not finite, as an exception that may not have been raised; None for none.
    """

    def __init__(self, most: int | None, skipped: int = 0):
        self._waiting: deque = deque()
        self.most, self.skipped = most, skipped
        self.newest: BadStep | None = None

    def add(self, step: int, finite: jax.Array, values: Mapping[str, jax.Array] | None = None) -> None:
        """Notes the verdict of a step, and its values until that is read; waits for nothing."""
        self._waiting.append((step, finite, values or {}))

    def check(self, step: int) -> None:
        """Reads the verdicts up to a step. Raises BadStep for the first that ends the run."""
        due = []
        while self._waiting and self._waiting[0][0] <= step:
            due.append(self._waiting.popleft())
        verdicts = jax.device_get([finite for _, finite, _ in due])
        for (number, _, values), finite in zip(due, verdicts, strict=True):
            if finite:
                continue
            self.newest = BadStep(number, _not_finite(values), self.skipped)
            if self.most is None or self.skipped >= self.most:
                raise self.newest
            self.skipped += 1


def _not_finite(values: Mapping[str, jax.Array]) -> dict[str, float]:
    found = {name: float(value) for name, value in jax.device_get(dict(values)).items()}
    return {name: value for name, value in found.items() if not np.isfinite(value)}


class Bundle(NamedTuple):
    """A bundle that was read.

    Attributes:
      about: 'step', 'stage', 'config', 'rates', 'num_classes'; 'values' that were not finite when it happened, as text,
        'first_met_at_step' of them, and 'came_again': whether anything was not finite when the steps were repeated (an
        earlier version tells none of the three), and 'answers', of the teacher in the batch, see teaching/forms.py.
      state: arrays by name, see `fill`.
      batch: arrays by name.
      teacher: arrays by name, {} for none.
    """

    about: dict
    state: dict[str, np.ndarray]
    batch: dict[str, np.ndarray]
    teacher: dict[str, np.ndarray]

    @property
    def rates(self) -> dict:
        """{name: learning rate} of the step, float32 as in training."""
        told = self.about["rates"]  # a list of two in earlier versions
        named = told if isinstance(told, dict) else dict(zip(("segmenter", "discriminator"), told, strict=True))
        return {name: np.float32(rate) for name, rate in named.items()}


def save(folder: pathlib.Path, about: dict, rates: dict, state, batch: dict, teacher: dict | None) -> None:
    """Writes a bundle, whole or not at all."""
    unfinished = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        for name, tree in {"state": state, "batch": batch, "teacher": teacher}.items():
            if tree is not None:
                np.savez(unfinished / f"{name}.npz", **flatten(tree))
        told = about | {"rates": {name: float(rate) for name, rate in rates.items()}}
        records.write_json(unfinished / ABOUT, records.plain(told))
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load(folder: str | pathlib.Path) -> Bundle:
    """Reads a bundle. Raises UserError when it is not one, or not whole."""
    folder = pathlib.Path(folder).expanduser()
    about = records.read_json(folder / ABOUT)
    if about is None:
        raise UserError(f"--replay={folder}: no {ABOUT} in it; name a blackbox-* folder of a stage")
    state, batch = (_read(folder / f"{name}.npz") for name in ("state", "batch"))
    teacher = folder / "teacher.npz"
    return Bundle(about, state, batch, _read(teacher) if teacher.exists() else {})


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); the bundle is damaged") from None


def flatten(tree) -> dict[str, np.ndarray]:
    """Arrays of a tree by their dotted path."""
    return {name: np.asarray(leaf) for name, leaf in named_leaves(tree).items()}


def fill(like, arrays: dict[str, np.ndarray]):
    """A tree of the structure of `like` with the arrays of `flatten`. Raises UserError when they do not fit."""
    older = any(name.startswith("discriminators.") for name in arrays)  # of a state up to checkpoint format 3
    if older and isinstance(like, TrainState):
        return from_format_3(fill(as_format_3(like), arrays), like)
    wanted = named_leaves(like)
    if wrong := [name for name, leaf in wanted.items() if arrays.get(name, np.empty(0)).shape != leaf.shape]:
        raise UserError(f"the bundle does not fit its own settings, first at {wrong[0]}; it is damaged")
    return jax.tree.unflatten(jax.tree.structure(like), [jax.numpy.asarray(arrays[name]) for name in wanted])
