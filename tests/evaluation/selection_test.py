"""Choosing a checkpoint without target labels: the criteria against slow ones, the choice, and what becomes of it."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.basics import records
from dakd_jax.evaluation import checkpoint_choice, metrics, predict
from dakd_jax.evaluation.checkpoint_choice import Selection, best_step
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import paradigms
from dakd_jax.stages import run_folder, settings, weights
from dakd_jax.stages.settings import choice_settings
from dakd_jax.training.checkpointing import Checkpoints
from dakd_jax.training.step import step_setup
from data_pipelines.feeding.feed import Feed

MODEL = Segmenter("tiny", 19)


@pytest.fixture
def variables(chain):
    """Of the tiny run's student, with heads that are surer of themselves: classes differ from pixel to pixel."""
    made = weights.load(tiny_runs.stage_folder(chain[0], "student"), MODEL)
    heads = {k: jax.tree.map(lambda x: x * 5, v) if k.startswith("seg") else v for k, v in made["params"].items()}
    return made | {"params": heads}


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 255, (3, 32, 64, 3), np.uint8)


def batches(pictures):
    """Two at a time, the last one padded with noise that must not count."""
    noise = np.full_like(pictures[:1], 77)
    padded = np.concatenate([pictures, noise])
    masks = [np.array([True, True]), np.array([True, False])]
    return [{"image": padded[i : i + 2], "mask": mask} for i, mask in zip((0, 2), masks, strict=True)]


def soft_predictions(variables, pictures):
    """Class probabilities at picture size and at stride 8, by numpy from the network's logits."""
    from dakd_jax.models.segmenter import log_probabilities

    main = MODEL.apply(variables, pictures, train=False).main
    exponentials = np.exp(np.asarray(main, np.float64))
    return np.exp(
        np.asarray(log_probabilities(main, pictures.shape[1:3], 8), np.float64)
    ), exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_entropy_and_density_are_those_of_their_papers(variables, pictures):
    found = checkpoint_choice.criteria(MODEL, variables, batches(pictures))
    full, coarse = soft_predictions(variables, pictures)
    entropy = -(full * np.log(full)).sum(axis=-1).mean() / np.log(19)
    assert found["entropy"] == pytest.approx(1 - entropy, abs=1e-5)
    densities = []
    for picture in coarse.reshape(3, -1, 19):
        unit = picture / np.sqrt((picture**2).sum(axis=1, keepdims=True))
        entropies = []
        for i, own in enumerate(unit):
            similar = np.exp([own @ other / checkpoint_choice.TEMPERATURE for j, other in enumerate(unit) if j != i])
            share = similar / similar.sum()
            entropies.append(-(share * np.log(share)).sum())
        densities.append(np.mean(entropies) / np.log(len(unit) - 1))
    assert found["neighbourhood"] == pytest.approx(np.mean(densities), abs=1e-5)


def test_consistency_compares_a_picture_with_its_mirror_image(variables, pictures):
    kw = {"model": MODEL, "size": (32, 64)}
    plain = np.asarray(predict.predict(variables, pictures, **kw))
    mirrored = np.asarray(predict.predict(variables, pictures[:, :, ::-1], **kw))[:, :, ::-1]
    ious = [
        ((plain == c) & (mirrored == c)).sum() / ((plain == c) | (mirrored == c)).sum()
        for c in range(19)
        if ((plain == c) | (mirrored == c)).any()
    ]
    assert len(ious) > 1
    assert checkpoint_choice.criteria(MODEL, variables, batches(pictures))["consistency"] == pytest.approx(
        np.mean(ious)
    )


def test_density_of_clusters():
    """Two tight, unlike clusters: each pixel's neighbours are its own cluster; all alike: everybody is a neighbour."""
    clusters = np.repeat(np.eye(4, dtype=np.float32)[:2], 50, axis=0).reshape(10, 10, 4)
    assert float(checkpoint_choice.neighbourhood_density(clusters)) == pytest.approx(np.log(49) / np.log(99), abs=1e-3)
    same = np.full((10, 10, 4), 0.25, np.float32)
    assert float(checkpoint_choice.neighbourhood_density(same)) == pytest.approx(1.0, abs=1e-5)


def test_the_score_is_the_mean_of_source_and_target(variables, pictures):
    labels = np.random.default_rng(1).integers(0, 19, (3, 32, 64)).astype(np.uint8)
    source = [{"image": pictures, "label": labels, "mask": np.ones(3, bool), "names": ("a", "b", "c")}]
    both = Selection("entropy", MODEL, lambda: source, lambda: batches(pictures))
    found = both.score(variables)
    predictions = predict.predict(variables, pictures, model=MODEL, size=(32, 64))
    confusion = metrics.confusion_matrix(labels, predictions, num_classes=19)
    assert found["source_miou"] == metrics.scores(np.asarray(confusion)).miou_present
    assert found["selection"] == pytest.approx((found["source_miou"] + found["target_entropy"]) / 2)
    alone = dataclasses.replace(both, by="source_miou", target_batches=None).score(variables)
    assert alone == {"source_miou": found["source_miou"], "selection": found["source_miou"]}


def test_the_best_of_those_that_are_left():
    rows = [{"step": s, "selection": v} for s, v in ((2, 0.3), (4, 0.5), (6, 0.5), (8, 0.4))] + [{"step": 9}]
    assert best_step(rows, (2, 4, 6, 8)) == 6
    assert best_step(rows, (2, 4, 8)) == 4
    assert best_step(rows, (9,)) is None and best_step([], (1,)) is None


def test_where_there_is_no_choice(toy_city):
    feed = Feed(tiny_runs.config(toy_city).data)

    def rule(name, **changes):
        config = tiny_runs.config(toy_city, **{"train.select": "consistency", **changes})
        return checkpoint_choice.rule(choice_settings(config), paradigms.STAGES[name], 6, feed)

    assert rule("student")["by"] == "consistency" and rule("student")["source"] == "train"  # the game has no val
    assert rule("source_only")["by"] == "source_miou"
    assert rule("student", **{"train.select": "source"})["by"] == "source_miou"
    assert rule("target_supervised") is None  # its validation labels are the target's
    for changes in ({"train.select": "last"}, {"train.eval_every": 0}, {"train.eval_every": 6}):
        assert rule("student", **changes) is None
    assert rule("student", **{"train.select_pictures": 2})["data"] != rule("student")["data"]


SCORES = {2: 0.2, 4: 0.9, 6: 0.5}


@pytest.fixture
def planted(monkeypatch):
    """Selection.score answers from SCORES by the number of its call."""
    steps = iter(SCORES)
    monkeypatch.setattr(Selection, "score", lambda self, variables, on_batch: {"selection": SCORES[next(steps)]})


@pytest.fixture
def by_two(toy_city):
    changes = {"train.eval_every": 2, "train.keep_checkpoints": 1, "train.select": "consistency"}
    return tiny_runs.config(toy_city, goal=("student",), **changes)


def test_the_chosen_weights_are_the_finished_ones(by_two, workdir, planted):
    text = tiny_runs.run(by_two, workdir)
    folder = tiny_runs.stage_folder(workdir, "student")
    assert "Student, adapted: chosen without target labels: step 4" in text
    record = json.loads((folder / "record.json").read_text())
    assert record["weights_of_step"] == 4 and record["identity"]["selection"]["by"] == "consistency"
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["4", "6"]  # the best and the last one
    evaluations = [row for row in tiny_runs.metric_rows(folder) if row["kind"] == "eval"]
    assert [(row["step"], row["selection"]) for row in evaluations] == list(SCORES.items())
    # The page shows the three side by side, and its scores are those of step 4.
    page = (workdir / "report_tiny" / "index.html").read_text()
    assert f"{100 * evaluations[1]['miou']:.1f} @ 4" in page and f"{100 * evaluations[2]['miou']:.1f} @ 6" in page
    (scores,) = folder.glob("evaluation-*.json")
    assert json.loads(scores.read_text())["scores"]["miou"] == evaluations[1]["miou"]
    # And its weights those of the checkpoint of step 4.
    chosen = settings.stage_settings(by_two, paradigms.STAGES["student"], 19)
    kept = Checkpoints(folder / "checkpoints", keep=9, identity=record["identity"])
    state = kept.read(4, step_setup.blank(chosen))
    kept.close()
    assert weights.content_hash({"params": state.params, "batch_stats": state.batch_stats}) == record["content_hash"]
    assert run_folder.verify(workdir, Console(file=io.StringIO()))
    records.write_json(folder / "record.json", record | {"weights_of_step": 5})
    assert not run_folder.verify(workdir, Console(file=io.StringIO()))


def test_chosen_by_source_alone(by_two, workdir):
    by_two.train.select = "source"
    tiny_runs.run(by_two, workdir)
    folder = tiny_runs.stage_folder(workdir, "student")
    evaluations = [row for row in tiny_runs.metric_rows(folder) if row["kind"] == "eval"]
    assert all(row["selection"] == row["source_miou"] for row in evaluations)
    assert not any(name.startswith("target_") for row in evaluations for name in row)
    best = max(evaluations, key=lambda row: (row["source_miou"], row["step"]))["step"]
    assert json.loads((folder / "record.json").read_text())["weights_of_step"] == best
    page = (workdir / "report_tiny" / "index.html").read_text()
    assert "without any label of the target: by mIoU on source train" in page


def test_a_damaged_choice_gives_way_to_the_next(by_two, workdir, planted, monkeypatch):
    from dakd_jax.training import loop

    plain = loop._chosen

    def damage(job, last, checkpoints, console):
        checkpoints.wait()
        for step in ("4", "6"):  # that of the last step is not read: the state is in memory
            (job.folder / "checkpoints" / step / "about.json").write_text("{")
        return plain(job, last, checkpoints, console)

    monkeypatch.setattr(loop, "_chosen", damage)
    text = tiny_runs.run(by_two, workdir)
    assert "checkpoint 4 is damaged" in text and "checkpoint 6 is damaged" not in text
    record = json.loads((tiny_runs.stage_folder(workdir, "student") / "record.json").read_text())
    assert record["weights_of_step"] == 6
