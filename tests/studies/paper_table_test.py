"""A table of the paper in every form: numbers, marks, bold face, what is missing."""

import csv
import io
import re

import numpy as np
import pytest
import report_examples
from scipy import stats

from dakd_jax.evaluation import metrics
from dakd_jax.studies.kit.paper_numbers import CERTAIN, SECOND_HAND, UNSURE, PaperNumber
from dakd_jax.studies.kit.text_table import Cell, TextTable
from dakd_jax.studies.paper_tables import tables
from dakd_jax.studies.paper_tables.page import verdict, write_paper_table
from dakd_jax.studies.paper_tables.tables import PaperRow, PaperTable


def scores(percent):
    return metrics.scores(report_examples.confusion(percent))


def paper(miou, certainty=CERTAIN, **fields):
    return PaperNumber(miou, miou + 50, certainty, iou=(miou, miou + 1, miou + 2, miou + 3), **fields)


STUDENT = {0: scores(30), 1: scores(32)}


def row(name, percents, number=None, **fields):
    found = {seed: scores(percent) for seed, percent in enumerate(percents)}
    defaults = {"contest": "case_a", "reference": STUDENT, "comparable": True}
    return PaperRow(name, (name, "0.1"), scores=found, paper=number, **{**defaults, **fields})


def example(**fields):
    """A table of two seeds: two references, three rows that compete, one half done, one not at all."""
    rows = [
        row("teacher", (60, 61), contest=""),
        row("student", (30, 32), PaperNumber(38.3, None, SECOND_HAND), contest="", reference={}),
        row("i", (40, 44), paper(36.0)),
        row("ii", (46, 47), paper(35.0)),
        row("iv", (35, 36), paper(39.0, UNSURE, note="hard <to> read", unsure=frozenset({"sky <b>"}))),
        row("v", (45,), paper(37.0)),
        row("vii", (), paper(38.0), missing="skipped: no data"),
    ]
    defaults = {"title": "Table & 1", "command": "python run.py <x>", "headers": ("section", "KL"), "rows": rows}
    defaults |= {"seeds": (0, 1), "class_names": report_examples.NAMES, "notes": ["a note"], "record": {"a": {"b": 1}}}
    return PaperTable(**{**defaults, **fields})


def column(table, header):
    place = table.headers.index(header)
    return [line[place] for line in table.rows]


def test_mean_deviation_difference_and_gain_over_seeds():
    table = tables.score_table(example())
    mine = [100 * scores(percent).miou for percent in (40, 44)]
    assert column(table, "mIoU")[2].text == f"{np.mean(mine):.2f} ± {np.std(mine, ddof=1):.2f}"
    assert column(table, "vs paper")[2].text == f"+{np.mean(mine) - 36:.2f}"
    base = [100 * scores(percent).miou for percent in (30, 32)]
    gains = np.subtract(mine, base)
    assert column(table, "vs student")[2].text == f"+{gains.mean():.2f} ± {gains.std(ddof=1):.2f}"
    assert column(table, "vs student")[1].text == "–"
    assert column(table, "vs student")[5].text == f"+{100 * scores(45).miou - base[0]:.2f}"  # within the seed it has
    assert [cell.text for cell in column(table, "seeds")] == ["2", "2", "2", "2", "2", "1 of 2", "0 of 2"]
    assert [cell.text for cell in column(table, "pixel acc.")][6] == "–"


def test_the_best_is_bold_and_neither_references_nor_unsure_numbers_compete():
    table = tables.score_table(example())
    best = {
        header: [line[0].text for line in table.rows if line[place].best] for place, header in enumerate(table.headers)
    }
    assert best["mIoU"] == ["ii"] and best["pixel acc."] == ["ii"]
    assert best["paper mIoU"] == ["vii"] and best["paper acc."] == ["vii"]  # the 39.0 of iv is unsure
    assert best["vs paper"] == best["vs student"] == best["seeds"] == []
    classes = tables.class_table(example())
    assert [line[0].text for line in classes.rows if line[2].best] == ["ii"]
    assert [cell.text for cell in column(classes, "train")] == ["–"] * 7  # a class that never occurs


def test_each_benchmark_has_its_own_best():
    rows = [row("a", (40, 41), contest="x"), row("b", (42, 43), contest="x"), row("c", (1, 2), contest="y")]
    rows.append(row("d", (2, 3), contest="y"))
    assert [cell.best for cell in column(tables.score_table(example(rows=rows)), "mIoU")] == [False, True, False, True]


def test_unsure_and_second_hand_numbers_are_marked_everywhere():
    table = example()
    shown = tables.score_table(table)
    assert [cell.text for cell in column(shown, "paper mIoU")][1:5] == ["~38.30", "36.00", "35.00", "?39.00"]
    assert column(shown, "section")[4].text == "iv?"
    apart = [100 * np.mean([scores(p).miou for p in pair]) for pair in ((30, 32), (40, 44), (46, 47), (35, 36))]
    signs = ["~", "", "", "?"]
    expected = [f"{s}{a - p:+.2f}".replace("-", "−") for s, a, p in zip(signs, apart, (38.3, 36, 35, 39), strict=True)]
    assert [cell.text for cell in column(shown, "vs paper")][1:5] == expected
    assert "advisory only" in shown.caption and "second-hand" in shown.caption
    assert [cell.text for cell in column(tables.paper_class_table(table), "road")][4] == "?39.0"
    (line,) = [line for line in csv.DictReader(io.StringIO(tables.csv_table(table))) if line["section"] == "iv"]
    assert line["paper_certainty"] == "unsure" and line["paper_unsure_cells"] == "sky <b>"
    assert "?39.00" in tables.markdown(table) and "?39.00" in tables.latex(table)
    # A single cell that is unsure in a row that is not.
    one = row("i", (40, 41), paper(36.0, unsure=frozenset({"car"})))
    single = tables.paper_class_table(example(rows=[one]))
    assert [cell.text for cell in single.rows[0]] == ["i", "0.1", "36.0", "37.0", "?38.0", "39.0"]


def test_on_another_benchmark_the_paper_is_shown_and_not_subtracted():
    rows = [row("i", (40, 41), paper(36.0), comparable=False), row("ii", (42, 43), paper(35.0), comparable=False)]
    table = tables.score_table(example(rows=rows))
    assert [line[table.headers.index("vs paper")].text for line in table.rows] == ["–", "–"]
    assert column(table, "paper mIoU")[0].text == "36.00" and "no difference to them" in table.caption
    line = next(csv.DictReader(io.StringIO(tables.csv_table(example(rows=rows)))))
    assert line["difference_miou"] == line["difference_iou/road"] == "" and line["paper_iou/road"] == "36.0000"


def test_csv_holds_everything():
    lines = {line["section"]: line for line in csv.DictReader(io.StringIO(tables.csv_table(example())))}
    line, iou = lines["i"], [100 * scores(percent).iou[1] for percent in (40, 44)]
    assert float(line["iou/sky <b>"]) == pytest.approx(np.mean(iou), abs=1e-4)
    assert float(line["iou_std/sky <b>"]) == pytest.approx(np.std(iou, ddof=1), abs=1e-4)
    assert float(line["difference_iou/sky <b>"]) == pytest.approx(np.mean(iou) - 37, abs=1e-4)
    assert line["seeds"] == "0 1" and line["missing"] == "" and line["kl"] == "0.1"
    assert (lines["v"]["seeds"], lines["v"]["missing"]) == ("0", "not finished")
    assert lines["vii"]["missing"] == "skipped: no data" and lines["vii"]["miou_mean"] == ""
    assert lines["v"]["miou_std"] == "" != lines["v"]["miou_mean"]


def test_rank_correlation_is_spearman_s():
    rng = np.random.default_rng(0)
    theirs, ours = rng.integers(30, 36, 12), rng.integers(20, 60, 12)  # with ties
    rows = [row(str(i), (int(a),), paper(float(b))) for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    others = [*example().rows[:2], row("x", (), paper(1.0)), row("y", (99,), paper(1.0, UNSURE))]
    others.append(row("z", (99,), paper(1.0, unsure=frozenset({"miou"}))))
    value, count = tables.rank_correlation(example(rows=[*rows, *others]))
    assert (value, count) == (pytest.approx(stats.spearmanr(theirs, [scores(a).miou for a in ours]).statistic), 12)
    assert tables.rank_correlation(example(rows=rows[:2])) is None
    assert tables.rank_correlation(example(rows=[row(str(i), (40,), paper(i)) for i in range(3)])) is None


def test_a_network_that_was_given_is_one_and_not_one_for_each_seed():
    made = row("teacher", (60, 60), contest="", given=True)
    assert np.isnan(made.spread("miou").std) and made.spread("miou").mean == pytest.approx(60)
    table = tables.score_table(example(rows=[made]))
    assert table.rows[0][-1].text == "given" and " ± " not in table.rows[0][3].text


def test_latex_is_a_table_of_equal_rows():
    text = TextTable("100 %", ("a_b", "x"), ((Cell("m & n"), Cell("1.0 ± 0.1", True)), (Cell("–"), Cell("−2"))), "50 %")
    lines = text.to_latex().splitlines()
    assert r"\caption{100 \%. 50 \%}" in lines and r"\begin{tabular}{lr}" in lines
    assert r"a\_b & x \\" in lines and r"m \& n & \textbf{1.0 $\pm$ 0.1} \\" in lines and r"-- & $-$2 \\" in lines
    opened = re.findall(r"\\begin\{(\w+)\}", "\n".join(lines))
    assert re.findall(r"\\end\{(\w+)\}", "\n".join(lines)) == opened[::-1] == ["tabular", "adjustbox", "table"]
    whole = tables.latex(example())
    assert whole.count("{") == whole.count("}") and whole.count(r"\begin{table}") == 3
    signs = [len(re.findall(r"(?<!\\)&", line)) for line in whole.split("\n") if line.endswith(r" \\")]
    assert signs == [2 + 8 - 1] * 8 + [2 + 4 - 1] * 16
    assert r"Table \& 1" in whole


def test_the_files_of_a_table(tmp_path):
    page = write_paper_table(example(), tmp_path / "table")
    assert page == tmp_path / "table" / "index.html"
    names = {str(p.relative_to(page.parent)) for p in page.parent.rglob("*") if p.is_file()}
    figures = {"figures/scores.png", "figures/against_the_paper.png"}
    assert names == {"index.html", "table.csv", "table.md", "table.tex"} | figures
    text = page.read_text()
    assert "Table &amp; 1" in text and "python run.py &lt;x&gt;" in text and "a note" in text
    assert text.count("data:image/png;base64") == 2 and 'class="best"' in text and "?39.00" in text and "0 of 2" in text
    assert "**" in (page.parent / "table.md").read_text()
    before = {name: (page.parent / name).read_bytes() for name in names}
    write_paper_table(example(), page.parent)
    assert before == {name: (page.parent / name).read_bytes() for name in names}


def test_a_table_without_results_can_be_written(tmp_path):
    rows = [row("i", (), paper(36.0)), row("ii", (), None)]
    page = write_paper_table(example(rows=rows), tmp_path)
    assert "0 of 4 results are there." in page.read_text() and not list(tmp_path.glob("figures/*"))


def test_the_verdict_names_the_best_and_the_order():
    text = verdict(example())
    assert "11 of 14 results are there." in text and "Best: ii with" in text and "points against the student" in text
    assert "over 3 legible rows" in text
