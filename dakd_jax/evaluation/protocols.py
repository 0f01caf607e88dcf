"""Every protocol of the matrix as data (docs/protocols.md)."""

import dataclasses
import math

from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation.predict import PROTOCOLS, Protocol

SMALL = (1024, 512)  # width, height: what the released evaluation script compares at
SMALLEST_SIDE = 8  # pixels, of an input at a small scale
MIN_OVERLAP = 1 / 3  # of a window's side, between neighbours of a sliding window (Zhao et al., PSPNet, 2017)


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Mean of the class probabilities of several inputs, at native size, running statistics.

    Attributes:
      scales: of the training size, that the native picture is resized to.
      mirror: whether each input is also given as its mirror image.
    """

    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False


@dataclasses.dataclass(frozen=True)
class SlidingWindow:
    """Mean of the class probabilities of overlapping windows of the training size, cut from the native picture."""


@dataclasses.dataclass(frozen=True)
class NamedProtocol:
    """A protocol of the matrix.

    Attributes:
      name: how commands and files call it.
      title: a few words, for tables.
      meaning: one sentence.
      rules: how it is done.
    """

    name: str
    title: str
    meaning: str
    rules: Protocol | Ensemble | SlidingWindow

    @property
    def label_size(self) -> tuple[int, int] | None:
        """(width, height) that labels are compared at; None = native."""
        return getattr(self.rules, "label_size", None)


def matrix(scales: tuple[float, ...]) -> dict[str, NamedProtocol]:
    """All protocols by name, in the order of tables.

    Args:
      scales: of the multi-scale protocols, e.g. (0.75, 1.0, 1.25).

    Raises:
      UserError: a scale that is no number above 0, or none.
    """
    scales = tuple(scales)
    if not scales or not all(isinstance(s, (int, float)) and s > 0 and math.isfinite(s) for s in scales):
        raise UserError(f"config.eval.scales={scales}: expected numbers > 0, e.g. 0.75,1.0,1.25")
    listed = ", ".join(f"{scale:g}" for scale in scales)
    released = PROTOCOLS["released"]
    rows = (
        ("native", "native", "The picture at the training size, labels at their native size.", PROTOCOLS["native"]),
        ("native_picture_statistics", "native, picture statistics",
         "As native, but batch norm takes the statistics of each single picture.",
         PROTOCOLS["native_picture_statistics"]),
        ("small_labels", "labels at 1024x512", "As native, but prediction and labels are compared at 1024x512.",
         Protocol(label_size=SMALL)),
        ("released", "released",
         "The released evaluation script: picture at 1024x512 by bilinear, values 0 to 1 without a mean, statistics of "
         "each picture, compared at 1024x512.", released),
        ("released_running", "released, running statistics",
         "As released, but batch norm takes the running statistics of training.",
         dataclasses.replace(released, statistics="running")),
        ("mirror", "mirror", "As native, mean with the mirror image.", Ensemble(mirror=True)),
        ("multi_scale", "multi-scale", f"As native, mean over the scales {listed}.", Ensemble(scales)),
        ("multi_scale_mirror", "multi-scale, mirror",
         f"As native, mean over the scales {listed} and their mirror images.", Ensemble(scales, mirror=True)),
        ("sliding_window", "sliding window",
         "Windows of the training size, cut from the native picture with an overlap of at least a third, averaged.",
         SlidingWindow()),
    )  # fmt: skip
    return {row[0]: NamedProtocol(*row) for row in rows}


def at_native_size(row: NamedProtocol) -> NamedProtocol:
    """The same protocol with predictions at the native size."""
    if row.label_size is None:
        return row
    return dataclasses.replace(row, rules=dataclasses.replace(row.rules, label_size=None))


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(width, height) times a scale, in whole pixels, at least SMALLEST_SIDE."""
    return tuple(max(SMALLEST_SIDE, round(side * scale)) for side in size)


def window_starts(length: int, window: int) -> tuple[int, ...]:
    """Where windows begin that cover a side of a picture, evenly spaced, as few as overlap by MIN_OVERLAP."""
    if length <= window:
        return (0,)
    steps = math.ceil((length - window) / (window * (1 - MIN_OVERLAP)))
    return tuple(round(i * (length - window) / steps) for i in range(steps + 1))
