"""Methods that adapt the student to the unlabelled target: one file each. The contract: docs/EXTENDING.md."""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

import jax

from dakd_jax.basics.errors import UserError
from dakd_jax.basics.plugs import Registry
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives.context import TARGET, LossContext, Option, Outputs, Part

Variables = dict  # {'params', 'batch_stats'} of a network


@dataclasses.dataclass(frozen=True)
class Tools:
    """What a method may use inside the compiled step.

    Attributes:
      step: int32 scalar, from 0.
      student: {'params', 'batch_stats'}: before the step in `prepare`, after it in `update`.
      forward: (variables, images uint8 [B, H, W, 3], statistics 'running' | 'batch') -> (Outputs, new batch_stats) of
        a network of the student's kind.
      rates: {name: learning rate of this step}: 'segmenter' and those that methods name; {} in `prepare`.
      precision: what networks compute in, a key of models.precision.PRECISIONS.
    """

    step: jax.Array
    student: Variables
    forward: Callable[..., tuple[Outputs, dict]]
    rates: Mapping[str, jax.Array]
    precision: str


class Watcher(Protocol):
    """Looks at a stage's logged rows."""

    def add(self, values: Mapping[str, float | None]) -> list[str]:
        """Takes a row of metrics.jsonl; returns what is to be said now, in lines."""


class Method:
    """An adaptation method with its settings: a frozen dataclass, static in the compiled step.

    All that it changes is its state, a tree of arrays inside the train state: saved, restored, and left as it was where
    a step is skipped. Random numbers come from a key in it, stored by jax.random.key_data.

    Class attributes:
      NAME: as config.adaptation.methods names it.
      OPTIONS: config.adaptation.<name>.<option>. Weights come back as `weights` of `terms`; the others are given to
        `of`.
      PASSES: passes of the step that it has terms on; one besides 'source' and 'target' is made by the student on
        batch['<pass>_image'], which `prepare` or the data provides.
      BY_ROWS: whether `terms` can be asked of strips of a picture's rows, see LossTerm.by_rows.
      CURVES: {group: beginnings of the names that it logs}, for the report's rows of curves; {} = its NAME's.
    """

    NAME: ClassVar[str]
    OPTIONS: ClassVar[Mapping[str, Option]] = {}
    PASSES: ClassVar[tuple[str, ...]] = (TARGET,)
    BY_ROWS: ClassVar[bool] = False
    CURVES: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Method":
        """The method with these values of its options that are no weights."""
        return cls(**values)

    @classmethod
    def fields(cls) -> dict[str, Option]:
        """{path in the config: option}."""
        return {cls.path(name): option for name, option in cls.OPTIONS.items()}

    @classmethod
    def path(cls, option: str) -> str:
        """Where an option stands in the config."""
        return cls.OPTIONS[option].field or f"adaptation.{cls.NAME}.{option}"

    def learning_rates(self) -> dict[str, float]:
        """{name: learning rate at step 0} of its own optimisers; they decay as the segmenter's does."""
        return {}

    def data(self) -> dict[str, Any]:
        """What it asks of the training batches besides source and target, see docs/EXTENDING.md."""
        return {}

    def init(self, key: Callable[[str], jax.Array], student: Variables, model: Segmenter) -> Any:
        """Its state at step 0.

        Args:
          key: from a role, as 'discriminator/main', to a key; a pure function of (config.seed, role).
          student: the weights that the stage starts from.
        """
        return {}

    def prepare(self, state: Any, batch: dict, tools: Tools) -> dict:
        """The batch as the losses are to see it: mixed or translated pictures, pseudo-labels. No gradient flows."""
        return batch

    def terms(self, state: Any, context: LossContext, weights: Mapping[str, Any]) -> Mapping[str, Part]:
        """{curve: part} in a pass of PASSES, which context.domain names; {} for none. `state` is a constant here."""
        return {}

    def update(self, state: Any, outputs: Mapping[str, Outputs], batch: dict, tools: Tools) -> tuple[Any, dict]:
        """(its state after the student's step, {name: scalar} to be logged, as 'loss/...' or 'norm/...').

        Args:
          outputs: of the passes, as the student was before the step; constants.
          batch: as `prepare` left it.
        """
        return state, {}

    def finish(self, state: Any, student: Variables, batches: Iterable[dict], forward: Callable) -> Variables:
        """The student as it is to be kept at the end of the stage.

        Args:
          batches: endless; they go on where the training's ended.
          forward: compiled; as Tools.forward.
        """
        return student

    def watch(self, rows: int) -> Watcher | None:
        """Who looks at the stage's logged rows, of which there will be so many; None for nobody."""
        return None

    def layers(self, state: Any, outputs: Outputs, precision: str) -> Iterator[tuple[str, Any, dict, jax.Array]]:
        """(name, module, variables, input) of its networks in a pass: a search for values that are not finite."""
        yield from ()

    def gradients(self, state: Any, outputs: Mapping[str, Outputs], batch: dict, precision: str) -> tuple[dict, dict]:
        """({name: gradients of one of its networks}, {'loss/...': scalar}) of a step, for the same search."""
        return {}, {}


METHODS: Registry[type[Method]] = Registry("adaptation method", __name__)


_HOOKS = [name for name in vars(Method) if not name.startswith("_")]


def register(method: type[Method]) -> type[Method]:
    """Adds a method under its NAME; a decorator of the class, at the top level of its file.

    Raises:
      UserError: what it defines looks like a misspelt hook.
    """
    for name, value in vars(method).items():
        near = difflib.get_close_matches(name, _HOOKS, n=1, cutoff=0.8)
        if near and name not in _HOOKS and callable(value):
            raise UserError(f"adaptation method {method.NAME!r}: {name} is no hook; did you mean {near[0]}?")
    return METHODS.register(method.NAME, method, depth=2)
