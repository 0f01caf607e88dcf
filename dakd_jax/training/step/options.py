"""What shapes an iteration of training."""

import dataclasses
import importlib.metadata
from typing import Any, NamedTuple

import flax.struct
import jax

from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives.adaptation import Method
from dakd_jax.objectives.context import SOURCE, TARGET
from dakd_jax.objectives.terms import LossTerm
from dakd_jax.training.teaching import Views, forms

# Of a step with Savings.ordered. On a CPU XLA orders what it computes for several cores at once, and keeps twice as
# much at a time; within an operation the cores are busy anyway. A version without the option would refuse it.
COMPILER_OPTIONS = (
    {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
    if importlib.metadata.version("jaxlib").startswith("0.10.")
    else {}
)


class LossWeights(flax.struct.PyTreeNode):
    """The lambdas of the objective, all traced: changing one compiles nothing.

    Attributes:
      terms: {loss term: weight}.
      methods: {adaptation method: {weight: value}}.
      seg_auxiliary: weighs every auxiliary term of segmentation and KL.
      distil_source, distil_target: 0 or lambda_target; multiply the whole distillation loss of a domain; at 0 the
        teacher is not run there, unless watch_inactive asks for the terms' values.
    """

    terms: dict[str, float]
    methods: dict[str, dict[str, float]]
    seg_auxiliary: float = 0.1
    distil_source: float = 0.0
    distil_target: float = 0.0
    watch_inactive: bool = False


class ActiveTerm(NamedTuple):
    """A loss term that has a weight, and the values of its options."""

    term: LossTerm
    options: tuple[tuple[str, Any], ...] = ()


class Savings(NamedTuple):
    """What a step does to need less memory and more time. Its numbers differ by rounding alone.

    Attributes:
      strips: loss terms that can be are computed on strips of rows, one after another, see strips.py. None: on a CPU,
        where that is quicker as well.
      ordered: what is computed comes in the order that keeps least at a time, see COMPILER_OPTIONS.
      outputs: log-probabilities at the pictures' size are computed anew for each term that looks at them, and freed.
      blocks: of the student what its blocks give stays for the way back; what they compute within is computed anew.
      parts: equal parts of a batch that the student is run on one after another; only without statistics of the batch.
    """

    strips: bool | None = None
    ordered: bool = False
    outputs: bool = False
    blocks: bool = False
    parts: int = 1

    @property
    def by_strips(self) -> bool:
        """Whether it is so on this machine."""
        return jax.default_backend() == "cpu" if self.strips is None else self.strips

    def __str__(self) -> str:
        """For people; '' where nothing is saved."""
        said = {
            "losses on strips of rows": self.strips,
            "an order that keeps less at a time": self.ordered,
            "predictions at the pictures' size computed anew for each loss": self.outputs,
            "the student's blocks run again on the way back": self.blocks,
            f"{self.parts} parts of a batch one after another": self.parts > 1,
        }
        return ", ".join(text for text, holds in said.items() if holds)


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """What shapes the compiled step.

    Attributes:
      terms: loss terms in the order in which they are added up.
      methods: adaptation methods in the order in which they act.
      sees_target: whether the student is run on target pictures.
      teacher_statistics: 'running', or those of the 'batch'.
      teacher_views: what the teacher is shown of a picture.
      answers: {domain: form} as pairs, of the domains on which its answers come with the batch; there it is not run.
      student_statistics: the same of the network that is trained; with 'running' they stay as they are.
      statistics_groups: equal parts of a batch, each with batch statistics of its own; 1: those of the whole batch.
      skip_nonfinite: leave the state as it was where anything that is watched is not finite.
      precision: what all networks compute in, a key of models.precision.PRECISIONS.
      savings: of memory.
    """

    terms: tuple[ActiveTerm, ...]
    methods: tuple[Method, ...] = ()
    sees_target: bool = True
    teacher_statistics: str = "running"
    teacher_views: Views = Views()
    answers: tuple[tuple[str, forms.AnswerForm], ...] = ()
    student_statistics: str = "batch"
    statistics_groups: int = 1
    skip_nonfinite: bool = False
    precision: str = "float32"
    savings: Savings = Savings()

    def shared(self) -> "StepOptions":
        """As several devices make the step: without strips, unless they are asked for; each would be an exchange."""
        if self.savings.strips is not None:
            return self
        return dataclasses.replace(self, savings=self.savings._replace(strips=False))

    @property
    def passes(self) -> tuple[str, ...]:
        """What the student is run on, in order: source, target, and what methods add."""
        more = [name for method in self.methods for name in method.PASSES if name not in (SOURCE, TARGET)]
        return (SOURCE, *[TARGET] * self.sees_target, *dict.fromkeys(more))


@dataclasses.dataclass(frozen=True)
class StepModels:
    """The networks of a step; teacher is None without distillation, and where another program's answers are given."""

    segmenter: Segmenter
    teacher: Segmenter | None = None
