"""The differences between two runs for people: all of them, or on one screen those that tell most."""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import rich.box
import rich.table
from rich.text import Text

# So many at most are listed stage by stage.
FEW = 12
# What is shown of more, in this order: kind, how many.
_SHOWN = {"scores": 4, "config": 5, "data_fingerprint": 1, "versions": 2, "hardware": 1}
_UNTELLING = ("config.title", "config.workdir")
_NARROW = 110  # letters of a terminal; below it values are cut to the fewer letters
_LETTERS, _FEW_LETTERS = 24, 14  # of a value


class Difference(NamedTuple):
    """A fact that differs; `ours` and `theirs` as text."""

    fact: str
    ours: str
    theirs: str

    @property
    def kind(self) -> str:
        """'scores', 'config', 'versions', ...: the part of the record that holds it."""
        return "scores" if self.fact.startswith("scores under ") else self.fact.split(".")[0]


def stage_table(stage: str, differences: Sequence[Difference], runs: tuple[str, str]) -> rich.table.Table:
    """All differences of a stage."""
    table = rich.table.Table(title=stage, title_justify="left", box=rich.box.SIMPLE_HEAD)
    for header in ("", *runs):
        table.add_column(header, overflow="fold")
    for difference in differences:
        table.add_row(*map(Text, difference))
    return table


def short_table(found: Mapping[str, Sequence[Difference]], runs: tuple[str, str], width: int) -> rich.table.Table:
    """Of many differences by stage the most telling ones, each once for all its stages; a dozen lines."""
    most = _FEW_LETTERS if width < _NARROW else _LETTERS
    table = rich.table.Table(title="What tells most", title_justify="left", box=rich.box.SIMPLE_HEAD)
    for header in ("", *(run if len(run) <= most else f"…{run[1 - most :]}" for run in runs)):
        table.add_column(header, no_wrap=True, overflow="ellipsis")
    table.add_column("stages", no_wrap=True, overflow="ellipsis", min_width=len("6 of 6"))
    stages: dict[Difference, list[str]] = collections.defaultdict(list)
    for stage, differences in found.items():
        for difference in differences:
            stages[difference].append(stage)
    for difference in _telling(stages):
        of = stages[difference]
        where = of[0] if len(of) == 1 else "all" if len(of) == len(found) else f"{len(of)} of {len(found)}"
        ours, theirs = _apart(_short_number(difference.ours), _short_number(difference.theirs), most)
        table.add_row(*map(Text, (difference.fact, ours, theirs, where)))
    return table


def counts_line(found: Mapping[str, Sequence[Difference]]) -> str:
    """How many there are, and of what."""
    kinds = collections.Counter(one.kind for differences in found.values() for one in differences)
    shown = {kind: number for kind, number in kinds.items() if kind in _SHOWN}
    if others := kinds.total() - sum(shown.values()):
        shown["others"] = others
    parts = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in shown.items())
    return f"{kinds.total()} differences in {len(found)} stages ({parts}); --full lists all"


def _telling(stages: Mapping[Difference, list[str]]) -> Iterator[Difference]:
    """Kind by kind, what differs in more stages first, and one field of each group before the next of any."""
    seen: collections.Counter = collections.Counter()
    rank: dict[Difference, int] = {}
    for one in stages:
        group = one.fact.rpartition(".")[0]
        rank[one] = seen[group]
        seen[group] += 1
    for kind, most in _SHOWN.items():
        of_kind = [one for one in stages if one.kind == kind and one.fact not in _UNTELLING]
        of_kind = [one for one in of_kind if kind != "scores" or one.fact.endswith(".miou")]
        yield from sorted(of_kind, key=lambda one: (-len(stages[one]), rank[one]))[:most]


def _short_number(text: str) -> str:
    """Six digits of one that has more."""
    try:
        return f"{float(text):.6g}" if "." in text else text
    except ValueError:
        return text


def _apart(ours: str, theirs: str, most: int) -> tuple[str, str]:
    """Both shortened so that they still differ: without the start that they share, where they are long."""
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    start = same - 4 if same > most - 4 else 0
    return _from(ours, start, most), _from(theirs, start, most)


def _from(text: str, start: int, most: int) -> str:
    text = f"…{text[start:]}" if start else text
    return text if len(text) <= most else f"{text[: most - 1]}…"
