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
_MOST_LETTERS = 24  # of a value


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


def short_table(found: Mapping[str, Sequence[Difference]], runs: tuple[str, str]) -> rich.table.Table:
    """Of many differences by stage the most telling ones, each once for all its stages; a dozen lines."""
    table = rich.table.Table(title="What tells most", title_justify="left", box=rich.box.SIMPLE_HEAD)
    for header in ("", *(_end(run) for run in runs), "stages"):
        table.add_column(header, no_wrap=True, overflow="ellipsis")
    stages: dict[Difference, list[str]] = collections.defaultdict(list)
    for stage, differences in found.items():
        for difference in differences:
            stages[difference].append(stage)
    for difference in _telling(stages):
        of = stages[difference]
        where = of[0] if len(of) == 1 else "all" if len(of) == len(found) else f"{len(of)} of {len(found)}"
        ours, theirs = _apart(difference.ours, difference.theirs)
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
    """Kind by kind, what differs in more stages first."""
    for kind, most in _SHOWN.items():
        of_kind = [one for one in stages if one.kind == kind and (kind != "scores" or one.fact.endswith(".miou"))]
        yield from sorted(of_kind, key=lambda one: -len(stages[one]))[:most]


def _apart(ours: str, theirs: str) -> tuple[str, str]:
    """Both shortened so that they still differ: without the start that they share, where they are long."""
    if max(len(ours), len(theirs)) <= _MOST_LETTERS:
        return ours, theirs
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    start = max(0, same - 4) if same > _MOST_LETTERS - 4 else 0
    return _from(ours, start), _from(theirs, start)


def _from(text: str, start: int) -> str:
    text = f"…{text[start:]}" if start else text
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


def _end(path: str) -> str:
    return path if len(path) <= _MOST_LETTERS else f"…{path[1 - _MOST_LETTERS :]}"
