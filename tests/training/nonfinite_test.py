"""Steps that are not finite: how many are left out and said so, and the way back to the one that ends the run."""

import errno
import io
import json
import math
import os
import re
import signal
import types

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from rich.console import Console

from configs import base
from dakd_jax.basics import records
from dakd_jax.basics.errors import NonFiniteLoss, UserError
from dakd_jax.objectives import optimizers
from dakd_jax.stages.settings import loop_settings
from dakd_jax.studies.paper_tables import collect
from dakd_jax.training import loop
from dakd_jax.training.checkpointing import Checkpoints
from dakd_jax.training.runtime.interruption import Stopped
from dakd_jax.training.stage_job import StageJob
from dakd_jax.training.step import train_step
from dakd_jax.training.step.options import StepOptions
from dakd_jax.training.watch import black_box
from dakd_jax.training.watch.black_box import BadStep, FiniteWatch
from dakd_jax.training.watch.training_log import LoggedStep, TrainingLog

STEPS = 8
BAD = "loss/source/total"


class Stage:
    """A stage whose network is one number and whose step adds the batch to it, with faults: the loop is the real one.

    Args:
      fault: (number of the step, how often it was made before) -> whether it is not finite.
    """

    def __init__(self, folder, monkeypatch, fault, on_step=lambda step, before: None, **changes):
        self.folder, self.fault, self.on_step, self.made = folder, fault, on_step, {}
        self.config = base.get_config()
        self.config.train.update({"checkpoint_every": 3, "log_every": 1, "eval_every": 0, **changes})
        monkeypatch.setattr(loop, "train_step", self.step)

    def step(self, state, teacher, batch, weights, rates, **statics):
        step = int(state.step) + 1
        before = self.made[step] = self.made.get(step, -1) + 1
        self.on_step(step, before)
        finite = not self.fault(step, before)
        params = {"w": state.params["w"] + jnp.asarray(batch["source_image"]) * finite}
        loss = {BAD: jnp.float32(1 if finite else math.nan), "norm/gradient/segmenter": jnp.float32(2)}
        return state.replace(step=state.step + 1, params=params), loss | {train_step.FINITE: jnp.asarray(finite)}

    def job(self):
        skips = self.config.train.on_nonfinite == "skip"
        settings = types.SimpleNamespace(
            steps=STEPS, weights=None, models=types.SimpleNamespace(segmenter=types.SimpleNamespace(num_classes=2)),
            options=StepOptions((), sees_target=False, skip_nonfinite=skips),
            optimizer=optimizers.SegmenterOptimizer(), size=(8, 8), taught_on=(),
        )  # fmt: skip
        return StageJob(
            title="Toy", stage="source_only", folder=self.folder, settings=settings,
            loop=loop_settings(self.config),
            segmenter={"params": {"w": np.zeros(2, np.float32)}, "batch_stats": {}}, teacher=None,
            seed=0,
            batches=lambda first: ({"source_image": np.full(2, 2.0**k, np.float32)} for k in range(first, 99)),
            eval_batches=None, selection=None, show=(), config=records.plain(self.config), identity={},
            palette=np.zeros((2, 3)),
        )  # fmt: skip

    def train(self, **console):
        """(what train() returns or raises, text on the console)."""
        console = Console(file=io.StringIO(), width=300, **console)
        self.folder.mkdir(exist_ok=True)
        try:
            ended = loop.train(self.job(), console)
        except (NonFiniteLoss, KeyboardInterrupt) as error:
            ended = error
        return ended, console.file.getvalue()

    def checkpoints(self):
        return sorted(int(path.name) for path in (self.folder / "checkpoints").glob("[0-9]*"))

    def bundles(self):
        """Their names; nothing half written lies beside them."""
        return sorted(path.name for path in self.folder.iterdir() if "blackbox" in path.name)


# Steps that are left out


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
def test_skipped_steps_are_counted_in_the_progress_and_told_from_the_second_on(tmp_path, monkeypatch, terminal):
    changes = {"on_nonfinite": "skip", "max_skipped": 3, "log_every": 2, "checkpoint_every": 4}
    stage = Stage(tmp_path, monkeypatch, lambda step, before: step in (1, 4, 8), **changes)
    trained, text = stage.train(force_terminal=terminal)
    assert trained.skipped == 3 and trained.variables["params"]["w"][0] == 2**7 - 1 - 2**0 - 2**3
    told = re.findall(r"warning: (\d) steps left out so far, the newest step (\d) \((\S+) \(nan\) not finite\)", text)
    assert told == [("2", "4", BAD), ("3", "8", BAD)]
    assert "3 may be, the next one ends the run: lower --config.optim.learning_rate" in text
    last = next(line for line in re.split(r"[\r\n]", text)[::-1] if f"{STEPS}/{STEPS}" in line)
    assert "3 steps skipped" in last


def test_one_line_for_all_that_an_interval_left_out():
    watch, said = FiniteWatch(9), []
    log = TrainingLog(
        types.SimpleNamespace(row=lambda *row: None),
        pictures=2,
        steps=8,
        watch=watch,
        say=said.append,
    )
    for step in range(1, 9):
        watch.add(step, jnp.asarray(step > 6), {BAD: jnp.float32(math.inf)})
        if step % 4 == 0:
            log.add(LoggedStep(step, {}, {"segmenter": 0.1}, 0.0, 0))
    log.flush()
    told = re.compile(r"warning: (\d) steps left out so far, the newest step (\d) ")
    assert [told.match(line).groups() for line in said] == [("4", "4"), ("6", "6")]
    assert log.note.endswith("images/s  6 steps skipped")


@pytest.mark.parametrize("log_every", [1, 5])
def test_no_more_than_so_many_are_left_out_those_before_a_stop_included(tmp_path, monkeypatch, log_every):
    """Also the last steps of the stage, whatever was read when."""

    def stop(step, before):
        if step == 4 and not before:
            os.kill(os.getpid(), signal.SIGTERM)

    changes = {"on_nonfinite": "skip", "max_skipped": 2, "log_every": log_every}
    stage = Stage(tmp_path, monkeypatch, lambda step, before: step in (1, 3, STEPS), stop, **changes)
    ended, text = stage.train()
    assert isinstance(ended, Stopped) and "stopped at step 4 and saved (2 skipped so far)" in text
    ended, text = stage.train()
    assert "goes on at step 4" in text and "warning" not in text
    assert str(ended).startswith(f"step {STEPS}: {BAD} (nan) not finite, and 2 before it were left out")
    assert stage.bundles() == [f"blackbox-{STEPS:07d}"] and max(stage.checkpoints()) < STEPS


def test_a_stage_of_which_no_step_counts_is_not_finished(tmp_path, monkeypatch):
    stage = Stage(tmp_path, monkeypatch, lambda step, before: True, on_nonfinite="skip", max_skipped=100)
    ended, _ = stage.train()
    assert isinstance(ended, NonFiniteLoss) and f"step {STEPS}: " in str(ended) and max(stage.checkpoints()) < STEPS
    with monkeypatch.context() as patch:  # what a version before this one left
        patch.setattr(loop, "_watch", lambda job, checkpoints: FiniteWatch(100, checkpoints.told["skipped_steps"]))
        stage.train()
    assert max(stage.checkpoints()) == STEPS
    ended, _ = stage.train()
    assert isinstance(ended, NonFiniteLoss) and f"all {STEPS} steps were left out" in str(ended)


def test_the_watch_never_leaves_out_one_more():
    watch = FiniteWatch(1)
    for step in (1, 2, 3):
        watch.add(step, jnp.asarray(False), {"a": jnp.float32(math.nan), "b": jnp.float32(0)})
    with pytest.raises(BadStep) as bad:
        watch.check(3)
    assert (bad.value.step, bad.value.left_out, watch.skipped, list(bad.value.values)) == (2, 1, 1, ["a"])
    many = BadStep(7, {f"v{i}": math.inf for i in range(9)})
    assert str(many).endswith("v5 (inf) and 3 more not finite")


def test_a_table_of_the_paper_names_the_stages_with_fewer_steps(tmp_path):
    def task(title, done=True, **told):
        records.write_json(tmp_path / title / "record.json", told)
        planned = types.SimpleNamespace(folder=tmp_path / title)
        return types.SimpleNamespace(title=title, done=done, planned=planned)

    tasks = [task("a", skipped_steps=3), task("b"), task("c", done=False, skipped_steps=1)]
    plan = types.SimpleNamespace(tasks={task.title: task for task in tasks})
    assert collect._skipped(plan) == ["a: 3 steps left out, since a value was not finite."]


# The way back


def test_going_back_is_told_and_keeps_the_step(tmp_path, monkeypatch):
    stage = Stage(tmp_path, monkeypatch, lambda step, before: step == 6, log_every=5)
    ended, text = stage.train()
    assert f"step 6: {BAD} (nan) not finite; going back to step 3 and repeating 3 steps, to keep what leads" in text
    assert f"step 6: {BAD} (nan) not finite; lower --config.optim.learning_rate, or look with" in str(ended)
    bundle = black_box.load(tmp_path / "blackbox-0000006")
    assert bundle.about["came_again"] is True and bundle.about["values"] == {BAD: "nan"}
    assert bundle.state["params.w"][0] == 2**5 - 1 and bundle.batch["source_image"][0] == 2**5


def test_a_fault_that_does_not_come_again_is_known_all_the_same(tmp_path, monkeypatch):
    stage = Stage(tmp_path, monkeypatch, lambda step, before: step == 5 and not before, log_every=5)
    ended, _ = stage.train()
    for part in (f"step 5: {BAD} (nan)", "from step 3 it did not come again", "hardware", "deterministic=True"):
        assert part in str(ended)
    bundle = black_box.load(tmp_path / "blackbox-0000005")
    assert bundle.about["came_again"] is False and bundle.about["values"] == {BAD: "nan"}
    assert bundle.state["params.w"][0] == 2**4 - 1 and bundle.batch["source_image"][0] == 2**4
    trained, text = stage.train()
    assert "goes on at step 3" in text and trained.variables["params"]["w"][0] == 2**STEPS - 1


def test_one_that_comes_earlier_is_taken(tmp_path, monkeypatch):
    stage = Stage(tmp_path, monkeypatch, lambda step, before: (step, before) in ((6, 0), (5, 1)), log_every=5)
    ended, _ = stage.train()
    assert str(ended).startswith(f"step 5: {BAD} (nan) not finite, when repeated from step 3, though at first it was ")
    bundle = black_box.load(tmp_path / "blackbox-0000005")
    assert (bundle.about["step"], bundle.about["first_met_at_step"], bundle.about["came_again"]) == (5, 6, True)
    assert bundle.state["params.w"][0] == 2**4 - 1 and stage.bundles() == ["blackbox-0000005"]


def test_of_the_steps_that_were_left_out_one_less_comes_again(tmp_path, monkeypatch):
    """The bad step itself does: that is enough."""
    changes = {"on_nonfinite": "skip", "max_skipped": 1}
    stage = Stage(tmp_path, monkeypatch, lambda step, before: step == 6 or (step == 5 and not before), **changes)
    ended, _ = stage.train()
    assert "look with" in str(ended) and black_box.load(tmp_path / "blackbox-0000006").about["came_again"] is True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("at", [(5, 1), (6, 0)], ids=["on the way back", "before it"])
def test_stopped_on_the_way_back(tmp_path, monkeypatch, number, at):
    def stop(step, before):
        if (step, before) == at:
            os.kill(os.getpid(), number)

    stage = Stage(tmp_path, monkeypatch, lambda step, before: step == 6, stop, log_every=5)
    ended, text = stage.train()
    assert isinstance(ended, Stopped) and ended.exit_code == 128 + number
    assert f"stopped on the way back; step 6: {BAD} (nan)" in text
    assert stage.bundles() == [] and stage.made[5] == (at == (5, 1)) and stage.checkpoints() == [3]


@pytest.mark.parametrize("fault", ["disk", "checkpoint", "ours"])
def test_a_fault_on_the_way_back_hides_nothing(tmp_path, monkeypatch, fault):
    def fail(*args, **kwargs):
        raise {
            "disk": OSError(errno.ENOSPC, "No space left on device"),
            "checkpoint": UserError("checkpoint 3 is damaged"),
            "ours": AssertionError(),
        }[fault]

    def sabotage(step, before):
        if step == 6:
            monkeypatch.setattr(*((Checkpoints, "newest") if fault == "checkpoint" else (np, "savez")), fail)

    stage = Stage(tmp_path, monkeypatch, lambda step, before: step == 6, sabotage, log_every=5)
    ended, _ = stage.train()
    reason = {"disk": "No space left on device", "checkpoint": "checkpoint 3 is damaged", "ours": "AssertionError"}
    assert isinstance(ended, NonFiniteLoss) and str(ended).startswith(f"step 6: {BAD} (nan) not finite; ")
    assert reason[fault] in str(ended) and stage.bundles() == [] and "\n" not in str(ended)


# Whole runs

FAULT = """
import jax.numpy as jnp, math, dakd_jax.training.loop as t
plain, made = t.train_step, []
def step(state, *args, **kwargs):
    number = int(state.step) + 1
    made.append(number)
    after, losses = plain(state, *args, **kwargs)
    if {fault}:
        losses.update({{"loss/source/total": jnp.float32(math.nan), "finite": jnp.asarray(False)}})
    return after, losses
t.train_step = step
"""
# Steps 2 and 6 make the weights infinite.
TOO_FAST = """
import numpy as np, dakd_jax.training.loop as t
rate = t._rate
t._rate = lambda rates, step: rate(rates, step) | ({"segmenter": np.float32(1e38)} if step in (1, 5) else {})
"""
NO_PAGE = "import dakd_jax.studies.experiment.page as p; p.write_report = lambda found, folder: folder / 'index.html'\n"
FAST = {"goal": "source_only", "train.eval_every": 0, "train.log_every": 3}


def test_a_finished_stage_says_how_many_steps_it_went_without(run_py, toy_city, workdir):
    changes = {**FAST, "train.on_nonfinite": "skip", "train.max_skipped": 2}
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **changes), before=TOO_FAST + NO_PAGE)
    assert ended.code == 0 and ended.stderr == "", ended
    folder = tiny_runs.stage_folder(workdir, "source_only")
    record = json.loads((folder / "record.json").read_text())
    assert record["status"] == "finished" and record["skipped_steps"] == 2
    assert [row.get("skipped_steps") for row in tiny_runs.metric_rows(folder) if row["kind"] == "train"] == [1, 2]
    assert re.search(r"step 6/6 .* 2 steps skipped", ended.stdout) and "warning: 2 steps left out" in ended.stdout
    told = re.sub(r"\s+", " ", ended.stdout)
    assert "Steps left out, since a value was not finite: Student, source only 2 of 6." in told


def test_a_step_that_does_not_go_wrong_again_ends_the_run_and_replays(run_py, toy_city, workdir):
    fault = FAULT.format(fault="number == 3 and made.count(3) == 1")
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **FAST), before=fault)
    tiny_runs.one_line(ended, r"step 3: loss/source/total \(nan\) not finite; repeated from step 2 it did not", code=3)
    folder = tiny_runs.stage_folder(workdir, "source_only")
    again = run_py([f"--replay={folder / 'blackbox-0000003'}"])
    assert again.code == 0 and "first not finite: nothing" in again.stdout
    assert "not finite when it was first made: loss/source/total (nan); made again" in again.stdout
