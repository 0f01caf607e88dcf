"""A step on several devices: the same numbers as on one, parts of a batch with statistics of their own, one stop."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import train
from dakd_jax.commands.kit import command_line
from dakd_jax.models.batch_norm import BatchNorm, in_groups
from dakd_jax.stages import settings
from dakd_jax.training.runtime import sharding
from dakd_jax.training.runtime.interruption import StopRequest


def test_two_devices_take_the_steps_of_one():
    """In a process of its own, which has two."""
    ended = subprocess.run(
        [sys.executable, "tests/sharded_steps.py"], cwd=tiny_runs.PROJECT, capture_output=True, text=True, timeout=300,
        env=tiny_runs.environment(JAX_NUM_CPU_DEVICES="2"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert (said["groups"], said["parts"]) == (2, 2)  # config.train.batch_statistics='device'
    assert max(*said["moved to 1"], *said["moved to 2"]) < 1e-11  # with a checkpoint in between
    assert max(said["synchronised"]) < 1e-11 and said["per device"] < 1e-12
    assert said["pixels"] == 5 * 32 * 32 and said["confusions"] and said["kept"] == [["1", "4"], True]


def test_batch_norm_in_groups_is_that_of_each_part():
    """A hand-written reference in float64; the running statistics take the mean of the parts' in."""
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, (6, 2, 3, 5))
    variables = {
        "params": {"scale": rng.normal(size=5), "bias": rng.normal(size=5)},
        "batch_stats": {"mean": rng.normal(size=5), "var": rng.uniform(1, 2, 5), "count": np.int32(3)},
    }
    with jax.enable_x64(True), in_groups(3):
        found, after = BatchNorm().apply(variables, jnp.asarray(x), train=True, mutable=["batch_stats"])
    parts = x.reshape(3, 12, 5)
    mean, var = parts.mean(1), parts.var(1)
    normalised = (parts - mean[:, None]) / np.sqrt(var[:, None] + 1e-5)
    expected = normalised * variables["params"]["scale"] + variables["params"]["bias"]
    np.testing.assert_allclose(found, expected.reshape(x.shape), rtol=1e-12)
    before, after = variables["batch_stats"], after["batch_stats"]
    np.testing.assert_allclose(after["mean"], 0.9 * before["mean"] + 0.1 * mean.mean(0), rtol=1e-12)
    np.testing.assert_allclose(after["var"], 0.9 * before["var"] + 0.1 * var.mean(0) * 12 / 11, rtol=1e-12)
    assert after["count"] == 4


class FakeDevice:
    """One of a process."""

    def __init__(self, process):
        self.process_index = process


@pytest.mark.parametrize(
    ("processes", "each", "batch", "wanted", "expected"),
    [
        (1, 8, 2, 0, 2),
        (1, 8, 12, 0, 6),
        (1, 8, 7, 0, 7),
        (1, 8, 16, 4, 4),
        (2, 4, 8, 0, 8),
        (2, 4, 12, 0, 6),
        (
            1,
            8,
            6,
            4,
            "train.devices=4: data.batch_size=6 does not divide among so many; choose 1, 2, 3, 6 .0: the most",
        ),
        (1, 2, 6, 3, "train.devices=3: there are 2; choose 1, 2"),
        (2, 4, 8, 5, "train.devices=5: data.batch_size=8 does not divide among so many of 2 processes; choose 2, 4, 8"),
        (3, 1, 4, 0, "data.batch_size=4 does not divide among 3 processes: choose a multiple, as .*batch_size=6"),
    ],
)
def test_devices_that_divide_the_batch(monkeypatch, processes, each, batch, wanted, expected):
    there = [FakeDevice(process) for process in range(processes) for _ in range(each)]
    monkeypatch.setattr(jax, "devices", lambda: there)
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    monkeypatch.setattr(jax, "process_index", lambda: processes - 1)
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            sharding.choose(batch, wanted)
        return
    found = sharding.choose(batch, wanted)
    assert (len(found.devices), found.share) == (expected, batch // expected)
    own = [sum(device.process_index == process for device in found.devices) for process in range(processes)]
    assert own == [expected // processes] * processes and found.host == (processes - 1, processes)


@pytest.mark.parametrize(
    ("said", "expected"), [("device", 1), ("synchronised", 1), ("1", 1), ("2", 2), ("3", None), ("all", None)]
)
def test_parts_with_statistics_of_their_own(said, expected):
    config = tiny_runs.config("", **{"train.batch_statistics": said, "data.batch_size": 4})
    if expected is None:
        with pytest.raises(UserError, match=f"batch_statistics='{said}': expected 'synchronised', 'device', or a num"):
            settings.check(config)
        return
    settings.check(config)
    assert settings.statistics_groups(config) == expected
    assert config.train.batch_statistics == ("synchronised" if expected == 1 else said)


def test_all_processes_stop_after_the_same_step():
    """The request of the second of two comes to both with the batch of step 4; both know it after step 6."""
    devices = sharding.Devices((FakeDevice(0), FakeDevice(1)), processes=2)
    stops = [StopRequest(), StopRequest()]
    votes, stopped = [sharding.Votes(devices, stop) for stop in stops], [[], []]
    for step in range(1, 10):
        if step == 4:
            stops[1].made = 15
        vote = np.int32(max(stop.made or 0 for stop in stops) if step < 6 else 0)
        for one, steps in zip(votes, stopped, strict=True):
            losses = {"loss": 0.0, sharding.STOP: vote}
            one.add(losses)
            assert list(losses) == ["loss"]
            steps += [step] * bool(one.made)
    assert stopped == [[6, 7, 8, 9]] * 2 and [stop.made for stop in stops] == [15, 15]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--processes=2"], "--processes and --process go with --coordinator"),
        (["--coordinator=here"], "--coordinator=here: expected HOST:PORT of the first process, or auto"),
        (["--coordinator=a:1"], "--processes=0 --process=-1: expected how many there are"),
        (["--coordinator=a:1", "--processes=2", "--process=2"], "--processes=2 --process=2: expected how many"),
        (["--coordinator=auto", "--process=0"], "with --coordinator=auto neither"),
        (["--coordinator=auto", "--config=configs/table1.py"], "stages of a table are jobs of their own"),
        (["--coordinator=auto", "--mode=plan"], "--coordinator goes with --mode=train"),
    ],
)
def test_flags_of_several_processes(flags, said):
    with pytest.raises(UserError, match=said):
        command_line.parse(flags)
    assert command_line.parse(["--coordinator=auto"]).flags[train.COORDINATOR.name] == "auto"
