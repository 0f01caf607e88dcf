"""What loss terms and adaptation methods are given, and what they give: the vocabulary of both plugs."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from dakd_jax.basics.errors import UserError
from dakd_jax.objectives.outputs import Outputs, rows_of

SOURCE, TARGET = "source", "target"  # the passes of a step that are always there; a method may add others
LEVELS = ("auxiliary", "main")  # heads of a segmenter


@dataclasses.dataclass(frozen=True)
class Option:
    """A field of the config that belongs to a loss term or a method.

    Attributes:
      default: its value in configs/base.py.
      meaning: for people.
      choices: what it may be; () = any value of the default's type.
      positive: whether a number must be > 0; else it must be >= 0.
      weight: whether it is a factor of the loss: a traced number, of which 0 is as if the term were not there.
      field: path in the config where it is not the usual one (`loss.<term>_<option>`, `adaptation.<method>.<option>`).
    """

    default: Any
    meaning: str = ""
    choices: tuple = ()
    positive: bool = False
    weight: bool = False
    field: str = ""

    def check(self, field: str, value: Any) -> None:
        """Raises a UserError for a value that cannot work."""
        if self.choices:
            if value not in self.choices:
                raise UserError(f"config.{field}={value!r}: expected one of {', '.join(map(str, self.choices))}")
        elif type(self.default) in (int, float) and not (0 <= value < math.inf and (value or not self.positive)):
            raise UserError(f"config.{field}={value!r}: expected a number {'> 0' if self.positive else '>= 0'}")


class Part(NamedTuple):
    """One value of a loss.

    Attributes:
      value: a scalar.
      factor: by what it is multiplied within its term; None: by nothing.
      count: of how many numbers the value is the mean (0 of none); None where it is no such mean. Needed where a loss
        is computed by rows, see LossTerm.by_rows.
    """

    value: jax.Array
    factor: Any = None
    count: Any = None

    @property
    def weighted(self) -> jax.Array:
        return self.value if self.factor is None else self.factor * self.value


@dataclasses.dataclass(frozen=True)
class LossContext:
    """What a loss looks at, in one pass of a step; made inside the compiled step.

    Attributes:
      domain: name of the pass: 'source', 'target', or one that a method added.
      images: uint8 [B, H, W, 3] RGB.
      labels: uint8 [B, H, W] of train ids, 255 = ignore: of the source; of the target where data.class_mix pasted
        source pixels; None where nothing is known.
      batch: all of the step's batch.
      step: int32 scalar, from 0.
      student: its outputs, differentiated.
      teacher: outputs of the frozen teacher, constants; None where nothing is distilled.
      auxiliary_weight: config.loss.seg_auxiliary, which weighs what is lost at the auxiliary head.
      options: of the term, by name.
      params: of the term, differentiated; {} for none.
      precision: what networks compute in, a key of models.precision.PRECISIONS.
      rows: (the first, how many) of the pictures' rows that all of this is about; None for all of them.
    """

    domain: str
    images: jax.Array
    labels: jax.Array | None
    batch: Mapping[str, jax.Array]
    step: jax.Array
    student: Outputs
    teacher: Outputs | None = None
    auxiliary_weight: Any = 1.0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    params: Any = dataclasses.field(default_factory=dict)
    precision: str = "float32"
    rows: tuple[Any, int] | None = None

    def cut(self, array: jax.Array) -> jax.Array:
        """Of an array [B, H, ...] of the batch the rows that this is about."""
        return array if self.rows is None else rows_of(array, *self.rows)


def total(parts: Mapping[str, Part]) -> jax.Array:
    """The sum of a term's parts in their order."""
    first, *rest = (part.weighted for part in parts.values())
    for value in rest:
        first = first + value
    return first


Loss = Callable[[LossContext], Mapping[str, Part]]
