"""Which checkpoint counts, in tables, on the page and in the curves."""

import report_examples

from dakd_jax.studies.experiment import checkpoints, curves, page


def stage(name, percents, chosen):
    """A stage that was evaluated every 10 steps; None: an evaluation without a number."""
    rows = [
        {"step": 10 * i, "kind": "eval", "miou": None if value is None else value / 100}
        for i, value in enumerate(percents, 1)
    ]
    return report_examples.result(name, 40, curves=rows, weights_of_step=chosen)


def experiment(seed=0, better=0):
    results = [
        stage("student", (30, 20 + better, 10), 20),
        stage("teacher", (None, 40), 20),
        stage("case_a", (5, 5), None),
    ]
    return report_examples.experiment(results=results, seed=seed)


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_last_chosen_and_oracle_side_by_side():
    table = checkpoints.checkpoint_table(experiment())
    assert texts(table) == [
        ["Title of student", "10.0 @ 30", "20.0 @ 20", "30.0 @ 10", "10.0"],
        ["Title of case_a", "5.0 @ 20", "5.0 @ 20", "5.0 @ 20", "0.0"],  # nothing is known of a choice: the last
    ]
    assert "labels" in table.caption and "oracle" in table.headers[3]


def test_no_table_without_a_choice():
    assert checkpoints.checkpoint_table(report_examples.experiment()) is None
    assert checkpoints.checkpoint_seeds_table([report_examples.experiment()]) is None


def test_over_seeds():
    table = checkpoints.checkpoint_seeds_table([experiment(0), experiment(1, better=4)])
    assert texts(table)[0] == ["Title of student", "10.0 ± 0.0", "22.0 ± 2.8", "30.0 ± 0.0", "8.0 ± 2.8"]


def test_on_the_page_and_as_a_star_in_the_curves(tmp_path):
    found = experiment()
    text = page.write_report(found, tmp_path).read_text()
    assert "Which checkpoint counts" in text and "20.0 @ 20" in text
    (axis,) = curves.validation_curves(found).axes
    stars = [points.get_offsets().tolist() for points in axis.collections]
    assert stars == [[[20, 20]], [[20, 40]], []]
    seeds = page.write_seeds_report([found, experiment(1)], tmp_path / "s", command="c", pages={}).read_text()
    assert "Which checkpoint counts" in seeds
    assert "Which checkpoint counts" not in page.render(
        report_examples.experiment(), page.draw(report_examples.experiment())
    )
