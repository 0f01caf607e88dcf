"""The protocol matrix for people: tables, a figure of the spread, and everything as CSV and JSON."""

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from dakd_jax.evaluation import cityscapes_scores, metrics
from dakd_jax.evaluation.protocols import NamedProtocol
from dakd_jax.studies.kit.result_types import MEANS, METRIC_NAMES, NOT_COMPARED, short_name
from dakd_jax.studies.kit.style import INK, new_figure
from dakd_jax.studies.kit.text_table import TextTable, csv_text, exact, number, number_cells
from dakd_jax.studies.protocols.matrix import Counts

# Marker and colour of each protocol: ways of comparing are dark or warm, ways of averaging blue or green.
_MARKS = {
    "native": ("o", "#1a1a1a"),
    "native_picture_statistics": ("D", "#d55e00"),
    "small_labels": ("s", "#9a9a9a"),
    "released": ("X", "#cc79a7"),
    "released_running": ("P", "#e69f00"),
    "mirror": ("^", "#56b4e9"),
    "multi_scale": ("<", "#0072b2"),
    "multi_scale_mirror": (">", "#003f6b"),
    "sliding_window": ("v", "#009e73"),
}
_HALF_HEIGHT = 0.3  # of the marks of one network, where networks are 1 apart
_COLUMNS = {
    "mIoU": "miou",
    "present mIoU": "miou_present",
    "pixel acc.": "pixel_accuracy",
    "category IoU": "category_iou",
    "iIoU class": "class_iiou",
    "iIoU category": "category_iiou",
}


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredNetwork:
    """One network.

    Attributes:
      name, title: of its stage.
      counts: of every protocol, by name.
      groups: of the classes.
    """

    name: str
    title: str
    counts: Mapping[str, Counts]
    groups: cityscapes_scores.Groups

    @functools.cached_property
    def percent(self) -> dict[str, dict[str, float]]:
        """{protocol: {score: per cent, NaN where there is none}}, of all means."""
        return {name: self._means(counts) for name, counts in self.counts.items()}

    def _means(self, counts: Counts) -> dict[str, float]:
        plain = metrics.scores(counts.confusion)
        means = cityscapes_scores.scores(counts.confusion, counts.instances, self.groups).means
        found = {name: 100 * getattr(plain, name) for name in MEANS}
        return found | {name: 100 * means[name] for name in ("category_iou", "class_iiou", "category_iiou")}


@dataclasses.dataclass(frozen=True, eq=False)
class ProtocolStudy:
    """What a page of protocols shows.

    Attributes:
      title, command, benchmark: what was scored, and how to do it again.
      metric: 'miou' or 'miou_present', what networks are compared by.
      rows: the protocols by name.
      networks: at least one, all under all protocols.
      notes: what a reader must know, one sentence each.
      record: versions, hardware, hashes; may be nested.
    """

    title: str
    command: str
    benchmark: str
    metric: str
    rows: Mapping[str, NamedProtocol]
    networks: Sequence[ScoredNetwork]
    notes: Sequence[str] = ()
    record: Mapping = dataclasses.field(default_factory=dict)

    def values(self, network: ScoredNetwork) -> dict[str, float]:
        """{protocol: the metric in per cent}."""
        return {name: network.percent[name][self.metric] for name in self.rows}


@dataclasses.dataclass(frozen=True)
class ProtocolRange:
    """How far the protocols of one network lie apart: the lowest and the highest value, per cent, and their names."""

    low: float
    high: float
    lowest: str
    highest: str

    @classmethod
    def of(cls, values: Mapping[str, float]) -> "ProtocolRange":
        """Of {protocol: value}; NaN is left out, NaN of nothing."""
        there = {name: value for name, value in values.items() if not np.isnan(value)}
        if not there:
            return cls(np.nan, np.nan, "", "")
        lowest, highest = min(there, key=there.get), max(there, key=there.get)
        return cls(there[lowest], there[highest], lowest, highest)

    @property
    def range(self) -> float:
        """Points between the two."""
        return self.high - self.low


def matrix_table(study: ProtocolStudy) -> TextTable:
    """Protocols x networks on the study's metric; in each row the best student that saw no target labels is bold."""
    compared = [network.name not in NOT_COMPARED for network in study.networks]
    values = [study.values(network) for network in study.networks]
    body = [(row.title, *number_cells([value[name] for value in values], compared)) for name, row in study.rows.items()]
    body.append(("highest minus lowest", *(number(ProtocolRange.of(value).range) for value in values)))
    headers = ("protocol", *(short_name(network.name) for network in study.networks))
    caption = (
        f"{METRIC_NAMES[study.metric]} in per cent. Bold: best student of a row that saw no target labels. Last row: "
        "points that the choice of the protocol alone makes."
    )
    return TextTable("", headers, body, caption)


def spread_table(study: ProtocolStudy) -> TextTable:
    """Networks x (native, lowest and highest protocol, their distance)."""
    body = []
    for network in study.networks:
        values = study.values(network)
        spread = ProtocolRange.of(values)
        ends = [study.rows[name].title if name else "" for name in (spread.lowest, spread.highest)]
        cells = number(values.get("native")), number(spread.low), ends[0], number(spread.high), ends[1]
        body.append((network.title, *cells, number(spread.range)))
    headers = ("network", "native", "lowest", "under", "highest", "under", "range")
    return TextTable("", headers, body, f"{METRIC_NAMES[study.metric]} in per cent.")


def network_table(study: ProtocolStudy, network: ScoredNetwork) -> TextTable:
    """Protocols x scores of one network, per cent; a dash where a score is not defined."""
    body = [
        (row.title, *(number(network.percent[name][score]) for score in _COLUMNS.values()))
        for name, row in study.rows.items()
    ]
    return TextTable(network.title, ("protocol", *_COLUMNS), body)


def sentences(study: ProtocolStudy) -> list[str]:
    """What the matrix says, the most important first."""
    spreads = {network.title: ProtocolRange.of(study.values(network)) for network in study.networks}
    spreads = {title: spread for title, spread in spreads.items() if spread.lowest}
    if not spreads:
        return ["Nothing was scored."]
    title = max(spreads, key=lambda name: spreads[name].range)
    most, metric = spreads[title], METRIC_NAMES[study.metric]
    said = [
        f"The protocol alone moves the {metric} of “{title}” by {most.range:.1f} points: {most.low:.1f} under "
        f"“{study.rows[most.lowest].title}”, {most.high:.1f} under “{study.rows[most.highest].title}”."
    ]
    natives = [study.values(network)["native"] for network in study.networks if "native" in study.rows]
    if len(natives) > 1:
        gap = np.nanmax(natives) - np.nanmin(natives)
        said.append(f"Under one protocol, “native”, the {len(natives)} networks differ by {gap:.1f} points at most.")
    return said + _who_is_best(study)


def _who_is_best(study: ProtocolStudy) -> list[str]:
    rivals = [network for network in study.networks if network.name not in NOT_COMPARED]
    if len(rivals) < 2:
        return []
    winners = Counter(
        max(rivals, key=lambda network: np.nan_to_num(study.values(network)[name], nan=-1.0)).title
        for name in study.rows
    )
    shares = [f"“{title}” under {count}" for title, count in winners.most_common()]
    if len(shares) == 1:
        return [f"The best student is “{next(iter(winners))}” under every protocol."]
    return [f"Which student is best depends on it: {', '.join(shares)} of the {len(study.rows)} protocols."]


def spread_figure(study: ProtocolStudy) -> Figure:
    """A line for each network from its lowest to its highest protocol, and a mark for each protocol on it."""
    figure, axes = new_figure(10, 0.62 * len(study.networks) + 1.7)
    axis = axes[0, 0]
    for place, network in enumerate(study.networks):
        values = study.values(network)
        spread = ProtocolRange.of(values)
        axis.plot([spread.low, spread.high], [place, place], color="#dfe3e8", lw=9, solid_capstyle="round", zorder=2)
        steps = np.linspace(-_HALF_HEIGHT, _HALF_HEIGHT, len(values))
        for step, (name, value) in zip(steps, values.items(), strict=True):
            marker, colour = _MARKS[name]
            axis.scatter(
                [value],
                [place + step],  # equal scores stay apart
                marker=marker,
                color=colour,
                s=52,
                lw=0.5,
                edgecolor="white",
                zorder=3,
                label=study.rows[name].title if place == 0 else None,
            )
        if spread.lowest:
            text = f"{spread.range:.1f}"
            axis.annotate(text, (spread.high, place), (9, 0), textcoords="offset points", va="center", color=INK)
    axis.set_yticks(range(len(study.networks)), [network.title for network in study.networks])
    axis.set_ylim(len(study.networks) - 0.4, -0.6)
    axis.margins(x=0.08)
    axis.set_xlabel(f"{METRIC_NAMES[study.metric]} (%); the number is highest minus lowest")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return figure


def markdown(study: ProtocolStudy) -> str:
    """The matrix, the spread and every network's scores."""
    tables = [matrix_table(study), spread_table(study), *(network_table(study, n) for n in study.networks)]
    notes = "".join(f"- {note}\n" for note in study.notes)
    return "\n".join([*(f"{sentence}\n" for sentence in sentences(study)), notes, *(t.to_markdown() for t in tables)])


def csv_table(study: ProtocolStudy) -> str:
    """One line per network and protocol with everything, in per cent to four decimals; NaN is empty."""
    groups = study.networks[0].groups
    headers = ["benchmark", "stage", "protocol", *next(iter(study.networks[0].percent.values()))]
    for kind, names in (("", groups.class_names), ("category_", groups.names)):
        headers += [f"{kind}{score}/{name}" for score in ("iou", "iiou") for name in names]
    lines = [headers]
    for network in study.networks:
        for name, counts in ((name, network.counts[name]) for name in study.rows):
            all_of = cityscapes_scores.scores(counts.confusion, counts.instances, groups)
            parts = (all_of.class_iou, all_of.class_iiou, all_of.category_iou, all_of.category_iiou)
            values = (*network.percent[name].values(), *100 * np.concatenate(parts))
            lines.append([study.benchmark, network.name, name, *map(exact, values)])
    return csv_text(lines)


def json_text(study: ProtocolStudy) -> str:
    """Everything as fractions, with what the protocols mean and the record."""
    content = {
        "title": study.title,
        "command": study.command,
        "benchmark": study.benchmark,
        "metric": study.metric,
        "notes": list(study.notes),
        "protocols": {name: row.meaning for name, row in study.rows.items()},
        "classes": list(study.networks[0].groups.class_names),
        "categories": list(study.networks[0].groups.names),
        "networks": {
            network.name: {name: network.counts[name].as_json(network.groups) for name in study.rows}
            for network in study.networks
        },
        "record": study.record,
    }
    return json.dumps(content, indent=1) + "\n"
