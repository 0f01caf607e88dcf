"""Tables, figures and page of an attribution, and the file that it is kept in."""

import csv
import dataclasses
import io

import numpy as np
from attribution_examples import NAMES, C, attribution
from PIL import Image

from dakd_jax.studies.attribution import attribution_figures, attribution_page, kept_attribution, rates
from dakd_jax.studies.attribution import attribution_tables as tables

ORDER = ["student", "teacher", "case_a", "case_d"]


def texts(table):
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def test_summary_shows_every_student_and_no_transfer_to_the_reference():
    found = attribution()
    rows = texts(tables.summary_table(found))
    assert list(rows) == ["Title of student", "Title of case_a", "Title of case_d"]
    assert rows["Title of student"][3:] == ["–"] * 5
    confusion = {name: counts.confusion for name, counts in found.networks.items()}
    net = 100 * (np.trace(confusion["case_a"]) - np.trace(confusion["student"])) / confusion["student"].sum()
    assert rows["Title of case_a"][-1] == f"{net:+.1f}".replace("-", "−")
    repaired = rates.transfer(found.networks["case_a"])["repaired"]
    assert rows["Title of case_a"][3] == f"{100 * repaired.part.sum() / repaired.whole.sum():.1f}"


def test_confusions_show_the_papers_pairs_first_and_mark_each_networks_own():
    found = attribution()
    table = tables.confusion_table(found)
    assert table.headers == ("pair", "student", "teacher", "(a)", "(d)")
    names = [row[0].text for row in table.rows]
    assert names[0] == "truck as bus*" and "*" not in "".join(names[1:])  # no train, fence or car here
    for column, network in enumerate(ORDER, start=1):
        best = {row[0].text.rstrip("*") for row in table.rows if row[column].best}
        worst = rates.most_confused(found.networks[network], 3)
        assert best == {f"{NAMES[one.label]} as {NAMES[one.prediction]}" for one in worst}
    confusion = found.networks["teacher"].confusion
    assert texts(table)["truck as bus*"][1] == f"{100 * confusion[2, 3] / confusion[2].sum():.1f}"


def test_objects_are_counted_per_class_and_size():
    found = attribution()
    short, whole = tables.objects_table(found), tables.objects_table(found, None)
    assert {row[0].text.split(",")[0] for row in short.rows} == {"person"}
    counts = found.networks["teacher"].objects
    assert sum(int(row[1].text) for row in whole.rows) == counts[..., 0].sum()
    size = int(np.flatnonzero(counts[4, :, 0])[0])
    name = ("tiny", "small", "medium", "large")[size]
    expected = 100 * counts[4, size, 1] / counts[4, size, 0]
    assert texts(short)[f"person, {name}"][2] == f"{expected:.1f}"
    nobody = dataclasses.replace(found.networks["case_a"], objects=found.networks["case_a"].objects * [1, 0])
    none_found = attribution(networks=dict.fromkeys(found.networks, nobody))
    assert not any(cell.best for row in tables.objects_table(none_found, None).rows for cell in row)


def test_quasi_and_gradient_tables():
    found = attribution()
    rows = texts(tables.quasi_table(found))
    teacher = found.networks["teacher"].confusion
    assert rows["all"][0] == "100.0"
    assert rows["all"][2] == f"{100 * np.trace(teacher) / teacher.sum():.1f}"
    assert rows["bus"][2] == f"{100 * teacher[3, 3] / teacher[:, 3].sum():.1f}"
    gradients = texts(tables.gradient_table(found))
    assert list(gradients) == [f"{n}, {t}" for n in ("student", "(d)") for t in ("adversarial", "target KL")]
    ratio = found.alignments["case_d"].norm[2] / found.alignments["case_d"].norm[0]
    assert gradients["(d), target KL"][1] == f"{ratio.mean():.3f} ± {ratio.std(ddof=1):.3f}"


def test_csv_holds_the_counts():
    found = attribution()
    lines = list(csv.DictReader(io.StringIO(tables.counts_csv(found))))
    right = [line for line in lines if (line["measure"], line["network"]) == ("pixels right", "case_a")]
    confusion = found.networks["case_a"].confusion
    assert sum(int(line["part"]) for line in right) == np.trace(confusion)
    assert sum(int(line["whole"]) for line in right) == confusion.sum()
    wrong = [line for line in lines if (line["measure"], line["network"]) == ("confused with", "case_a")]
    assert sum(int(line["part"]) for line in wrong) == confusion.sum() - np.trace(confusion)
    one = next(line for line in lines if line["measure"] == "changed" and line["detail"] == "repaired")
    assert float(one["percent"]) == round(100 * int(one["part"]) / int(one["whole"]), 4)
    gradients = list(csv.DictReader(io.StringIO(tables.gradients_csv(found))))
    assert len(gradients) == 2 * 3 * 4 and gradients[0]["term"] == "segmentation"


def test_flow_figure_plots_shares_of_the_class():
    found = attribution()
    axis = attribution_figures.flow_figure(found).axes[0]
    widths = np.array([patch.get_width() for patch in axis.patches]).reshape(4, C + 1)
    flow = rates.flow(found.networks["case_a"])
    for row, (share, side) in enumerate(zip(flow.values(), (1, 1, -1, -1), strict=True)):
        np.testing.assert_allclose(widths[row, 1:], 100 * side * share.value)
    np.testing.assert_allclose(widths[:, 0].sum(), tables.net_gain(found, "case_a"))


def test_curves_over_training_need_two_checkpoints():
    found = attribution()
    left, right = attribution_figures.over_training_figure(found).axes
    assert [line.get_label() for line in left.lines] == ["(a)"]
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [2, 4])
    share = rates.precision_where_disagreeing(found.networks["case_a"].quasi)
    np.testing.assert_allclose(right.lines[0].get_ydata(), 100 * share.part.sum() / share.whole.sum())
    for steps in ((), (2,)):
        assert attribution_figures.over_training_figure(attribution(steps=steps, over_training={})) is None
    assert attribution_figures.gradient_figure(attribution(alignments={})) is None
    found = attribution()
    void = {
        name: dataclasses.replace(a, norm=a.norm * ([0] + [1] * (a.norm.shape[1] - 1)))
        for name, a in found.alignments.items()
    }
    attribution_figures.gradient_figure(attribution(alignments=void))  # one batch of void labels
    void = {name: dataclasses.replace(a, norm=0 * a.norm) for name, a in found.alignments.items()}
    assert attribution_figures.gradient_figure(attribution(alignments=void)) is None


def test_page_has_everything_and_escapes_texts(tmp_path):
    page = attribution_page.write_attribution(attribution(), tmp_path / "new", title="T <i>", command="python run.py")
    text = page.read_text()
    for part in ("Repaired and broken", "Confused pairs", "Small objects", "Gradients of the loss terms"):
        assert f"<h2>{part}</h2>" in text
    assert "wall &lt;b&gt;" in text and "A &amp; B &lt;script&gt;" in text and "T &lt;i&gt;" in text
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")
    files = {path.name for path in page.parent.rglob("*") if path.is_file()}
    pictures = {f"{name}.png" for name in ("flow", "agreement", "reliability", "over_training", "sizes", "gradients")}
    assert files == pictures | {"index.html", "attribution.csv", "attribution.md", "gradients.csv"}
    assert Image.open(page.parent / "figures" / "flow.png").size[0] > 1000


def test_the_csv_holds_every_checkpoint():
    found = attribution()
    lines = list(csv.DictReader(io.StringIO(tables.counts_csv(found))))
    assert any(found.over_training.values())
    for name, steps in found.over_training.items():
        for step, quasi in steps.items():
            rates_of = {
                "same as quasi label": rates.quasi_agreement(quasi),
                "quasi label right where another": rates.precision_where_disagreeing(quasi),
            }
            for measure, share in rates_of.items():
                of_step = [
                    line
                    for line in lines
                    if (line["network"], line["measure"]) == (name, measure)
                    and line["detail"].startswith(f"step {step}, confidence ")
                ]
                assert sum(int(line["part"]) for line in of_step) == share.part.sum()
                assert len(of_step) == (share.whole > 0).sum() > 0


def test_verdict_names_the_case_that_gained_most_and_leaves_out_what_never_occurred():
    found = attribution()
    gains = {name: tables.net_gain(found, name) for name in found.cases}
    best = max(gains, key=gains.get)
    repaired = rates.transfer(found.networks[best])["repaired"].total()
    text = attribution_page.verdict(found).replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith(f"Title of {best}: {gains[best]:.1f} points of pixel accuracy gained.")
    assert f"repaired {100 * repaired.part / repaired.whole:.0f} % of" in text and "took over" in text
    alike = attribution(networks=dict.fromkeys(found.networks, found.networks["student"]))
    assert "0.0 points" in attribution_page.verdict(alike) and "nan" not in attribution_page.verdict(alike)
    flat = dataclasses.replace(found.networks["student"], outcomes=0 * found.networks["student"].outcomes)
    nothing = attribution_page.verdict(attribution(networks=dict.fromkeys(found.networks, flat)))
    assert "repaired" not in nothing and "took over" not in nothing
    assert nothing == "No pixel of target val is labelled, so nothing can be compared."


def same(some, others):
    """Whether two attributions hold the same."""
    ours, theirs = (
        {f"{n}{i}": a for n, c in x.networks.items() for i, a in enumerate(c.arrays())}
        | {f"{n}/{s}": q for n, steps in x.over_training.items() for s, q in steps.items()}
        | {f"{n} {k}": getattr(a, k) for n, a in x.alignments.items() for k in ("cosine", "norm")}
        | {"confidence": x.confidence}
        for x in (some, others)
    )
    plain = ("class_names", "titles", "reference", "cases", "pictures", "notes")
    return (
        ours.keys() == theirs.keys()
        and all(np.array_equal(ours[k], theirs[k]) for k in ours)
        and all(getattr(some, name) == getattr(others, name) for name in plain)
        and list(some.networks) == list(others.networks)
        and [a.terms for a in some.alignments.values()] == [a.terms for a in others.alignments.values()]
    )


def test_kept_attributions_are_read_only_while_whole_and_of_the_same(tmp_path):
    found, of = attribution(), {"stages": {"a": "1"}}
    calls = []

    def ensure(of):
        return kept_attribution.ensure(tmp_path / "kept", of, lambda: calls.append(of) or found)

    assert ensure(of) == (found, True)
    again, new = ensure(of)
    assert not new and same(again, found) and len(calls) == 1
    assert ensure({"stages": {"a": "2"}})[1]
    for path in (tmp_path / "kept").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-9])
    assert ensure(of)[1] and ensure({"stages": {"a": "2"}})[1] and not ensure(of)[1]
