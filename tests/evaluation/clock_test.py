"""A clock of the wall that jumps, and a disk that is slow, change no bit of a run and none of its curves."""

import itertools
import time

import pytest
import tiny_runs
from logs_test import events, log

from dakd_jax.stages import weights
from data_pipelines.reading.reading import Reader

DAY, YEAR = 86_400, 365 * 86_400


@pytest.fixture
def jumping(monkeypatch):
    """time.time goes back by a day, forward by a year and far back, from one call to the next."""
    calls, now, now_ns = itertools.count(), time.time, time.time_ns
    jumps = (0, -DAY, YEAR, -YEAR)

    def jump():
        return jumps[next(calls) % len(jumps)]

    monkeypatch.setattr(time, "time", lambda: now() + jump())
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + jump() * 10**9)
    return calls


def test_a_run_with_a_jumping_clock_and_a_slow_disk(toy_city, chain, workdir, jumping, monkeypatch):
    load = Reader.load

    def slow(self, index):
        time.sleep(0.02)
        return load(self, index)

    monkeypatch.setattr(Reader, "load", slow)
    tiny_runs.run(tiny_runs.config(toy_city, goal=("source_only",), **{"data.cache_mb": 0}), workdir)
    assert next(jumping) > 20
    mine, theirs = (tiny_runs.stage_folder(w, "source_only") for w in (workdir, chain[0]))
    assert (mine / weights.FILE).read_bytes() == (theirs / weights.FILE).read_bytes()
    assert tiny_runs.metric_rows(mine) == tiny_runs.metric_rows(theirs)
    steps = [event.step for event in events(mine).Scalars("train/learning_rate")]
    assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("jump", [-DAY, YEAR, -50 * YEAR])
def test_a_run_that_goes_on_after_the_clock_jumped_has_whole_curves(tmp_path, monkeypatch, jump):
    log(tmp_path, 0, range(1, 6))
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    log(tmp_path, 3, range(4, 30))  # more than any queue holds
    assert [event.step for event in events(tmp_path).Scalars("train/loss/x")] == list(range(1, 30))
    assert [path.name for path in sorted((tmp_path / "tensorboard").iterdir())] == [
        "events000001.out.tfevents",
        "events000002.out.tfevents",
    ]


def test_the_files_of_earlier_versions_are_read_first(tmp_path):
    board = pytest.importorskip("tensorboardX").SummaryWriter(str(tmp_path / "tensorboard"))
    for step in range(1, 6):
        board.add_scalar("train/loss/x", float(step), step)
    board.close()
    log(tmp_path, 3, range(4, 7))
    assert [event.step for event in events(tmp_path).Scalars("train/loss/x")] == [1, 2, 3, 4, 5, 6]
