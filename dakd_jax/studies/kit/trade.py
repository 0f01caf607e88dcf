"""What a network costs beside what it scores, from the card.json that dakd card writes: tables, a figure, Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dakd_jax.basics import records
from dakd_jax.studies.kit.result_types import SHORT_NAMES
from dakd_jax.studies.kit.style import INK, legend_below, new_figure, stage_colour
from dakd_jax.studies.kit.text_table import TextTable, number

FILE, FORMAT_VERSION = "card.json", 1
HEADING = "What the trade is worth"
FIGURE_ALT = "mIoU over latency: each network in each runtime a point"
_TEACHING = " as it teaches"
_NOT_BRIEF = ("p90 ms", "p99 ms", "p50 to logits", "labels as JAX %")
_LABELS, _LOGITS = "labels", "logits"  # the outputs whose latency a card tells
_MARKERS = {"JAX": "o", "ONNX Runtime": "s", "LiteRT": "^", "StableHLO in jax": "D"}
_MORE_MARKERS = "Pv*Xph<>"
_OTHER_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def read(path: Path) -> dict | None:
    """A card; None where there is no whole one of this format."""
    card = records.read_json(path)
    return card if card and card.get("format") == FORMAT_VERSION else None


def of_stages(card: Mapping, stages: Mapping[str, str]) -> bool:
    """Whether a card is about networks of a run's stages, {name: hash}, alone."""
    return all(one["stage"] in stages.values() for one in card["networks"])


def sentences(card: Mapping) -> list[str]:
    """The card in a few sentences: the first network at its fastest, and the others there."""
    first, scores = card["networks"][0], {one["name"]: one["score"]["miou"] for one in card["networks"]}
    best = min(_plain_rows(card, first["name"]), key=_p50, default=None)
    if best is None:
        return ["Nothing could be measured."]
    size = "x".join(map(str, first["size"]))
    found = [f"{_scored(first['name'], scores)} labels a picture of {size} in {_ms(best)} ({_where(best)})."]
    for other in card["networks"][1:]:
        there = [row for row in _plain_rows(card, other["name"]) if row["runtime"] == best["runtime"]]
        found += [f"{_scored(other['name'], scores)} takes {_ms(row)} there, {_times(row, best)}." for row in there]
    for row in _rows(card, teaching=True):
        beside = [one for one in _plain_rows(card, first["name"]) if one["runtime"] == row["runtime"]]
        found += [f"{row['teaching']} takes {_ms(row)} in {_runtime(row)}, {_times(row, one)} there." for one in beside]
    return found


def network_table(card: Mapping) -> TextTable:
    """What does not depend on the machine."""
    rows = []
    for one in card["networks"]:
        same = (number(one["parameters"] / 1e6), "x".join(map(str, one["size"])))
        gmacs = map(_gmacs, (one["gmacs"]["network"], one["gmacs"]["with_upsampling"]))
        rows.append((one["name"], number(one["score"]["miou"]), *same, *gmacs))
        if "teaching" in one:
            rows.append((one["name"] + _TEACHING, number(None), *same, _gmacs(one["teaching"]["gmacs"]), number(None)))
    headers = ("network", "mIoU %", "parameters (M)", "picture", "GMACs", "with upsampling")
    return TextTable("", headers, tuple(rows), " ".join(_score_notes(card)))


def latency_table(card: Mapping, *, brief: bool = False) -> TextTable:
    """Of every row of the card; `brief`: what fits a terminal."""
    columns = [
        ("network", [row["network"] + (_TEACHING if row["teaching"] else "") for row in card["rows"]]),
        ("runtime", [_runtime(row) for row in card["rows"]]),
        ("threads", [str(row["threads"]) for row in card["rows"]]),
    ]
    columns += [
        (f"{of} ms", [_digits(row["warm_ms"][_LABELS][of]) for row in card["rows"]])
        for of in ("p50", "p90", "p99", "best")
    ]
    columns += [
        ("p50 to logits", [_digits(row["warm_ms"].get(_LOGITS, {}).get("p50")) for row in card["rows"]]),
        ("cold ms", [_digits(row["cold_ms"]["p50"]) for row in card["rows"]]),
        ("memory MB", [number(row["peak_memory_mb"], 0) for row in card["rows"]]),
        ("file MB", [number(row["file_mb"]) for row in card["rows"]]),
        ("labels as JAX %", [number(row["labels_as_jax"] and 100 * row["labels_as_jax"], 3) for row in card["rows"]]),
    ]
    columns = [column for column in columns if not (brief and column[0] in _NOT_BRIEF)]
    return TextTable.of_columns(columns, f"{card['runs']} timed answers each, batch 1. {_machine(card)}")


def notes(card: Mapping) -> list[str]:
    """How it was measured, and what is missing."""
    methods, gflop = card["methods"], [(one["name"], one["gmacs"]["gflop"]) for one in card["networks"]]
    found = [f"{name.replace('_', ' ').capitalize()}: {text}." for name, text in methods.items()]
    found += [
        f"{name}: {of['by_hand']:g} GFLOP counted from its operations, {of['of_the_program']:g} by XLA's "
        f"cost analysis of the program (without what a kernel multiplies beyond the picture's edge)."
        for name, of in gflop
        if of["of_the_program"]
    ]
    for one in card["left_out"]:
        what = " ".join(filter(None, [one["runtime"], one.get("network") and f"of {one['network']}"]))
        found.append(f"Left out: {what}: {one['why']}.")
    return list(dict.fromkeys(found))


def figure(card: Mapping) -> Figure:
    """mIoU over the median latency; without any score a line for each network."""
    drawn, axes = new_figure(8.5, 4.6)
    axis, scores = axes[0, 0], {one["name"]: one["score"]["miou"] for one in card["networks"]}
    known = [score for score in scores.values() if score is not None]
    names = list(scores)
    for row in card["rows"]:
        score = None if row["teaching"] else scores[row["network"]]
        colour, marker = _colour(names, row["network"]), _marker(card, row["runtime"])
        how = {"marker": marker, "s": 60, "zorder": 3, "edgecolors": colour, "linewidths": 1.3}
        how["facecolors"] = colour if row["threads"] == _most_threads(card) else "none"
        if not known:
            axis.scatter(_p50(row), names.index(row["network"]), **how)
        elif score is None:
            axis.axvline(_p50(row), color=colour, lw=1, ls=(0, (4, 3)) if row["teaching"] else ":")
            axis.scatter(_p50(row), 0.03, transform=axis.get_xaxis_transform(), clip_on=False, **how)
        else:
            axis.scatter(_p50(row), score, **how)
    if known:
        room = max(1.0, 0.4 * (max(known) - min(known)))
        axis.set(ylabel="mIoU (%)", ylim=(min(known) - room, max(known) + room))
    else:
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(-0.6, len(names) - 0.4)
        axis.invert_yaxis()
        axis.set_title("No score is recorded: latency alone", fontsize=10, color=INK)
    _latency_axis(axis)
    legend_below(drawn, *_legend(card, names), width=2.1)
    return drawn


def markdown_section(card: Mapping, level: int = 2) -> str:
    """The card as a section of a Markdown page, such as a model card; `level`: of its heading."""
    parts = [f"{'#' * level} {HEADING}", " ".join(sentences(card))]
    parts += [table.to_markdown().rstrip() for table in (network_table(card), latency_table(card))]
    parts.append("\n".join(f"- {note}" for note in notes(card)))
    parts.append(f"Made by `{card['command']}` on {card['date']}.")
    return "\n\n".join(parts) + "\n"


def _rows(card: Mapping, *, teaching: bool) -> list[Mapping]:
    """At the most threads, in float32."""
    threads = _most_threads(card)
    return [
        row
        for row in card["rows"]
        if bool(row["teaching"]) == teaching and row["threads"] == threads and row["dtype"] == "float32"
    ]


def _plain_rows(card: Mapping, network: str) -> list[Mapping]:
    return [row for row in _rows(card, teaching=False) if row["network"] == network]


def _most_threads(card: Mapping) -> int:
    return max((row["threads"] for row in card["rows"]), default=0)


def _p50(row: Mapping) -> float:
    return row["warm_ms"][_LABELS]["p50"]


def _ms(row: Mapping) -> str:
    return f"{_digits(_p50(row))} ms"


def _times(row: Mapping, other: Mapping) -> str:
    return f"{_p50(row) / _p50(other):.2f} times as long as {other['network']}"


def _where(row: Mapping) -> str:
    return f"{_runtime(row)}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"


def _runtime(row: Mapping) -> str:
    return row["runtime"] if row["dtype"] == "float32" else f"{row['runtime']} {row['dtype']}"


def _scored(name: str, scores: Mapping) -> str:
    return name if scores[name] is None else f"{name} ({scores[name]:.2f} % mIoU)"


def _digits(value: float | None) -> str:
    """Three significant digits, and no fewer before the point; None as a dash."""
    if value is None:
        return number(None)
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _gmacs(value: float) -> str:
    return f"{value:#.3g}" if value < 100 else f"{value:.0f}"


def _score_notes(card: Mapping) -> list[str]:
    found = [
        f"{one['name']} has no mIoU here: {one['score']['why']}."
        for one in card["networks"]
        if one["score"]["miou"] is None
    ]
    if len(found) < len(card["networks"]):
        found.append("mIoU is that on target val as the run has recorded it, not of each runtime.")
    if any("teaching" in one for one in card["networks"]):
        found.append("What a teacher says of several views has no recorded mIoU.")
    return found


def _machine(card: Mapping) -> str:
    machine = card["machine"]
    load = machine["load"]
    told = f"{machine['cpu']}, {machine['cores']} core{'s' if machine['cores'] > 1 else ''}"
    if load["before"] is not None:
        told += f"; load average {load['before']:g} before and {load['after']:g} after"
    return told + "."


def _colour(names: Sequence[str], name: str) -> str:
    if name in SHORT_NAMES:
        return stage_colour(name)
    others = [one for one in names if one not in SHORT_NAMES]
    return _OTHER_COLOURS[others.index(name) % len(_OTHER_COLOURS)]


def _marker(card: Mapping, runtime: str) -> str:
    unknown = [one for one in dict.fromkeys(row["runtime"] for row in card["rows"]) if one not in _MARKERS]
    return _MARKERS.get(runtime) or _MORE_MARKERS[unknown.index(runtime) % len(_MORE_MARKERS)]


def _latency_axis(axis) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.margins(x=0.08)
    axis.set_xlabel("median latency of a picture's labels (ms, log scale)")


def _legend(card: Mapping, names: Sequence[str]) -> tuple[list, list[str]]:
    """Colours of networks, marks of runtimes, filled at the most threads."""
    threads = sorted({row["threads"] for row in card["rows"]})
    entries = [(Line2D([], [], color=_colour(names, name), lw=4), name) for name in names]
    for runtime in dict.fromkeys(row["runtime"] for row in card["rows"]):
        how = {"marker": _marker(card, runtime), "ls": "", "color": INK}
        entries.append((Line2D([], [], **how), runtime))
    if len(threads) > 1:
        fewer = ", ".join(map(str, threads[:-1]))
        entries.append((Line2D([], [], marker="o", ls="", color=INK, mfc="none"), f"hollow: {fewer} thread"))
    if any(row["teaching"] for row in card["rows"]):
        entries.append((Line2D([], [], color=INK, lw=1, ls=(0, (4, 3))), "as it teaches, no mIoU recorded"))
    return tuple(map(list, zip(*entries, strict=True)))
