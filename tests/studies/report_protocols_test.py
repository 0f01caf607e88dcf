"""The page of protocols: every number on it, the sentences, and texts that are no markup."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from dakd_jax.evaluation import metrics
from dakd_jax.evaluation.cityscapes_scores import Groups
from dakd_jax.evaluation.protocols import matrix
from dakd_jax.studies.protocols import page, protocol_tables
from dakd_jax.studies.protocols.matrix import Counts
from data_pipelines.reading import label_spaces

GROUPS = Groups(label_spaces.CITYSCAPES_CLASSES, label_spaces.CATEGORIES, label_spaces.MEAN_INSTANCE_SIZES)
ROWS = matrix((0.5, 1.0))
OF_STUDENT, OF_TEACHER = "multi_scale", "released"  # where each of the two is far better than elsewhere


def counts(right, row):
    """Two classes of 100 pixels each, `right` of them found: an mIoU of right / (200 - right)."""
    confusion = np.zeros((19, 19), np.int64)
    confusion[0, 0] = confusion[1, 1] = right
    confusion[0, 1] = confusion[1, 0] = 100 - right
    return Counts(confusion, GROUPS.counts() if row.label_size is None else None)


def network(name, title, right, best, **special):
    rights = {key: {**{best: right + 40}, **special}.get(key, right) for key in ROWS}
    return protocol_tables.ScoredNetwork(name, title, {key: counts(rights[key], ROWS[key]) for key in ROWS}, GROUPS)


@pytest.fixture
def study():
    return protocol_tables.ProtocolStudy(
        title="A <b>study</b>",
        command="python run.py --mode=protocols",
        benchmark="toy",
        metric="miou",
        rows=ROWS,
        networks=[
            network("student", "Student, adapted", 40, OF_STUDENT),
            network("teacher", "Teacher, adapted", 50, OF_TEACHER),
            network("case_d", "(d) on target", 30, "mirror", sliding_window=60),
        ],
        notes=["A note & more."],
        record={"versions": {"jax": "0"}},
    )


def percent(right):
    return 100 * right / (200 - right)


def test_the_spread_is_from_the_lowest_to_the_highest(study):
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in protocol_tables.spread_table(study).rows}
    low, high = percent(30), percent(70)
    assert rows["(d) on target"] == [
        f"{low:.2f}", f"{low:.2f}", "native", f"{high:.2f}", "mirror", f"{high - low:.2f}",
    ]  # fmt: skip
    last = protocol_tables.matrix_table(study).rows[-1]
    assert [cell.text for cell in last] == ["highest minus lowest", *(row[-1] for row in rows.values())]
    nothing = protocol_tables.ProtocolRange.of({"native": np.nan})
    assert np.isnan(nothing.range) and nothing.lowest == ""


def test_without_the_native_protocol_there_is_a_dash(study):
    rows = {name: row for name, row in ROWS.items() if name in ("mirror", "released")}
    networks = [dataclasses.replace(one, counts={k: one.counts[k] for k in rows}) for one in study.networks]
    part = dataclasses.replace(study, rows=rows, networks=networks)
    assert [row[1].text for row in protocol_tables.spread_table(part).rows] == ["–"] * 3
    assert not any("native" in sentence for sentence in protocol_tables.sentences(part))


def test_the_matrix_marks_the_best_student_of_each_row(study):
    rows = dict(zip(ROWS, protocol_tables.matrix_table(study).rows, strict=False))
    for name, best in (("native", "student"), ("mirror", "case_d"), ("sliding_window", "case_d")):
        bold = [one.name for one, cell in zip(study.networks, rows[name][1:], strict=True) if cell.best]
        assert bold == [best], name


def test_the_sentences(study):
    said = protocol_tables.sentences(study)
    gap = percent(90) - percent(50)
    assert said[0] == (
        f"The protocol alone moves the mIoU of “Teacher, adapted” by {gap:.1f} points: {percent(50):.1f} under "
        f"“native”, {percent(90):.1f} under “released”."
    )
    assert said[1].endswith(f"the 3 networks differ by {percent(50) - percent(30):.1f} points at most.")
    assert said[2].endswith("“Student, adapted” under 7, “(d) on target” under 2 of the 9 protocols.")


def test_the_files_hold_every_number(study, tmp_path):
    path = page.write_protocols_report(study, tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "protocols.csv").read_text())))
    assert [(row["stage"], row["protocol"]) for row in rows] == [(n.name, p) for n in study.networks for p in ROWS]
    told = json.loads((tmp_path / "protocols.json").read_text())
    assert told["record"] == study.record and list(told["protocols"]) == list(ROWS)
    markdown = (tmp_path / "protocols.md").read_text()
    for row in rows:
        (one,) = (n for n in study.networks if n.name == row["stage"])
        expected = metrics.scores(one.counts[row["protocol"]].confusion)
        assert row["miou"] == f"{100 * expected.miou:.4f}" and row["iou/road"] == f"{100 * expected.iou[0]:.4f}"
        # Both classes are flat: as a category all is right.
        assert row["category_iou/flat"] == "100.0000" and row["category_iou"] == "100.0000"
        assert row["iou/sky"] == row["class_iiou"] == row["iiou/car"] == ""
        mine = told["networks"][row["stage"]][row["protocol"]]
        assert mine["miou"] == expected.miou and mine["mean_category_iou"] == 1 and mine["mean_class_iiou"] is None
        assert f"{100 * expected.miou:.2f}" in markdown
    text = path.read_text()
    assert "A &lt;b&gt;study&lt;/b&gt;" in text and "A note &amp; more." in text and "<b>" not in text
    assert text.count("<details>") == len(study.networks) + 1 and all(row.meaning in text for row in ROWS.values())
    assert not any(f"{path.parent}" in content.read_text() for content in tmp_path.glob("*.*"))


def test_the_figure_has_a_mark_for_each_score(study):
    (axis,) = protocol_tables.spread_figure(study).axes
    marks = np.array([c.get_offsets()[0] for c in axis.collections])
    expected = [(value, row) for row, one in enumerate(study.networks) for value in study.values(one).values()]
    np.testing.assert_allclose(marks[:, 0], [value for value, _ in expected])
    np.testing.assert_array_equal(np.round(marks[:, 1]), [row for _, row in expected])
    assert len({tuple(mark) for mark in marks.round(6).tolist()}) == len(expected)  # none hides another
    assert len(axis.get_legend_handles_labels()[0]) == len(ROWS)
