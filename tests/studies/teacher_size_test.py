"""A teacher that sees larger pictures than its student, in a whole run and in every command that asks it."""

import io
import json

import numpy as np
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.evaluation import predict, protocols
from dakd_jax.stages import settings, weights
from dakd_jax.stages.experiment import Experiment
from dakd_jax.studies.attribution import collection
from dakd_jax.studies.pictures import gallery
from data_pipelines.feeding.feed import Feed

LARGER = (128, 64)
GOAL = ("student", "teacher", "case_b")


@pytest.fixture(scope="module")
def trained(toy_city, tmp_path_factory):
    """(config, workdir) of a run in which the teacher sees LARGER pictures, and their mirror images when it teaches."""
    changes = {"data.teacher_size": LARGER, "teacher.views.mirror": True, "data.mirror": True, "train.select": "source"}
    steps = {"train.steps": 4, "train.teacher_steps": 4, "train.eval_every": 2, "train.select_pictures": 2}
    chosen, workdir = tiny_runs.config(toy_city, goal=GOAL, **changes, **steps), tmp_path_factory.mktemp("run")
    with tiny_runs.quick_compilation():
        Experiment(chosen, Feed(chosen.data), workdir, Console(file=io.StringIO())).run()
    return chosen, workdir


@pytest.fixture
def experiment(trained):
    chosen, workdir = trained
    return Experiment(chosen, Feed(chosen.data), workdir, Console(file=io.StringIO()))


def evaluation(experiment, name):
    (found,) = experiment.plan[name].folder.glob("evaluation-native*.json")
    return json.loads(found.read_text())


def counted_anew(experiment, name):
    """int64 [C, C] of a finished stage, of pictures of the size that is its network's."""
    network = experiment.plan[name].stage.network
    model = settings.segmenter(experiment.config[network], 19)
    size = LARGER if network == "teacher" else tiny_runs.SIZE
    batches = experiment.feed.eval_batches(image_size=size, label_size=None, resample="bicubic", batch_size=2)
    variables = weights.load(experiment.plan[name].folder, model)
    with tiny_runs.quick_compilation():
        return predict.evaluate(model, variables, batches, predict.PROTOCOLS["native"])[0]


def test_each_network_is_evaluated_at_its_own_size(trained, experiment):
    for name in GOAL:
        assert evaluation(experiment, name)["image_size"] == list(LARGER if name == "teacher" else tiny_runs.SIZE)
        np.testing.assert_array_equal(
            experiment.evaluator.confusion(experiment.plan[name]), counted_anew(experiment, name)
        )
    sizes = settings.stage_settings(trained[0], experiment.plan["teacher"].stage, 19).size
    assert sizes == LARGER[::-1]


def test_a_checkpoint_of_the_teacher_is_scored_at_its_size(trained, experiment, tmp_path):
    chosen = trained[0].copy_and_resolve_references()
    chosen.eval.checkpoint = str(experiment.plan["teacher"].folder)
    text = tiny_runs.run(chosen, tmp_path, "evaluate")
    assert f"{100 * evaluation(experiment, 'teacher')['scores']['miou']:.2f}" in text


def test_figures_attribution_and_protocols_show_the_teacher_its_size(trained, experiment, tmp_path, monkeypatch):
    chosen, workdir = trained
    wanted = {name: experiment.evaluator.confusion(experiment.plan[name]) for name in GOAL}
    made = gallery.Gallery(experiment, tmp_path / "predictions")
    with tiny_runs.quick_compilation():
        found = made.comparison(title="", command="")
        for name in GOAL:
            np.testing.assert_array_equal(found.scores.confusions[name].sum(axis=0), wanted[name])
        (shown, *_) = made.pictures(found.scores.names[:1], found.networks)
        for name, prediction in shown.predictions.items():
            counts, known = np.zeros((19, 19), np.int64), shown.label != 255
            np.add.at(counts, (shown.label[known], prediction[known]), 1)
            np.testing.assert_array_equal(counts, found.scores.confusions[name][0], err_msg=name)
        counts, collector = np.zeros((19, 19), np.int64), collection.Collector(experiment)
        for batch in collection._labelled_pictures(experiment):
            assert batch.images.shape[1:3] == tiny_runs.SIZE[::-1] and batch.teachers.shape[1:3] == LARGER[::-1]
            said, _ = collector._predict("teacher", experiment.variables("teacher"), batch)
            for label, classes in zip(batch.labels, np.asarray(said), strict=False):
                np.add.at(counts, (label[label != 255], classes[label != 255]), 1)
    np.testing.assert_array_equal(counts, wanted["teacher"])
    native = protocols.matrix(chosen.eval.scales)["native"]
    monkeypatch.setattr(protocols, "matrix", lambda scales: {"native": native})
    text = tiny_runs.run(chosen, workdir, "protocols")
    assert "training size is 64x32" in text and "training size is 128x64" in text
    told = json.loads((workdir / "protocols_tiny" / "protocols.json").read_text())["networks"]
    for name in GOAL:
        scores = evaluation(experiment, name)["scores"]
        assert told[name]["native"]["miou"] == pytest.approx(scores["miou"])
