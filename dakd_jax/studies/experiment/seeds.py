"""The same experiment under several seeds: mean and sample standard deviation of each network."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dakd_jax.basics.errors import UserError
from dakd_jax.studies.kit.result_types import MEANS, METRIC_NAMES, NOT_COMPARED, ExperimentResults
from dakd_jax.studies.kit.style import new_figure, score_dots, stage_colour
from dakd_jax.studies.kit.text_table import MISSING, Cell, TextTable, csv_text, exact, number, number_cells

BOOTSTRAP_DRAWS = 10_000
REFERENCE = "student"  # that gains are measured from
SPREAD_PARTS = ("mean", "std", "low", "high")  # of a CSV file


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n - 1) over `count` seeds; the deviation of one seed is NaN.

    `low` and `high` bound 95 % of the means of resampled seeds (percentile bootstrap, drawn with a fixed seed). With a
    handful of seeds that interval is too narrow: it knows no values but those that were seen.
    """

    mean: float
    std: float
    count: int
    low: float = np.nan
    high: float = np.nan

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of numbers, NaN left out; NaN of none."""
        values = np.array([value for value in values if not np.isnan(value)], np.float64)
        mean = float(values.mean()) if len(values) else np.nan
        if len(values) < 2:
            return cls(mean, np.nan, len(values))
        draws = np.random.Generator(np.random.Philox(0)).random((BOOTSTRAP_DRAWS, len(values)))
        means = values[(draws * len(values)).astype(int)].mean(axis=1)
        low, high = (float(bound) for bound in np.percentile(means, (2.5, 97.5)))
        return cls(mean, float(values.std(ddof=1)), len(values), low, high)

    def text(self, decimals: int = 1, *, signed: bool = False) -> str:
        """Mean ± deviation."""
        deviation = "" if np.isnan(self.std) else f" ± {self.std:.{decimals}f}"
        return number(self.mean, decimals, signed=signed) + deviation

    def interval(self) -> str:
        """From the lower to the upper bound, of a difference."""
        return MISSING if np.isnan(self.low) else " to ".join(number(x, 1, signed=True) for x in (self.low, self.high))

    def csv_cells(self) -> list[str]:
        """SPREAD_PARTS for a CSV file."""
        return [exact(getattr(self, part)) for part in SPREAD_PARTS]


@dataclasses.dataclass(frozen=True, eq=False)
class SeedRow:
    """One stage over seeds.

    Attributes:
      name, title: of the stage.
      seeds: the seeds that have it.
      values: metric name -> Spread in per cent.
      gain: Spread of the paired difference to the reference stage of the same seed, in points of the
        benchmark's number; None for the reference itself and where no seed has both.
      compared: False for the teacher and the network that saw target labels.
    """

    name: str
    title: str
    seeds: tuple[int, ...]
    values: dict[str, Spread]
    gain: Spread | None
    compared: bool


def compare_seeds(experiments: Sequence[ExperimentResults], *, reference: str = REFERENCE) -> list[SeedRow]:
    """Rows in the order of the tables, one for every stage that any seed has.

    Args:
      experiments: at least one, all of one benchmark, class list and metric, each with a seed of its own.
      reference: stage that `gain` is measured from. Pairing by seed removes what a seed does to all stages.

    Raises:
      UserError: none is given, two are of different benchmarks, or a seed comes twice.
    """
    _check(experiments)
    titles = {result.name: result for e in experiments for result in e.results}
    everything = dataclasses.replace(experiments[0], results=tuple(titles.values()))
    rows = []
    for stage in everything.ordered():
        found = {e.seed: r.scores for e in experiments for r in e.results if r.name == stage.name}
        values = {m: Spread.of([100 * getattr(s, m) for s in found.values()]) for m in MEANS}
        pairs = [(e.percent(stage.name), e.percent(reference)) for e in experiments]
        gains = [mine - theirs for mine, theirs in pairs if mine is not None and theirs is not None]
        gain = Spread.of(gains) if gains and stage.name != reference else None
        compared = stage.name not in NOT_COMPARED
        rows.append(SeedRow(stage.name, stage.title, tuple(sorted(found)), values, gain, compared))
    return rows


def _check(experiments: Sequence[ExperimentResults]) -> None:
    if not experiments:
        raise UserError("no experiment to compare: name at least one finished run")
    first = experiments[0]
    for other in experiments[1:]:
        same = (other.benchmark, other.metric) == (first.benchmark, first.metric)
        if not same or tuple(other.class_names) != tuple(first.class_names):
            raise UserError(
                f"cannot average seeds of different benchmarks: {first.benchmark} (seed {first.seed}) and "
                f"{other.benchmark} (seed {other.seed}); compare runs of one benchmark"
            )
    seeds = [experiment.seed for experiment in experiments]
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise UserError(f"seed {twice[0]} comes twice, which would count one run as two; name each seed once")


def seeds_table(experiments: Sequence[ExperimentResults]) -> TextTable:
    """Networks x metrics as "mean ± deviation"; `to_rich()` and `to_markdown()` show it."""
    rows = compare_seeds(experiments)
    gains = [row.gain or Spread.of([]) for row in rows]
    caption = (
        "Per cent: mean ± sample standard deviation over seeds. Bold: best student that saw no target "
        f"labels. vs {REFERENCE}: difference within each seed, then its mean ± deviation, and the bootstrap interval "
        "of that mean over seeds (too narrow where seeds are few)."
    )
    columns = [
        ("network", [row.title for row in rows]),
        ("seeds", [str(len(row.seeds)) for row in rows]),
        ("mIoU", _spread_cells(rows, "miou")),
        ("present mIoU", _spread_cells(rows, "miou_present")),
        ("pixel acc.", _spread_cells(rows, "pixel_accuracy")),  # the class accuracy is in the CSV alone
        (f"vs {REFERENCE}", [gain.text(signed=True) for gain in gains]),
        ("95 %", [gain.interval() for gain in gains]),
    ]
    return TextTable.of_columns(columns, caption)


def _spread_cells(rows: list[SeedRow], metric: str) -> list[Cell]:
    marks = number_cells([row.values[metric].mean for row in rows], [row.compared for row in rows], 1)
    return [Cell(row.values[metric].text(), mark.best) for row, mark in zip(rows, marks, strict=True)]


def seeds_figure(experiments: Sequence[ExperimentResults]):
    """The benchmark's number of every network: a dot for each seed, a bar for the mean."""
    metric, rows = experiments[0].metric, []
    for row in compare_seeds(experiments):
        scores = [score for e in experiments if (score := e.percent(row.name)) is not None]
        rows.append((row.title, stage_colour(row.name), scores, row.values[metric].mean))
    figure, axes = new_figure(9, 0.42 * len(rows) + 1.1)
    score_dots(axes[0, 0], rows, size=28)
    axes[0, 0].set_xlabel(f"{METRIC_NAMES[metric]} (%)")
    return figure


def seeds_csv(experiments: Sequence[ExperimentResults]) -> str:
    """One line per network: seeds, then mean and deviation of each metric and of the gain, in per cent."""
    names = (*MEANS, f"vs_{REFERENCE}")
    lines = [["stage", "seeds", *(f"{name}_{part}" for name in names for part in SPREAD_PARTS)]]
    for row in compare_seeds(experiments):
        spreads = [*row.values.values(), row.gain or Spread.of([])]
        lines.append([row.name, " ".join(map(str, row.seeds)), *(text for one in spreads for text in one.csv_cells())])
    return csv_text(lines)
