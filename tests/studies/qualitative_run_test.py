"""--mode=figures on a real tiny run."""

import csv
import dataclasses
import io
import shutil

import numpy as np
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import predict
from dakd_jax.stages.experiment import Experiment
from dakd_jax.studies.pictures import gallery, predicting, tables
from data_pipelines.feeding.feed import Feed

NETWORKS = {"student", "teacher", "case_a"}
WANTED = {"figures.select": ("most_improved",), "figures.count": 2}


@pytest.fixture(scope="module")
def config(toy_city):
    return tiny_runs.config(toy_city, goal=("student", "case_a"), **WANTED)


@pytest.fixture
def finished(chain, workdir):
    """A folder of its own with the chain's weights."""
    for name in NETWORKS:
        there = tiny_runs.stage_folder(chain[0], name)
        folder = workdir / "stages" / there.name
        folder.mkdir(parents=True)
        for file in ("record.json", "model.pth"):
            shutil.copy(there / file, folder)
    return workdir


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def confusion(label, prediction, classes=19):
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (label[label != 255], prediction[label != 255]), 1)
    return counts


def test_one_command_predicts_and_the_second_only_draws(config, chain, finished, monkeypatch):
    monkeypatch.setattr(tables, "PRINT", dataclasses.replace(tables.PRINT, dpi=60))  # quickly drawn
    report = tiny_runs.plain_report(config, finished)
    text = tiny_runs.run(config, finished, "figures")
    assert 'href="../figures_tiny/index.html"' in report.read_text()
    folder = finished / "figures_tiny"
    before = files_of(folder)
    assert not [name for name in before if name.endswith(".tmp")]

    experiment = Experiment(config, Feed(config.data), finished, Console(file=io.StringIO()))
    made = gallery.Gallery(experiment, folder / "predictions")
    found = made.comparison(title="", command="")
    assert found.networks == ("case_a", "teacher", "student") and set(found.scores.confusions) == NETWORKS
    assert found.scores.names == experiment.feed.evaluation_names()
    in_chain = Experiment(config, Feed(config.data), chain[0], None)
    for name in NETWORKS:  # the report's evaluation is another pass
        whole, _ = in_chain.evaluator.stored(in_chain.plan[name])
        np.testing.assert_array_equal(found.scores.confusions[name].sum(axis=0), whole, err_msg=name)
    with monkeypatch.context() as patched:
        patched.setattr(predicting, "predict_pictures", None)
        shown = made.pictures(found.selections["most_improved"], found.networks)
    changes = found.changes()
    best = [found.scores.names[i] for i in sorted(range(5), key=lambda i: -changes[i])[:2]]
    assert [one.name for one in shown] == best
    for one in shown:
        row = found.scores.names.index(one.name)
        for name, prediction in one.predictions.items():
            counted = found.scores.confusions[name][row]
            np.testing.assert_array_equal(confusion(one.label, prediction), counted, err_msg=f"{one.name} {name}")
    rows = list(csv.DictReader((folder / "scores.csv").open()))
    assert [row["picture"] for row in rows if row["figures"]] == sorted(best, key=found.scores.names.index)
    assert all(name in text for name in best) and f"Figures: {folder / 'index.html'}" in text

    monkeypatch.setattr(predict, "count_pictures", None)
    monkeypatch.setattr(predicting, "predict_pictures", None)
    again = tiny_runs.run(config, finished, "figures")
    assert again == "".join(line for line in text.splitlines(True) if not line.startswith("Scores of each picture"))
    assert files_of(folder) == before


def test_other_weights_are_scored_anew_and_old_predictions_forgotten(config, finished, monkeypatch):
    experiment = Experiment(config, Feed(config.data), finished, Console(file=io.StringIO()))
    folder = finished / "predictions"
    made = gallery.Gallery(experiment, folder)
    counted, score = [], predict.count_pictures
    monkeypatch.setattr(
        predict, "count_pictures", lambda networks, *a, **k: counted.append(set(networks)) or score(networks, *a, **k)
    )
    with tiny_runs.quick_compilation():
        first = made.comparison(title="", command="")
        names = first.scores.names
        made.pictures(names[:2], ("student",))
        kept = set(folder.iterdir())
        student, case = (experiment.plan[name].folder for name in ("student", "case_a"))
        shutil.copy(student / "model.pth", case)
        made = gallery.Gallery(Experiment(config, Feed(config.data), finished, Console(file=io.StringIO())), folder)
        second = made.comparison(title="", command="")
        made.pictures(names[1:3], ("student",))
    assert counted == [NETWORKS, {"case_a"}]
    np.testing.assert_array_equal(second.scores.confusions["case_a"], first.scores.confusions["student"])
    made.forget_the_rest()
    left = set(folder.iterdir())
    assert len(kept) == len(left) == 2 and len(kept & left) == 1


def test_a_plan_that_cannot_be_shown(config, finished, toy_city):
    def fails(message, **changes):
        with pytest.raises(UserError, match=message):
            tiny_runs.run(tiny_runs.config(toy_city, **{"goal": config.goal, **WANTED, **changes}), finished, "figures")

    fails("train case_c, case_d first .the same command with --mode=train", goal=("student", "case_d"))
    fails("compares cases with the undistilled student, but the plan holds .*student", goal=("student",))
    fails("config.figures.case='case_d': expected a case of the plan, case_a", **{"figures.case": "case_d"})
    fails("target val has no picture 'nowhere'; the nearest is", **{"figures.pictures": ("nowhere",)})
    assert not list(finished.glob("figures_tiny/*.png"))
