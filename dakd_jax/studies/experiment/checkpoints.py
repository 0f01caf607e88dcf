"""Which checkpoint counts: the last, the one chosen without target labels, and the best in hindsight, side by side."""

import dataclasses
from collections.abc import Sequence

from dakd_jax.studies.experiment.curves import curve
from dakd_jax.studies.experiment.seeds import Spread
from dakd_jax.studies.kit.result_types import METRIC_NAMES, ExperimentResults, StageResult
from dakd_jax.studies.kit.text_table import TextTable, number

HEADERS = ("network", "last", "chosen without target labels", "oracle best", "oracle − chosen")
ORACLE = (
    "The oracle best is picked by the target's own validation labels, which adaptation does not have: it is a bound."
)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A checkpoint of a stage: its step, and the benchmark's number in per cent."""

    step: int
    percent: float

    def __str__(self) -> str:
        return f"{self.percent:.1f} @ {self.step:,}"


@dataclasses.dataclass(frozen=True)
class CheckpointRow:
    """The three checkpoints of one stage, as they scored on target val while it was trained."""

    name: str
    title: str
    last: Candidate
    chosen: Candidate
    oracle: Candidate

    @property
    def lost(self) -> float:
        """Points that the oracle is ahead of the chosen one, >= 0."""
        return self.oracle.percent - self.chosen.percent


def checkpoint_row(result: StageResult, metric: str) -> CheckpointRow | None:
    """None for a stage with fewer than two evaluations. Of equally good oracles the last one is meant."""
    steps, values = curve(result.curves, metric, "eval")
    candidates = [Candidate(int(step), 100 * value) for step, value in zip(steps, values, strict=True)]
    if len(candidates) < 2:
        return None
    last = candidates[-1]
    chosen = next((one for one in candidates if one.step == result.weights_of_step), last)
    oracle = max(candidates, key=lambda one: (one.percent, one.step))
    return CheckpointRow(result.name, result.title, last, chosen, oracle)


def checkpoint_rows(experiment: ExperimentResults) -> list[CheckpointRow]:
    """One for every stage that had a choice."""
    rows = (checkpoint_row(result, experiment.metric) for result in experiment.ordered())
    return [row for row in rows if row is not None]


def checkpoint_table(experiment: ExperimentResults) -> TextTable | None:
    """Networks x (last, chosen, oracle), each "mIoU @ step"; None where no stage had a choice."""
    rows = checkpoint_rows(experiment)
    if not rows:
        return None
    body = [(row.title, str(row.last), str(row.chosen), str(row.oracle), number(row.lost, 1)) for row in rows]
    caption = f"{METRIC_NAMES[experiment.metric]} in per cent @ step. The chosen one counts everywhere else. {ORACLE}"
    return TextTable("", HEADERS, body, caption)


def checkpoint_seeds_table(experiments: Sequence[ExperimentResults]) -> TextTable | None:
    """The same as mean ± deviation over seeds; None where no stage had a choice."""
    rows = [row for experiment in experiments for row in checkpoint_rows(experiment)]
    if not rows:
        return None
    body = []
    for name, title in {row.name: row.title for row in rows}.items():
        of_stage = [row for row in rows if row.name == name]
        values = [[getattr(row, kind).percent for row in of_stage] for kind in ("last", "chosen", "oracle")]
        values.append([row.lost for row in of_stage])
        body.append((title, *(Spread.of(of_one).text() for of_one in values)))
    caption = f"{METRIC_NAMES[experiments[0].metric]} in per cent, mean ± deviation over seeds. {ORACLE}"
    return TextTable("", HEADERS, body, caption)
