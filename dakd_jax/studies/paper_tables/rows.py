"""The rows of the paper's tables as data: which stage under which settings, and what was published for it."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping

from dakd_jax.basics.errors import UserError
from dakd_jax.objectives import paradigms
from dakd_jax.studies.kit import paper_numbers
from dakd_jax.studies.kit.paper_numbers import LOSSES, PaperNumber
from dakd_jax.studies.kit.result_types import CASES, SHORT_NAMES

# Table 1 is of this benchmark; elsewhere its numbers are shown, but no difference to them is taken.
ABLATED = "bdd"
LAMBDAS = tuple(loss.upper() for loss in LOSSES)

# By data.name: the benchmarks of the main tables, as titles and what they change in the config.
_PAPER_PAIRS = {
    "BDD100K to Cityscapes": {"data.name": "bdd"},
    "GTA5 to Cityscapes": {"data.name": "gta5"},
}
PAIRS: Mapping[str, Mapping[str, Mapping]] = {
    "bdd": _PAPER_PAIRS,
    "gta5": {"GTA5 to Cityscapes": {}},
    "camvid": {"CamVid, daylight to dusk": {}},
    "toy": {
        "toy city, American look to European": {"data.toy.source": "bdd100k"},
        "toy city, game-like look to European": {"data.toy.source": "gta5"},
    },
}
_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")

# By student.init_from: the undistilled network that was trained as long as the cases.
REFERENCES = {"": "student", "student": "student_continued"}


@dataclasses.dataclass(frozen=True)
class TableRow:
    """One row: a stage under settings of its own.

    Attributes:
      labels: its cells under the table's label headers.
      name: for people, unique in the table.
      aliases: other names that --rows knows it by, of several rows perhaps; lower case.
      stage: of paradigms.STAGES.
      changes: fields of the config, by path with dots.
      contest: rows with the same one compete for the bold face; '' for a reference.
      reference: name of the row that gains are measured from; '' for none.
      paper: what was published; None for nothing.
      comparable: whether it was measured on this benchmark.
    """

    labels: tuple[str, ...]
    name: str
    aliases: frozenset[str]
    stage: str
    changes: Mapping
    contest: str
    reference: str = ""
    paper: PaperNumber | None = None
    comparable: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table to be filled.

    Attributes:
      title: for people.
      headers: of the label columns.
      rows: in order.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[TableRow, ...]


def ablation(benchmark: str, init_from: str = "") -> Table:
    """The supplement's Table 1 on a benchmark, after the teacher and the student that were there before it."""
    reference = REFERENCES[init_from]
    rows = [*map(_reference, _references(("teacher",), init_from)), *map(_ablation_row, paper_numbers.table1())]
    rows = [
        dataclasses.replace(row, reference="" if row.stage == reference else reference, comparable=benchmark == ABLATED)
        for row in rows
    ]
    return Table("Table 1 of the supplement: case (a) by its losses", ("section", *LAMBDAS), tuple(rows))


def _references(others: Iterable[str], init_from: str) -> list[str]:
    """Stages of a table that do not compete: others, the student, and what gains are measured from."""
    return list(dict.fromkeys((*others, "student", REFERENCES[init_from])))


def _reference(stage: str) -> TableRow:
    return TableRow(
        labels=(stage, "", "", ""),
        name=stage,
        aliases=frozenset((stage,)),
        stage=stage,
        changes={},
        contest="",
        paper=paper_numbers.PAPER_NUMBERS.get((ABLATED, stage)),
    )


def _ablation_row(one: paper_numbers.Ablation) -> TableRow:
    weights = dict(zip(LAMBDAS, one.weights, strict=True))
    losses = " ".join(f"{name} {weight:g}" for name, weight in weights.items() if weight is not None)
    return TableRow(
        labels=(one.section, *("" if weight is None else f"{weight:g}" for weight in one.weights)),
        name=f"{one.section} {losses}",
        aliases=frozenset((one.section, losses.lower())),
        stage="case_a",
        # A loss that a row does not have is off, whatever the config says: that is what the row means.
        changes={f"loss.{loss}": weight or 0.0 for loss, weight in zip(LOSSES, one.weights, strict=True)},
        contest="case_a",
        paper=one.number,
    )


def main(benchmark: str, init_from: str = "") -> Table:
    """Teacher, students and cases, on both of the paper's benchmarks or on what stands for them."""
    rows, reference = [], REFERENCES[init_from]
    stages = (*_references(("teacher", "source_only"), init_from), *CASES)
    for title, changes in PAIRS.get(benchmark, {benchmark: {}}).items():
        published = paper_numbers.for_benchmark(changes.get("data.name", benchmark))
        alias = str(next(iter(changes.values()), benchmark))
        rows += [_main_row(stage, title, alias, changes, published, reference) for stage in stages]
    return Table("Teacher, students and cases (a) to (d)", ("benchmark", "network"), tuple(rows))


def _main_row(
    stage: str, pair: str, alias: str, changes: Mapping, published: Mapping[str, PaperNumber], reference: str
) -> TableRow:
    short = SHORT_NAMES[stage]
    return TableRow(
        labels=(pair, paradigms.STAGES[stage].title),
        name=f"{alias} {short}",
        aliases=frozenset((alias, pair.lower(), stage, short)),
        stage=stage,
        changes=changes,
        contest=pair if stage in CASES else "",
        reference="" if stage == reference else f"{alias} {SHORT_NAMES[reference]}",
        paper=published.get(stage),
        comparable=True,
    )


TABLES = {"ablation": ablation, "main": main}


def table(name: str, benchmark: str, init_from: str = "") -> Table:
    """The table of config.table on a benchmark, as its feed calls it; UserError when there is none of this name.

    Args:
      init_from: config.student.init_from, what the cases start from.
    """
    if name not in TABLES:
        raise UserError(f"config.table={name!r}: expected one of {', '.join(TABLES)}")
    if init_from not in REFERENCES:
        raise UserError(f"config.student.init_from={init_from!r}: expected '' or 'student'")
    return TABLES[name](benchmark, init_from)


def chosen(rows: Iterable[TableRow], wanted: Iterable[str]) -> list[TableRow]:
    """The rows that --rows names, by section, losses, stage, benchmark or their own name; all where it names none.

    Raises:
      UserError: a name fits no row.
    """
    rows, wanted = list(rows), [_plain(text) for text in wanted]
    for text in wanted:
        if not any(_fits(row, text) for row in rows):
            known = sorted({name for row in rows for name in (*row.aliases, row.name.lower())})
            near = difflib.get_close_matches(text, known, n=3) or [row.name for row in rows]
            raise UserError(f"--rows: no row is called {text!r}; try {', '.join(near)}")
    return [row for row in rows if not wanted or any(_fits(row, text) for text in wanted)]


def _fits(row: TableRow, text: str) -> bool:
    return text == row.name.lower() or text in row.aliases


def _plain(text: str) -> str:
    """Lower case, single blanks, numbers without superfluous zeros: 'CE  1.0' is 'ce 1'."""
    return " ".join(f"{float(word):g}" if _NUMBER.fullmatch(word) else word for word in text.lower().split())
