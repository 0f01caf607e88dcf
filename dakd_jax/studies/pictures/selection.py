"""Which pictures are shown: by how much distillation changed their own score, at random, or by name."""

import difflib
from collections.abc import Sequence

import numpy as np

from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import metrics
from dakd_jax.stages.settings import MOST_PICTURES

CHOSEN = "chosen"


def own_miou(confusions: np.ndarray) -> np.ndarray:
    """Of each picture the mean IoU over the classes that its own label holds, as a fraction.

    Args:
      confusions: integer [N, C, C], indexed [picture, label, prediction].

    Returns:
      float64 [N]; NaN where nothing is labelled.
    """
    return np.array([metrics.scores(one).miou_present for one in confusions], np.float64)


def _order(how: str, changes: np.ndarray, seed: int) -> np.ndarray:
    """Indices of all pictures, of which the first ones are shown; of equal ones the first, NaN last."""
    if how == "random":
        return np.random.Generator(np.random.Philox(seed)).permutation(len(changes))
    return np.argsort(-changes if how == "most_improved" else changes, kind="stable")


def select(how: str, names: Sequence[str], changes: np.ndarray, *, count: int, seed: int) -> tuple[str, ...]:
    """Names of the pictures of a selection; fewer than `count` where there are not more with any label.

    A larger count adds pictures at the end.

    Args:
      how: one of settings.SELECTIONS.
      names: N names.
      changes: float64 [N], the case's own mIoU minus the reference's; NaN where nothing is labelled.
      seed: of 'random'.
    """
    order = [index for index in _order(how, changes, seed) if not np.isnan(changes[index])]
    return tuple(names[index] for index in order[:count])


def chosen(wanted: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The wanted names, each once.

    Raises:
      UserError: one of them is no picture of target val, or they are more than a figure holds.
    """
    wanted = tuple(dict.fromkeys(wanted))
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise UserError(f"config.figures.pictures: target val has no picture {name!r}; the nearest is {near[0]!r}")
    if len(wanted) > MOST_PICTURES:
        raise UserError(
            f"config.figures.pictures names {len(wanted)} pictures: one figure holds at most {MOST_PICTURES}"
        )
    return wanted
