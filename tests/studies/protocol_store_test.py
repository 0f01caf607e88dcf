"""A pass of --mode=protocols that is stopped or killed goes on where it was, to the counts of one that never was."""

import dataclasses
import io
import json
import os
import signal
import zlib

import numpy as np
import protocol_examples
import pytest
from rich.console import Console

from dakd_jax.basics import kept_arrays, records
from dakd_jax.evaluation import predict, protocols
from dakd_jax.evaluation.protocol_predictions import Predictor
from dakd_jax.stages.networks import Network
from dakd_jax.stages.settings import evaluation_settings
from dakd_jax.studies.protocols.store import MatrixStore
from dakd_jax.training.runtime.interruption import Stopped
from data_pipelines.feeding.feed import Feed

ROWS = {name: protocols.matrix((1.0,))[name] for name in ("native", "released", "sliding_window")}
ROWS["released"] = dataclasses.replace(
    ROWS["released"], rules=dataclasses.replace(ROWS["released"].rules, image_size=(16, 8), label_size=(24, 16))
)
ONE_BATCH = 10.0  # seconds that a network takes for a batch of two pictures


class Killed(Exception):
    """As by SIGKILL: nothing is done any more."""


class Machine:
    """Networks that answer at once with classes by chance, on a clock of their own; may be stopped in between.

    Attributes:
      seen: (network, pictures) of every part of a batch.
      at: {number of such a part, counted from 1: what happens while it is predicted}.
    """

    def __init__(self):
        self.seen, self.at, self.now = [], {}, 0.0

    def clock(self):
        return self.now

    def predictions(self, predictor, model, variables, batch):
        self.seen.append((variables, batch["names"]))
        self.now += ONE_BATCH
        self.at.get(len(self.seen), lambda: None)()
        for name, row in predictor.rows.items():
            width, height = row.label_size or batch["size"][::-1]
            yield name, [self._classes(f"{variables} {name} {picture}", (height, width)) for picture in batch["names"]]

    @staticmethod
    def _classes(key, shape):
        return np.random.default_rng(zlib.crc32(key.encode())).integers(0, 19, shape, np.uint8)


@pytest.fixture
def machine(monkeypatch):
    made = Machine()
    monkeypatch.setattr(Predictor, "predictions", lambda self, *arguments: made.predictions(self, *arguments))
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Seven pictures with instances, that is batches of 2, 2, 2 and 1."""
    return protocol_examples.write_pair(tmp_path_factory.mktemp("city"), count=7)


PICTURES = tuple(f"bonn_{i:06d}_000019" for i in range(7))


@pytest.fixture
def count(root, tmp_path, machine):
    """A new process that counts some networks in a workdir: (text, {name: bytes of the kept counts})."""

    def run(*names, workdir="work", rows=ROWS, **changes):
        console, folder = Console(file=io.StringIO(), width=300), tmp_path / workdir / "stages"
        chosen = protocol_examples.config(root, **changes)
        size = tuple(chosen.data.target_size)
        networks = [
            Network(name, name, folder / name, f"hash of {name}", None, size, lambda n=name: n) for name in names
        ]
        machine.seen.clear()
        store = MatrixStore(evaluation_settings(chosen), Feed(chosen.data), rows, console, clock=machine.clock)
        run.text = console.file.getvalue
        store.ensure(networks)
        assert not any(store._files._begun(network).path.exists() for network in networks)
        found = {}
        for network in networks:
            assert set(store.stored(network)) == set(rows)
            (path,) = [p for p in network.folder.glob("protocols-*.npz") if p == store._files._finished(network).path]
            found[network.name] = path.read_bytes()
        return console.file.getvalue(), found

    run.workdir = tmp_path / "work"
    return run


@pytest.fixture
def expected(count):
    """Counts of passes that nothing stopped, each network by itself."""
    return {name: count(name, workdir="whole")[1][name] for name in ("a", "b", "c")}


def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


def kill():
    raise Killed


def pictures_of(machine, network):
    return tuple(picture for name, pictures in machine.seen if name == network for picture in pictures)


def test_a_stopped_pass_goes_on_with_the_next_picture(count, machine, expected):
    machine.at = {3: sigterm}  # while "a" sees the second batch
    with pytest.raises(Stopped) as stopped:
        count("a", "b")
    assert stopped.value.exit_code == 143 and len(machine.seen) == 3
    assert "3 protocols, 2 networks: stopped after picture 2; what was counted is kept" in count.text()
    machine.at = {}
    text, found = count("a", "b")
    assert "3 protocols, 2 networks: goes on after picture 2 of 7, where it was stopped" in text
    assert pictures_of(machine, "a") == PICTURES[4:] and pictures_of(machine, "b") == PICTURES[2:]
    assert found == {name: expected[name] for name in found}
    assert count("a", "b") == ("", found) and not machine.seen


@pytest.mark.parametrize("at", range(1, 5))
def test_stopped_anywhere_and_more_than_once(count, machine, expected, at):
    machine.at = {at: sigterm}
    stops, found = 0, None
    while found is None:
        try:
            _, found = count("a")
        except Stopped:
            stops += 1
    assert stops == 4 // at and found["a"] == expected["a"]


def test_pictures_that_were_counted_are_not_even_read(count, machine, monkeypatch):
    from data_pipelines.reading import loading

    machine.at = {2: sigterm}
    with pytest.raises(Stopped):
        count("a")
    read, decode = set(), loading.decode
    monkeypatch.setattr(loading, "decode", lambda path, **how: read.add(path.name[:18]) or decode(path, **how))
    machine.at = {}
    count("a")
    assert read == set(PICTURES[4:])


def test_a_kill_loses_a_minute(count, machine, expected, monkeypatch):
    monkeypatch.setattr("dakd_jax.studies.protocols.store.KEEP_SECONDS", 2 * ONE_BATCH)
    machine.at = {4: kill}
    with pytest.raises(Killed):
        count("a")
    machine.at = {}
    _, found = count("a")
    assert pictures_of(machine, "a") == PICTURES[4:] and found["a"] == expected["a"]


def test_networks_that_come_later_have_their_own_counts(count, machine, expected):
    machine.at = {2: sigterm}
    with pytest.raises(Stopped):
        count("a")
    machine.at = {4: sigterm}  # "c" has seen two batches, and "b" one
    with pytest.raises(Stopped):
        count("c", "a", "b")
    assert [name for name, _ in machine.seen] == ["c", "b", "c", "b"]
    machine.at = {}
    _, found = count("b", "c", "a")
    assert found == expected
    assert {name: len(pictures_of(machine, name)) for name in "abc"} == {"a": 3, "b": 3, "c": 3}


def test_counts_of_something_else_are_not_gone_on_with(count, machine, expected, monkeypatch):
    """Of other rules, data sizes, batches or networks, and damaged ones."""

    def stopped(**changes):
        machine.at = {2: sigterm}
        with pytest.raises(Stopped):
            count("a", **changes)
        machine.at = {}

    def begins_again(**changes):
        count("a", **changes)
        return pictures_of(machine, "a") == PICTURES

    other = dict(ROWS, native=dataclasses.replace(ROWS["native"], rules=predict.Protocol(resample="bilinear")))
    stopped()
    assert begins_again(rows=other)
    with monkeypatch.context() as patch:
        patch.setattr(predict, "NUMERICS_VERSION", 0)
        assert begins_again()
    assert begins_again(**{"data.target_size": (32, 16)})
    assert begins_again(**{"eval.batch_size": 3})
    stopped(workdir="damaged")
    for path in (count.workdir.with_name("damaged") / "stages").rglob("unfinished-*"):
        path.write_bytes(path.read_bytes()[:-40])
    assert begins_again(workdir="damaged")
    stopped(workdir="moved")
    folder = count.workdir.with_name("moved") / "stages"
    (folder / "a").rename(folder / "b")
    _, found = count("b", workdir="moved")
    assert pictures_of(machine, "b") == PICTURES and found["b"] == expected["b"]


def test_a_kill_between_the_two_files_is_mended(count, machine, expected, monkeypatch):
    def killed(path, content):
        raise Killed

    machine.at = {2: sigterm}
    with pytest.raises(Stopped):
        count("a")
    machine.at = {}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(records, "write_json", killed)
        count("a")
    folder = count.workdir / "stages" / "a"
    assert sorted(path.name.split("-")[0] for path in folder.iterdir()) == ["protocols", "unfinished"]
    text, found = count("a")  # which asserts that nothing unfinished is left
    assert not machine.seen and not text and found["a"] == expected["a"]
    (path,) = folder.glob("protocols-*.json")
    told = json.loads(path.read_text())
    assert told["hash"] == "hash of a" and set(told["scores"]) == set(ROWS)
    path.write_text(json.dumps(told | {"scores": {}}))
    count("a")
    assert json.loads(path.read_text()) == told


def test_what_it_costs_is_told(count, machine, monkeypatch):
    text, _ = count("a", "b")
    # After the second batch, from that one alone: the first one compiles.
    assert "3 protocols, 2 networks: about 30 s to go, as the first pictures took" in text
    (path,) = (count.workdir / "stages" / "a").glob("protocols-*.json")
    cost = json.loads(path.read_text())["cost"]
    assert (cost["seconds"], cost["counted"]) == (8 * ONE_BATCH, 14)
    text, _ = count("a", "b", "c")
    assert "3 protocols, 1 network: about 40 s, as earlier passes on this machine took" in text
    assert "as the first pictures took" not in text
    here = records.environment()
    monkeypatch.setattr(records, "environment", lambda: here | {"hardware": {"platform": "other"}})
    text, _ = count("d")
    assert "earlier passes" not in text and "about 15 s to go, as the first pictures took" in text


def test_counts_kept_by_earlier_releases_count(count, machine, root):
    """Their JSON file does not say what it cost."""
    _, found = count("a")
    (path,) = (count.workdir / "stages" / "a").glob("protocols-*.npz")
    of, _ = kept_arrays.read(path)
    assert of.keys() == {"numerics", "protocols", "training_size", "data", "network"} and of["numerics"] == 1
    told = json.loads(path.with_suffix(".json").read_text())
    del told["cost"]
    path.with_suffix(".json").write_text(json.dumps(told))
    text, again = count("a", "b")
    assert again["a"] == found["a"] and "3 protocols, 1 network: about 15 s to go, as the first" in text
    assert "cost" not in json.loads(path.with_suffix(".json").read_text())
