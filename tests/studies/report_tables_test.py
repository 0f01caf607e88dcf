"""Tables of one experiment and over several seeds, in every form."""

import csv
import dataclasses
import io
import re

import numpy as np
import pytest
import report_examples
from scipy import stats

from dakd_jax.basics.errors import UserError
from dakd_jax.studies.experiment import seeds, tables
from dakd_jax.studies.kit import paper_numbers, text_table


def test_rows_are_ordered_and_compared_with_the_paper():
    experiment = report_examples.experiment(paper=paper_numbers.for_benchmark("bdd"))
    rows = tables.network_rows(experiment)
    assert [row.name for row in rows] == report_examples.ORDER
    by_name = {row.name: row for row in rows}
    assert by_name["case_a"].difference == pytest.approx(100 * by_name["case_a"].scores.miou - 42.33)
    assert by_name["teacher"].difference is None
    table = tables.score_table(experiment)
    assert table.headers[5:] == ("paper mIoU", "vs paper", "paper acc.")
    assert [row[5].text for row in table.rows if row[5].text != "–"] == ["~38.30", "42.33", "~44.15"]
    assert "second-hand" in table.caption
    assert tables.score_table(report_examples.experiment()).headers[-1] == "class acc."


def test_the_best_student_is_bold_and_never_a_reference():
    table = tables.score_table(report_examples.experiment())
    best = [row[0].text for row in table.rows if row[1].best]
    assert best == ["Title of case_d"]  # teacher and target-supervised have more, and do not compete


def test_equal_looking_numbers_share_the_mark_and_one_alone_has_none():
    assert [c.best for c in text_table.number_cells([1.004, 1.0, 0.5], [True] * 3)] == [True, True, False]
    assert not text_table.number_cells([1.0, 2.0], [True, False])[0].best
    assert not any(cell.best for cell in text_table.number_cells([0.0, 0.0, 1.0], [True, True, False]))
    assert not any(cell.best for cell in text_table.number_cells([np.nan, None], [True, True]))


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (1.234, False, "1.23"),
        (-0.001, True, "0.00"),
        (2, True, "+2.00"),
        (-2, True, "−2.00"),
        (np.nan, True, "–"),
    ],
)
def test_numbers_as_text(value, signed, text):
    assert text_table.number(value, signed=signed) == text


def test_console_tables_fit_100_columns():
    results = [dataclasses.replace(r, title="x" * 30) for r in report_examples.experiment().results]
    experiment = report_examples.experiment(results=results, paper=paper_numbers.for_benchmark("bdd"))
    for table in (tables.score_table(experiment), tables.class_table(experiment)):
        text = report_examples.printed(table.to_rich())
        assert "…" not in text
        assert len([line for line in text.splitlines() if re.search(r"\d\d\.\d", line)]) in (3, 9)
    assert "sky <b>" in text


def test_rich_shows_texts_literally():
    table = text_table.TextTable("", ("a", "b"), ((text_table.Cell("[red]x"), text_table.Cell("1")),))
    assert "[red]x" in report_examples.printed(table.to_rich())


def test_markdown_escapes_and_marks():
    row = (text_table.Cell("a|b <i>"), text_table.Cell("1.0", best=True))
    lines = text_table.TextTable("", ("name", "n"), (row,), "Note.").to_markdown().splitlines()
    assert lines[2] == "| a\\|b &lt;i> | **1.0** |"
    assert lines[1] == "| ----------- | ------: |" and lines[-1] == "Note."
    assert tables.markdown_table(report_examples.experiment()).count("| Title of case_d") == 1


def test_csv_holds_every_number():
    experiment = report_examples.experiment(paper=paper_numbers.for_benchmark("bdd"))
    rows = list(csv.DictReader(io.StringIO(tables.csv_table(experiment))))
    assert [row["stage"] for row in rows] == report_examples.ORDER
    row = next(row for row in rows if row["stage"] == "case_a")
    scores = next(r.scores for r in experiment.results if r.name == "case_a")
    assert float(row["miou"]) == pytest.approx(100 * scores.miou, abs=1e-4)
    assert float(row["iou/sky <b>"]) == pytest.approx(100 * scores.iou[1], abs=1e-4)
    assert row["iou/train"] == "" and row["paper_certainty"] == "certain" and row["paper_miou"] == "42.3300"


def test_cost_table_takes_whatever_info_there_is():
    results = [
        report_examples.result("student", 1, info={"steps": 12000}),
        report_examples.result("teacher", 2, info={"minutes": 1.5}),
    ]
    table = tables.cost_table(report_examples.experiment(results=results))
    assert table.headers == ("network", "steps", "minutes")
    assert [[cell.text for cell in row[1:]] for row in table.rows] == [["12,000", "–"], ["–", "1.50"]]


def test_seeds_mean_deviation_and_paired_gain():
    values = {0: (40, 44), 1: (42, 45), 2: (38, 45)}
    runs = [report_examples.experiment({"student": s, "case_d": d}, seed=seed) for seed, (s, d) in values.items()]
    runs[0] = dataclasses.replace(runs[0], results=[*runs[0].results, report_examples.result("teacher", 50)])
    student, teacher, case_d = seeds.compare_seeds(runs)
    exact = {e.seed: {r.name: 100 * r.scores.miou for r in e.results} for e in runs}
    cases = [exact[seed]["case_d"] for seed in values]
    gains = [exact[seed]["case_d"] - exact[seed]["student"] for seed in values]
    assert case_d.values["miou"].mean == pytest.approx(np.mean(cases))
    assert case_d.values["miou"].std == pytest.approx(np.std(cases, ddof=1))
    assert case_d.gain.std == pytest.approx(np.std(gains, ddof=1))
    assert student.gain is None and case_d.seeds == (0, 1, 2)
    assert teacher.seeds == (0,) and np.isnan(teacher.values["miou"].std)
    table = seeds.seeds_table(runs)
    assert re.fullmatch(r"\d\d\.\d ± \d\.\d", table.rows[2][2].text) and table.rows[2][2].best
    assert "±" not in table.rows[1][2].text
    assert "…" not in report_examples.printed(table.to_rich())
    row = list(csv.DictReader(io.StringIO(seeds.seeds_csv(runs))))[2]
    assert row["seeds"] == "0 1 2" and float(row["vs_student_mean"]) == pytest.approx(np.mean(gains), abs=1e-3)
    assert seeds.compare_seeds(runs, reference="case_d")[2].gain is None


def test_bootstrap_interval_of_the_mean():
    """Of two values a and b the resampled means are a, the middle and b with 1/4, 1/2, 1/4: from a to b."""
    two = seeds.Spread.of([1.0, 3.0])
    assert (two.low, two.high) == (1.0, 3.0)
    values = np.random.default_rng(0).normal(10, 2, 12)
    ours = seeds.Spread.of(values)
    theirs = stats.bootstrap([values], np.mean, method="percentile", n_resamples=10_000, random_state=1)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.05)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.05)
    assert seeds.Spread.of(values) == ours
    one = seeds.Spread.of([2.0, np.nan])
    assert one.mean == 2.0 and np.isnan([one.std, one.low, one.high]).all()


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([{}], "seed 0 comes twice"),
        ([{"seed": 1, "benchmark": "bdd"}], "toy .seed 0. and bdd"),
        (None, "at least one"),
    ],
)
def test_seeds_that_cannot_be_averaged(others, message):
    runs = (
        []
        if others is None
        else [report_examples.experiment(), *(report_examples.experiment(**fields) for fields in others)]
    )
    with pytest.raises(UserError, match=message):
        seeds.compare_seeds(runs)
