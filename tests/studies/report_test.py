"""The report's inputs, its headline, and the page as a whole."""

import dataclasses
import html.parser
import re

import numpy as np
import pytest
import report_examples

from dakd_jax.basics import palette, records
from dakd_jax.basics.errors import UserError
from dakd_jax.studies.experiment import headline, page, tables
from dakd_jax.studies.kit import paper_numbers, result_types


def test_colourise_paints_classes_and_leaves_the_rest_black():
    label = np.array([[0, 3, 255], [1, 4, 254]], np.uint8)
    coloured = palette.colourise(label, report_examples.PALETTE)
    assert coloured.dtype == np.uint8 and coloured.shape == (2, 3, 3)
    np.testing.assert_array_equal(coloured[0, :2], report_examples.PALETTE[[0, 3]])
    assert not coloured[:, 2].any() and not coloured[1, 1].any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "accuracy"}, "metric 'accuracy'"),
        ({"palette": report_examples.PALETTE[:2]}, "palette"),
        ({"class_names": report_examples.NAMES[:2], "palette": report_examples.PALETTE[:2]}, "for 2 classes"),
        ({"results": [report_examples.result("student", 1), report_examples.result("student", 2)]}, "twice"),
    ],
)
def test_experiment_refuses_contradictions(fields, message):
    with pytest.raises(ValueError, match=message):
        report_examples.experiment(**fields)


def test_paper_numbers_by_benchmark():
    assert set(paper_numbers.for_benchmark("bdd")) == {"student", "case_a", "case_d"}
    assert paper_numbers.for_benchmark("toy") == {}


@pytest.mark.parametrize(
    ("percents", "verdict"),
    [
        (
            {"source_only": 20, "student": 40, "teacher": 50, "case_d": 46},
            r"Case \(d\) wins: 46.0.% mIoU .* 6.0 points",
        ),
        ({"student": 40, "student_continued": 43, "case_d": 46}, "3.0 points above"),  # the harder baseline
        ({"student": 40, "case_b": 40.4}, r"no clear difference: the best case, \(b\), .* 0.4 points above"),
        (
            {"student": 40, "case_a": 35, "case_b": 37},
            r"did not help here: the adapted student .* \(b\), is 3.0",
        ),
        ({"source_only": 50, "student": 40, "case_a": 45}, "Neither adaptation nor distillation helped"),
        ({"source_only": 20, "student": 40}, "The adapted student is best: 40.0.%"),
        ({"teacher": 40}, "The teacher is best"),
    ],
)
def test_verdict_is_honest(percents, verdict):
    assert re.search(verdict, headline.headline(report_examples.experiment(percents)).verdict)


def test_sentences_say_what_helped_and_what_did_not():
    good = " ".join(headline.headline(report_examples.experiment()).sentences)
    assert "(+20.0 points)" in good and "leads the best student without a teacher by 9.0 points" in good
    assert "case (d) is 5.0 points above that" in good and "14.0 points below that" in good
    percents = {"source_only": 40, "student": 39, "teacher": 38, "case_b": 37, "case_d": 36}
    bad = " ".join(headline.headline(report_examples.experiment(percents)).sentences)
    assert "adaptation did not clearly help" in bad and "it had little to teach" in bad
    assert "Case (d), the paper's last step" in bad and "3.0 points below" in bad


def test_headline_without_results():
    empty = headline.headline(report_examples.experiment(results=[]))
    assert empty == headline.Headline("No network has been scored yet.", (), ())
    unscored = result_types.StageResult("student", "s", np.zeros((4, 4), np.int64))
    assert headline.headline(report_examples.experiment(results=[unscored])).tiles == ()


def test_the_metric_of_the_benchmark_decides():
    def result(name, stray):  # predicts a class that never occurs: lowers mIoU, hardly the present classes'
        confusion = report_examples.confusion(50)
        confusion[0, 3] = stray
        return result_types.StageResult(name, name, confusion)

    results = [result("student", 0), dataclasses.replace(result("case_d", 1), name="case_d")]
    by_all = report_examples.experiment(results=results)
    by_present = report_examples.experiment(results=results, metric="miou_present")
    assert by_all.percent("case_d") == pytest.approx(0.75 * by_present.percent("case_d"))
    assert "did not help" in headline.headline(by_all).verdict
    assert "no clear difference" in headline.headline(by_present).verdict


class _Page(html.parser.HTMLParser):
    """Collects tags with their attributes and checks that they nest."""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_is_one_self_contained_escaped_page(tmp_path):
    experiment = report_examples.full_experiment()
    path = page.write_report(experiment, tmp_path / "new" / "report")
    text = path.read_text()
    parsed = _Page(text)
    links = [v for _, attrs in parsed.tags for k, v in attrs.items() if k in ("src", "href")]
    assert links and all(link.startswith("data:") for link in links)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert not [tag for tag, _ in parsed.tags if tag in ("script", "b")]
    assert "A &amp; B &lt;script&gt;" in text and "&lt;abc&gt;" in text and "versions.jax" in text
    written = {str(p.relative_to(path.parent)) for p in path.parent.rglob("*") if p.is_file()}
    names = [
        "pictures_1",
        "pictures_2",
        "validation",
        "losses",
        "class_iou",
        *(f"confusion_{n}" for n in report_examples.ORDER),
    ]
    assert written == {"index.html", "results.csv", "results.md", *(f"figures/{name}.png" for name in names)}
    assert len([tag for tag, _ in parsed.tags if tag == "img"]) == len(names)
    assert (path.parent / "results.csv").read_text() == tables.csv_table(experiment)


def test_report_of_almost_nothing(tmp_path):
    text = page.write_report(report_examples.experiment(results=[]), tmp_path).read_text()
    _Page(text)
    assert "No network has been scored yet" in text and "<img" not in text


def test_groups_of_pictures_are_even():
    assert [len(group) for group in page._groups(list(range(5)))] == [2, 3]
    assert [len(group) for group in page._groups(list(range(8)))] == [4, 4]
    assert page._groups([]) == []


def test_a_failed_write_leaves_the_old_report_whole(tmp_path, monkeypatch):
    path = page.write_report(report_examples.experiment(), tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.os, "replace", full)
    with pytest.raises(UserError, match="cannot write the report to .*No space left on device; make room"):
        page.write_report(report_examples.experiment({"student": 1}), tmp_path)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert path in before
