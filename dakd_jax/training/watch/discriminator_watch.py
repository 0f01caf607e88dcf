"""Says when a discriminator has stopped being an opponent: it always wins, or it only guesses.

Reads the losses of the rows that are logged anyway. Nothing is stopped: both may be the right end of a run (a student
that really looks alike on both domains leaves its discriminator guessing).
"""

import collections
import math
from collections.abc import Mapping

# Each half (source, target) of the loss of a discriminator that cannot tell the domains apart, as
# adaptation.adversarial.discriminator_terms gives it: 0.5 ln 2 at probability 1/2, 0.5 (1/2)^2 at output 1/2.
CHANCE = {"vanilla": 0.5 * math.log(2), "least_squares": 0.125}
NEAR = 0.05  # of the loss at chance: how near to 0 both halves together are, or how near to chance each of them
LEAST_ROWS, SHARE_OF_RUN = 20, 0.2  # 'long' is both: so many logged rows, and this share of all rows of the run
MOST_EXCEPTIONS = 0.1  # of these rows may be otherwise: a row is one batch, and single batches differ
COLLAPSED, AT_CHANCE = "collapsed", "at chance"

ADVICE = {
    COLLAPSED: (
        "the {level} discriminator has won: it tells source from target without error (loss under {near:.0%} of "
        "chance in the last {rows} logged rows), so the student is not being made to look alike on both; to change "
        "that lower --config.optim.discriminator_learning_rate or --config.discriminator.width, or raise "
        "--config.loss.adversarial_{level}; distillation on target may raise the scores all the same"
    ),
    AT_CHANCE: (
        "the {level} discriminator only guesses (loss within {near:.0%} of chance in the last {rows} logged rows); if "
        "it has done so from the start it learns nothing: raise --config.optim.discriminator_learning_rate; if it "
        "once did better the student fools it: good while the target scores rise, else lower "
        "--config.loss.adversarial_{level}"
    ),
}


class DiscriminatorWatch:
    """Looks at the logged rows of one stage, in order, and remembers what it has said.

    A stage that is resumed starts anew with its next rows.

    Args:
      kind: config.loss.adversarial, a key of CHANCE.
      rows: how many rows the whole stage logs (steps / log_every).
    """

    def __init__(self, kind: str, rows: int):
        self._chance = CHANCE[kind]
        self._long = max(LEAST_ROWS, math.ceil(SHARE_OF_RUN * rows))
        self._seen: dict[str, collections.deque] = {}
        self._said: set[tuple[str, str]] = set()

    def add(self, values: Mapping[str, float | None]) -> list[str]:
        """Takes a row: 'loss/discriminator/<source|target>_<level>' in it. Returns what is to be said now, in lines.

        Each thing is said once of each level. Rows without these values, or with one that is not finite, do not count.
        """
        lines = []
        for level in ("auxiliary", "main"):
            halves = [values.get(f"loss/discriminator/{domain}_{level}") for domain in ("source", "target")]
            if any(half is None or not math.isfinite(half) for half in halves):
                continue
            seen = self._seen.setdefault(level, collections.deque(maxlen=self._long))
            seen.append(self._state(*halves))
            for state in (COLLAPSED, AT_CHANCE):
                enough = len(seen) == self._long and seen.count(state) >= (1 - MOST_EXCEPTIONS) * self._long
                if enough and (level, state) not in self._said:
                    self._said.add((level, state))
                    lines.append(ADVICE[state].format(level=level, near=NEAR, rows=self._long))
        return lines

    def _state(self, source: float, target: float) -> str:
        if source + target < NEAR * 2 * self._chance:
            return COLLAPSED
        guesses = all(abs(half - self._chance) < NEAR * self._chance for half in (source, target))
        return AT_CHANCE if guesses else ""
