"""The rows of a training loop: written one interval late, so that the device never waits for the host."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from dakd_jax.basics.progress import duration, significant, speed
from dakd_jax.evaluation.logs import MetricLog
from dakd_jax.objectives.adaptation import Watcher
from dakd_jax.training.watch.black_box import FiniteWatch

TIMED_STEPS = 20  # at least, before it is said how long the rest should take
WORTH_SAYING = 120  # seconds; of less the bar tells enough


class LoggedStep(NamedTuple):
    """What a step left to be logged.

    Attributes:
      step: its number, from 1.
      losses: scalars on the device, by name.
      rate: {name: learning rate of the step}.
      data_wait: share of the interval that the device stood still for want of data.
      unreadable: how many pictures have been left out so far.
    """

    step: int
    losses: dict
    rate: dict
    data_wait: float
    unreadable: int


class TrainingLog:
    """Writes rows, and looks at what is in them.

    Args:
      pictures: of a step.
      steps: of the stage.
      watch: told of the steps that are done.
      watchers: look at the rows, see objectives.adaptation.Watcher.
      say: told in one line what should be known.
    """

    def __init__(
        self,
        log: MetricLog,
        *,
        pictures: int,
        steps: int,
        watch: FiniteWatch,
        watchers: Sequence[Watcher] = (),
        say: Callable[[str], None],
    ):
        self._log, self._watch, self._watchers, self._say = log, watch, watchers, say
        self.clock = Throughput(pictures)
        self._pending: LoggedStep | None = None
        self._steps, self._said_how_long = steps, False
        self._told = watch.skipped  # how many skipped steps were spoken of, or an earlier process had

    def add(self, row: LoggedStep) -> None:
        """Writes the row before this one. Raises BadStep."""
        self.flush()
        self._pending = row

    def flush(self) -> None:
        """Writes the row that waits, if there is one. Raises BadStep."""
        row, self._pending = self._pending, None
        if row is None:
            return
        values = {name: float(value) for name, value in jax.device_get(row.losses).items()}
        self.clock.tick(row.step)  # now the step is done, not merely dispatched
        self._watch.check(row.step)
        self._tell_of_skipped()
        self._tell_how_long(row.step)
        if self._watch.skipped:
            values = {name: value if np.isfinite(value) else None for name, value in values.items()}
            values["skipped_steps"] = self._watch.skipped
        values |= {
            **{_name_of_rate(name): float(rate) for name, rate in row.rate.items()},
            **({"images_per_second": significant(self.clock.rate)} if self.clock.rate else {}),  # not of the first row
            "data_wait_percent": round(100 * row.data_wait, 2),
        }
        self._log.row(row.step, "train", values | ({"unreadable_examples": row.unreadable} if row.unreadable else {}))
        for line in [line for watcher in self._watchers for line in watcher.add(values)]:
            self._say(line)

    def _tell_how_long(self, step: int) -> None:
        """Once, after the first steps that are timed."""
        if self._said_how_long or self.clock.steps < TIMED_STEPS:
            return
        self._said_how_long = True
        left = self._steps - step
        seconds = left * self.clock.seconds / self.clock.steps
        if seconds > WORTH_SAYING:
            self._say(
                f"the {left:,} steps to come should take about {duration(seconds)}, by the first "
                f"{self.clock.steps}; evaluations and saves come on top"
            )

    @property
    def note(self) -> str:
        """For the line of the progress: speed, once it is known, and how many steps were left out."""
        skipped = self._watch.skipped
        count = f"{skipped} step{'s' * (skipped > 1)} skipped" if skipped else ""
        return "  ".join(filter(None, (speed(self.clock.rate), count)))

    def _tell_of_skipped(self) -> None:
        """At most once a row, from the second step on that was left out: one may be chance."""
        watch, before = self._watch, self._told
        self._told = watch.skipped
        if watch.skipped > max(before, 1):
            self._say(
                f"warning: {watch.skipped} steps left out so far, the newest step {watch.newest.step} "
                f"({watch.newest.names} not finite); {watch.most} may be, the next one ends the run: lower "
                "--config.optim.learning_rate, or look: on_nonfinite=stop keeps the first one for --replay"
            )


def _name_of_rate(name: str) -> str:
    return "learning_rate" if name == "segmenter" else f"{name}_learning_rate"


class Throughput:
    """Pictures per second, of the last interval and overall, without evaluation and the first compilation."""

    def __init__(self, pictures: int):
        self._pictures, self._last, self._step = pictures, time.monotonic(), None
        self.rate, self.seconds, self.steps = 0.0, 0.0, 0

    def tick(self, step: int) -> None:
        """A step is done."""
        now = time.monotonic()
        if self._step is not None:
            self.rate = self._pictures * (step - self._step) / max(now - self._last, 1e-9)
            self.seconds, self.steps = self.seconds + now - self._last, self.steps + step - self._step
        self._last, self._step = now, step

    def restart(self, step: int) -> None:
        """Leaves the time since the last tick out."""
        self._last, self._step = time.monotonic(), step

    @property
    def overall(self) -> float:
        """Pictures per second of all intervals."""
        return self._pictures * self.steps / self.seconds if self.seconds else 0.0
