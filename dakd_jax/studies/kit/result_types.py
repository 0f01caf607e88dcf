"""What an experiment found, for people: tables, figures, and one HTML page.

The classes here are the input of every room of the report. They hold numpy arrays and plain data only, so a
report can be written from files long after the training.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dakd_jax.evaluation import metrics

# Stage name -> short name for columns and legends, in the order of tables: a network after what it builds on.
SHORT_NAMES = {
    "source_only": "source only",
    "student": "student",
    "student_continued": "continued",
    "teacher": "teacher",
    "case_a": "(a)",
    "case_b": "(b)",
    "case_c": "(c)",
    "case_d": "(d)",
    "target_supervised": "supervised",
}
CASES = ("case_a", "case_b", "case_c", "case_d")

# References and not competitors: a larger network, and one that saw target labels.
NOT_COMPARED = ("teacher", "target_supervised")

# The supplement's order of pictures, with the networks that it does not show before and after.
PICTURE_ORDER = ("source_only", "teacher", "student", "student_continued", *CASES, "target_supervised")

METRIC_NAMES = {"miou": "mIoU", "miou_present": "mIoU of present classes"}
MEANS = ("miou", "miou_present", "pixel_accuracy", "mean_class_accuracy")  # of metrics.Scores


def short_name(name: str) -> str:
    """A network's name of at most some twelve letters, for columns and legends."""
    return SHORT_NAMES.get(name, name.replace("_", " "))


def in_order(names: Iterable[str], order: Sequence[str] = tuple(SHORT_NAMES)) -> list[str]:
    """Names of networks as in `order`; unknown ones at the end, as they came."""
    rank = {name: position for position, name in enumerate(order)}
    return sorted(names, key=lambda name: rank.get(name, len(rank)))


@dataclasses.dataclass(frozen=True, eq=False)
class StageResult:
    """One evaluated network.

    Attributes:
      name: stage name, for example "case_d".
      title: what people call it, for example "Case (d): target distillation from (c)".
      confusion: int64 [C, C], indexed [label, prediction].
      curves: rows of metrics.jsonl: {"step": int, "kind": "train" | "eval", "loss/...": float, "miou":
        fraction}.
      predictions: picture name -> uint8 [H, W] of class indices.
      info: what the training took (steps, images_per_second, parameters, minutes, ...), shown as it is.
      weights_of_step: step of the checkpoint that counts; None where that is not known.
    """

    name: str
    title: str
    confusion: np.ndarray
    curves: Sequence[Mapping] = ()
    predictions: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    info: Mapping = dataclasses.field(default_factory=dict)
    weights_of_step: int | None = None

    @functools.cached_property
    def scores(self) -> metrics.Scores:
        """Scores of `confusion`, as fractions."""
        return metrics.scores(self.confusion)

    @property
    def short_name(self) -> str:
        """See short_name()."""
        return short_name(self.name)


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """One evaluation picture: image uint8 [H, W, 3] RGB, label uint8 [H, W] with 255 = ignore."""

    name: str
    image: np.ndarray
    label: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ExperimentResults:
    """Everything one report shows.

    Attributes:
      title, command, benchmark, seed: what was run, and how to run it again.
      class_names, palette: C names and uint8 [C, 3] RGB colours.
      results: evaluated networks, in any order.
      pictures: pictures of the grid.
      paper: stage name -> (mIoU %, pixel accuracy % or None, certainty), see paper_numbers.py.
      notes: what a reader must know, one sentence each.
      record: versions, git commit, hashes, ...; may be nested.
      metric: "miou" or "miou_present": the benchmark's number, on which networks are compared.
    """

    title: str
    command: str
    benchmark: str
    seed: int
    class_names: Sequence[str]
    palette: np.ndarray
    results: Sequence[StageResult]
    pictures: Sequence[Picture] = ()
    paper: Mapping[str, tuple[float, float | None, str]] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()
    record: Mapping = dataclasses.field(default_factory=dict)
    metric: str = "miou"

    def __post_init__(self):
        size = len(self.class_names)
        if self.metric not in METRIC_NAMES:
            raise ValueError(f"metric {self.metric!r} is not one of {', '.join(METRIC_NAMES)}")
        if self.palette.shape != (size, 3):
            raise ValueError(f"a palette of {size} classes has shape {(size, 3)}, not {self.palette.shape}")
        for result in self.results:
            if result.confusion.shape != (size, size):
                raise ValueError(f"{result.name}: confusion {result.confusion.shape} for {size} classes")
        names = [result.name for result in self.results]
        if len(set(names)) < len(names):
            raise ValueError(f"a stage occurs twice in {names}")

    def ordered(self, order: Sequence[str] = tuple(SHORT_NAMES)) -> list[StageResult]:
        """Results in the order of the names in `order`; unknown stages at the end, as they came."""
        by_name = {result.name: result for result in self.results}
        return [by_name[name] for name in in_order(by_name, order)]

    def percent(self, name: str) -> float | None:
        """The benchmark's number of a stage in per cent; None where there is none."""
        values = [100 * getattr(result.scores, self.metric) for result in self.results if result.name == name]
        return None if not values or np.isnan(values[0]) else values[0]
