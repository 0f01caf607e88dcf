"""What a pass over the validation pictures takes: told before it starts where that is known, else soon after."""

import pathlib
import statistics
import time
from collections.abc import Callable, Iterable

from dakd_jax.basics import records
from dakd_jax.basics.progress import duration

COST = "cost"  # in the JSON file beside the counts


def seconds_for_one(files: Iterable[pathlib.Path]) -> float | None:
    """Median seconds of one picture and network in earlier passes on such hardware; None where there was none.

    Args:
      files: JSON files of counts under the same protocols on the same pictures.
    """
    told, here = [(records.read_json(path) or {}).get(COST) for path in files], _hardware()
    known = [one["seconds"] / one["counted"] for one in told if one and one["hardware"] == here]
    return statistics.median(known) if known else None


def _hardware() -> dict:
    return records.environment()["hardware"]


class Meter:
    """Measures a pass, and says once what it should take.

    Args:
      work: pictures times networks that are to be counted.
      known: seconds_for_one() of earlier passes.
      say: prints a line.
      clock: seconds.
    """

    def __init__(
        self, work: int, known: float | None, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ):
        self._work, self._say, self._clock = work, say, clock
        self._began, self._counted, self._first, self._said = clock(), 0, None, known is not None
        if known is not None:
            say(f"about {duration(known * work)}, as earlier passes on this machine took")

    def update(self, counted: int) -> None:
        """Pictures times networks that this pass counted up to now."""
        now, self._counted = self._clock(), counted
        if self._first is None:  # the first batch's time is mostly the compilation's
            self._first = now, counted
        elif not self._said and counted < self._work:
            self._said, (then, before) = True, self._first
            left = (self._work - counted) * (now - then) / (counted - before)
            self._say(f"about {duration(left)} to go, as the first pictures took")

    def as_json(self) -> dict:
        """For the files that seconds_for_one() reads; {} of a pass that counted nothing."""
        if not self._counted:
            return {}
        seconds = round(self._clock() - self._began, 3)
        return {COST: {"seconds": seconds, "counted": self._counted, "hardware": _hardware()}}
