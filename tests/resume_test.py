"""Runs that are stopped or killed go on where they were and end with the same bits."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import tiny_runs

from dakd_jax.basics.errors import NonFiniteLoss
from dakd_jax.evaluation import predict
from dakd_jax.stages import weights
from dakd_jax.training import loop

STAGE = ("student",)


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr("dakd_jax.studies.experiment.page.write_report", lambda found, folder: folder / "index.html")


def assert_same_stage(workdir, reference, name="student"):
    """Weights bit for bit, and the same rows."""
    folder, expected = tiny_runs.stage_folder(workdir, name), tiny_runs.stage_folder(reference, name)
    assert (folder / weights.FILE).read_bytes() == (expected / weights.FILE).read_bytes()
    assert tiny_runs.metric_rows(folder) == tiny_runs.metric_rows(expected)
    contents = [json.loads((f / "record.json").read_text())["content_hash"] for f in (folder, expected)]
    assert contents[0] == contents[1]


def at_step(monkeypatch, step, act):
    """Calls act() inside the step that makes `step` of the next stage."""
    plain, count = loop.train_step, []

    def wrapped(*args, **kwargs):
        result = plain(*args, **kwargs)
        count.append(0)
        if len(count) == step:
            act()
        return result

    monkeypatch.setattr(loop, "train_step", wrapped)


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
@pytest.mark.parametrize("step", [1, 3, 6])
def test_stopped_between_steps_loses_nothing(chain, toy_city, tmp_path, monkeypatch, number, step):
    chosen = tiny_runs.config(toy_city, goal=STAGE)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_step(patch, step, lambda: os.kill(os.getpid(), number))
        tiny_runs.run(chosen, tmp_path)
    folder = tiny_runs.stage_folder(tmp_path, "student")
    assert (folder / "checkpoints" / str(step)).is_dir()
    assert json.loads((folder / "record.json").read_text())["status"] == "training"
    assert not (folder / weights.FILE).exists()
    assert f"goes on at step {step}" in tiny_runs.run(chosen, tmp_path)
    assert_same_stage(tmp_path, chain[0])


def in_an_evaluation(monkeypatch, number, act):
    """Calls act() before the network looks at the first batch of the evaluation of that number."""
    plain, passes = predict.evaluate, []

    def wrapped(model, variables, batches, *args, **kwargs):
        def spied():
            for batch in batches:
                if len(passes) == number and act:
                    act()
                yield batch

        passes.append(0)
        return plain(model, variables, spied(), *args, **kwargs)

    monkeypatch.setattr(predict, "evaluate", wrapped)


def test_stopped_in_an_evaluation_saves_at_once_and_evaluates_when_it_goes_on(chain, toy_city, tmp_path, monkeypatch):
    chosen = tiny_runs.config(toy_city, goal=STAGE)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        in_an_evaluation(patch, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        tiny_runs.run(chosen, tmp_path)
    rows = tiny_runs.metric_rows(tiny_runs.stage_folder(tmp_path, "student"))
    assert [row["kind"] for row in rows] == ["train"] * 3  # it was given up
    assert "goes on at step 3" in tiny_runs.run(chosen, tmp_path)
    assert_same_stage(tmp_path, chain[0])


@pytest.mark.parametrize("number", [1, 5], ids=["first candidate", "last candidate, its score on target val"])
def test_stopped_while_a_candidate_is_scored_it_is_scored_again(toy_city, tmp_path, monkeypatch, candidates, number):
    chosen, whole = candidates
    for again in (1, 2):  # the second time when it has only the evaluation left
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            in_an_evaluation(patch, 1 if again == 2 else number, lambda: os.kill(os.getpid(), signal.SIGTERM))
            tiny_runs.run(chosen, tmp_path)
    assert "goes on at step" in tiny_runs.run(chosen, tmp_path)
    assert_same_stage(tmp_path, whole)
    records = [
        json.loads((tiny_runs.stage_folder(w, "student") / "record.json").read_text()) for w in (tmp_path, whole)
    ]
    assert records[0]["weights_of_step"] == records[1]["weights_of_step"]


@pytest.fixture(scope="module")
def candidates(toy_city, tmp_path_factory):
    """(config, folder of a run that was never stopped): three candidates, two passes over labels for each."""
    changes = {"train.eval_every": 2, "train.select": "entropy", "train.select_pictures": 2}
    chosen, workdir = tiny_runs.config(toy_city, goal=STAGE, **changes), tmp_path_factory.mktemp("whole")
    tiny_runs.run(chosen, workdir)
    return chosen, workdir


def test_skipped_steps_are_counted_on(toy_city, tmp_path, monkeypatch):
    plain, much = loop._rate, {"segmenter": np.float32(np.inf)}
    monkeypatch.setattr(loop, "_rate", lambda rates, step: plain(rates, step) | (much if step % 2 else {}))
    changes = {"train.on_nonfinite": "skip", "train.max_skipped": 3, "train.eval_every": 0}
    chosen = tiny_runs.config(toy_city, goal=("source_only",), **changes)
    tiny_runs.run(chosen, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_step(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        tiny_runs.run(chosen, tmp_path / "stopped")
    tiny_runs.run(chosen, tmp_path / "stopped")
    rows = tiny_runs.metric_rows(tiny_runs.stage_folder(tmp_path / "whole", "source_only"))
    counts = [row.get("skipped_steps") for row in rows if row["kind"] == "train"]
    assert counts == [None, 1, 1, 2, 2, 3]  # some before the stop and some after
    assert_same_stage(tmp_path / "stopped", tmp_path / "whole", "source_only")


@pytest.mark.parametrize("step", [1, 4, 5])
def test_stopped_inside_a_step_goes_on_from_the_last_checkpoint(chain, toy_city, tmp_path, monkeypatch, step):
    chosen = tiny_runs.config(toy_city, goal=STAGE)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_step(patch, step, interrupt)
        tiny_runs.run(chosen, tmp_path)
    assert ("goes on at step" in tiny_runs.run(chosen, tmp_path)) == (step > 1)
    assert_same_stage(tmp_path, chain[0])


@pytest.mark.parametrize("name", ["case_d", "target_supervised"])
def test_distilled_and_unadapted_stages_resume_as_well(chain, toy_city, tmp_path, monkeypatch, name):
    """In a copy of the chain's folder without the stage's result."""
    shutil.copytree(chain[0], tmp_path / "copy")
    folder = tiny_runs.stage_folder(tmp_path / "copy", name)
    shutil.rmtree(folder)
    chosen = tiny_runs.config(toy_city, goal=(name,))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_step(patch, 5, interrupt)
        tiny_runs.run(chosen, tmp_path / "copy")
    assert "goes on at step 4" in tiny_runs.run(chosen, tmp_path / "copy")
    assert_same_stage(tmp_path / "copy", chain[0], name)


def test_loaders_give_the_same_bits(chain, toy_city, tmp_path):
    pytest.importorskip("tensorflow", reason="the tf.data loader needs tensorflow")
    tiny_runs.run(tiny_runs.config(toy_city, goal=STAGE, **{"data.loader": "tf"}), tmp_path)
    assert_same_stage(tmp_path, chain[0])


def test_a_loss_that_is_not_finite_is_named_and_not_saved(chain, toy_city, tmp_path):
    chosen = tiny_runs.config(toy_city, goal=STAGE, **{"optim.learning_rate": 1e30, "train.checkpoint_every": 1})
    with pytest.raises(
        NonFiniteLoss,
        match=r"step \d: (loss|norm)/.* not finite; lower --config.optim.learning_rate, or look with .*--replay=",
    ):
        tiny_runs.run(chosen, tmp_path)
    folder = tiny_runs.stage_folder(tmp_path, "student")
    assert not (folder / weights.FILE).exists()
    for row in tiny_runs.metric_rows(folder):
        assert all(np.isfinite(value) for value in row.values() if isinstance(value, float))
