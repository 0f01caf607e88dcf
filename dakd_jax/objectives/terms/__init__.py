"""Loss terms: one file each. The contract, with an example: docs/EXTENDING.md."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from dakd_jax.basics.plugs import Registry
from dakd_jax.objectives.context import Loss, Option

GROUPS = ("source", "target", "distillation")


@dataclasses.dataclass(frozen=True, eq=False)
class LossTerm:
    """A term of the objective.

    Attributes:
      name: config.loss.<name> is its weight.
      group: when it is there: 'source' on labelled pictures; 'target' on unlabelled ones, where a stage sees the
        target; 'distillation' on each domain that a stage distils on.
      fn: from a LossContext to {curve: Part}. Curves are logged as loss/<domain>/<curve>, unweighted; the term is the
        sum of its parts.
      weight: default of config.loss.<name>; 0 = a term that is asked for by giving it a weight.
      title: what people call it.
      curves: names of the parts.
      options: config.loss.<name>_<option>; static in the compiled step.
      counts: from the values of the options to whether the term adds anything under them.
      by_rows: from the values of the options to whether the term can be computed on strips of a picture's rows, one
        after another. Then each part is a mean over pixels with its count, and fn looks at log_probs, labels, images
        and what `context.cut` gives of the batch, and at nothing else of the pictures' height.
      init: (key, shapes) to trainable parameters, which live in the train state and are stepped by the segmenter's
        optimiser; shapes: {'student' | 'teacher': Outputs of jax.ShapeDtypeStruct} on source pictures. None = none.
    """

    name: str
    group: str
    fn: Loss
    weight: float
    title: str
    curves: tuple[str, ...]
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)
    counts: Callable[[Mapping[str, Any]], bool] = lambda options: True
    by_rows: Callable[[Mapping[str, Any]], bool] = lambda options: False
    init: Callable[[Any, Mapping], Any] | None = None

    def __post_init__(self):
        if self.group not in GROUPS:
            raise ValueError(f"loss term {self.name!r}: group {self.group!r}, expected one of {', '.join(GROUPS)}")

    def fields(self) -> dict[str, Option]:
        """{path in the config: option}, the weight first."""
        weight = Option(self.weight, f"weight of the {self.title}", weight=True)
        return {f"loss.{self.name}": weight} | {
            option.field or f"loss.{self.name}_{name}": option for name, option in self.options.items()
        }


TERMS: Registry[LossTerm] = Registry("loss term", __name__)


def register(term: LossTerm) -> LossTerm:
    """Adds a term under its name; to be called at the top level of its file."""
    return TERMS.register(term.name, term, depth=2)
