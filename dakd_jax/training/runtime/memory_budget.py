"""config.train.memory_budget_gb: what a step is expected to need, and what is saved where that is too much."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from dakd_jax.basics.errors import UserError
from dakd_jax.training.step.options import Savings, StepOptions

GB = 1e9


class Planned(NamedTuple):
    """A step as it is to be compiled.

    Attributes:
      savings: that it takes.
      needs: bytes by name, see device_memory.step_plan.
    """

    savings: Savings
    needs: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of a device."""
        return sum(self.needs.values())

    def __str__(self) -> str:
        """For people."""
        parts = ", ".join(f"{name} {size / GB:.2f}" for name, size in self.needs.items())
        saved = f"; saved by: {self.savings}" if str(self.savings) else ""
        return f"a step needs about {self.total / GB:.2f} GB of memory ({parts}){saved}"

    def record(self) -> dict:
        """For record.json."""
        return {"planned_gb": round(self.total / GB, 4), "savings": str(self.savings)}


def choices(options: StepOptions, share: int) -> Iterator[Savings]:
    """What can be saved, from nothing to all, each with those before it.

    Args:
      share: pictures of a batch on a device.
    """
    savings = options.savings
    yield savings
    if not savings.by_strips:
        yield (savings := savings._replace(strips=True))
    for saving in ("ordered", "outputs", "blocks"):
        yield (savings := savings._replace(**{saving: True}))
    if options.student_statistics == "running":
        yield from (savings._replace(parts=parts) for parts in range(2, share + 1) if share % parts == 0)


def within(budget_gb: float, options: StepOptions, share: int, plan: Callable[[Savings], dict[str, int]]) -> Planned:
    """The first choice that stays within a budget; nothing is saved where there is none (0).

    Args:
      plan: what a step with these savings needs, see Planned.

    Raises:
      UserError: none does.
    """
    tried = []
    for savings in choices(options, share):
        tried.append(Planned(savings, plan(savings)))
        if not budget_gb or tried[-1].total <= budget_gb * GB:
            return tried[-1]
    least = min(tried, key=lambda planned: planned.total)
    frozen = "" if options.student_statistics == "running" or share == 1 else (
        "; with --config.student.batch_norm=frozen its pictures can come one after another"
    )  # fmt: skip
    raise UserError(
        f"config.train.memory_budget_gb={budget_gb:g}: {least}, and nothing more can be saved{frozen}; lower "
        "--config.data.batch_size, --config.data.source_size, target_size or teacher_size, set "
        "--config.train.precision=bfloat16 (a stage with other settings starts anew), or raise the budget"
    )
