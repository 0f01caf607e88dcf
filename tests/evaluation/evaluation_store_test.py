"""An evaluation is kept under all that it depends on, and made again when it is not whole."""

import dataclasses
import io
import json
import types

import numpy as np
import protocol_examples
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.basics import kept_arrays, records
from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import metrics, predict
from dakd_jax.evaluation.evaluation_store import Evaluator
from dakd_jax.evaluation.logs import METRICS
from dakd_jax.stages.experiment import Experiment
from dakd_jax.stages.settings import evaluation_settings
from dakd_jax.studies.attribution import kept_attribution
from dakd_jax.studies.experiment import results
from dakd_jax.studies.pictures.gallery import Gallery
from data_pipelines.feeding.feed import Feed

NAMES = ("a", "b", "c")
PREDICTIONS = {name: np.full((2, 3), i, np.uint8) for i, name in enumerate(NAMES)}


def feed(data="d", classes=3):
    return types.SimpleNamespace(
        evaluation_names=lambda: NAMES, evaluation_fingerprint=lambda: data, class_names=("x",) * classes
    )


@pytest.fixture
def planned(tmp_path):
    stage = types.SimpleNamespace(title="Student", network="student")
    return types.SimpleNamespace(folder=tmp_path / "student-0", hash="0" * 64, stage=stage, identity={})


@pytest.fixture
def passes(monkeypatch):
    """Confusion matrices of all passes: each pass gives another one."""
    made = []

    def score(self, title, model, variables):
        made.append(np.eye(3, dtype=np.int64) + len(made))
        return made[-1], PREDICTIONS

    monkeypatch.setattr(Evaluator, "score", score)
    return made


def evaluator(of=None, **changes):
    return Evaluator(evaluation_settings(tiny_runs.config("", **changes)), of or feed(), Console(file=io.StringIO()))


def ensure(planned, of=None, **changes):
    """Whether a new process had to evaluate, and the confusion matrix then."""
    made = evaluator(of, **changes)
    before = made.done(planned)
    worked = made.ensure(planned, None, lambda: {})
    assert worked <= (not before) and made.done(planned) and not made.ensure(planned, None, None)
    return worked, made.confusion(planned)


def told(planned):
    (path,) = planned.folder.glob("evaluation-native-*.json")
    return path, json.loads(path.read_text())


def test_once(planned, passes):
    assert ensure(planned)[0]
    worked, confusion = ensure(planned)
    assert not worked and len(passes) == 1
    np.testing.assert_array_equal(confusion, passes[0])
    whole, predictions = evaluator().stored(planned)
    np.testing.assert_array_equal(whole, passes[0])
    assert list(predictions) == list(NAMES)
    assert all(np.array_equal(predictions[name], PREDICTIONS[name]) for name in NAMES)
    assert told(planned)[1]["scores"] == records.plain(metrics.scores(passes[0]).as_dict())
    assert not ensure(planned, **{"eval.batch_size": 7, "seed": 3})[0]  # these reach no number


def test_what_it_depends_on(planned, passes, monkeypatch):
    """Each of these alone makes another evaluation, and the first one stays."""
    native = predict.PROTOCOLS["native"]

    def evaluated(*arguments, **changes):
        before = len(passes)
        ensure(*arguments, **changes)
        return len(passes) - before

    assert evaluated(planned) == 1
    assert evaluated(planned, feed(data="e")) == 1
    assert evaluated(planned, feed(classes=4)) == 1
    assert evaluated(planned, **{"eval.pictures": 2}) == 1
    assert evaluated(planned, **{"data.target_size": (32, 32)}) == 1
    planned.hash = "1" * 64  # of another stage or file
    assert evaluated(planned) == 1
    planned.hash = "0" * 64
    for field, value in {
        "normaliser": "rgb_unit",
        "resample": "bilinear",
        "image_size": (8, 8),
        "label_size": (8, 8),
        "statistics": "picture",
    }.items():
        with monkeypatch.context() as patch:
            patch.setitem(predict.PROTOCOLS, "native", dataclasses.replace(native, **{field: value}))
            assert evaluated(planned) == 1, field
    with monkeypatch.context() as patch:
        patch.setattr(predict, "NUMERICS_VERSION", 0)
        assert evaluated(planned) == 1
    assert evaluated(planned) == 0


def test_a_file_that_is_not_whole_is_made_again(planned, passes):
    ensure(planned)
    path = told(planned)[0].with_suffix(".npz")
    content = path.read_bytes()
    of, arrays = kept_arrays.read(path)
    np.savez(path.with_name("bare.npz"), confusion=passes[0])
    bare = path.with_name("bare.npz").read_bytes()
    for wrong in (b"", content[: len(content) // 2], b"PK", bare):
        path.write_bytes(wrong)
        assert not evaluator().done(planned)
        with pytest.raises(UserError, match=f"{path.name} is not there or damaged: the command that trains"):
            evaluator().confusion(planned)
        with pytest.raises(UserError, match="is not there or damaged"):
            evaluator().stored(planned)
        assert ensure(planned)[0]
    kept_arrays.Kept(path, of | {"network": "of another"}).write(arrays)
    assert ensure(planned)[0] and len(passes) == 6
    np.testing.assert_array_equal(evaluator().confusion(planned), passes[-1])
    same = evaluator()
    assert same.done(planned)
    path.write_bytes(b"PK")
    assert not same.done(planned)
    path.unlink()
    assert not same.done(planned)  # though it has seen it


def test_scores_that_a_kill_left_out_are_written_at_the_next_start(planned, passes, monkeypatch):
    def killed(path, content):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(records, "write_json", killed)
        ensure(planned)
    assert not list(planned.folder.glob("*.json")) and list(planned.folder.glob("evaluation-*.npz"))
    assert not evaluator().done(planned)  # so that a table's job comes back to it
    assert not ensure(planned)[0]
    path, content = told(planned)
    for wrong in ("", json.dumps(content | {"scores": {}})):
        path.write_text(wrong)
        assert not ensure(planned)[0] and told(planned)[1] == content
    assert len(passes) == 1


def test_a_kill_before_the_arrays_leaves_the_curves_with_one_end(planned, passes, monkeypatch):
    planned.folder.mkdir()
    (planned.folder / METRICS).write_text('{"step": 6, "kind": "train"}\n')
    planned.identity["steps"], logged = 6, []
    log = types.SimpleNamespace(close=lambda: None)

    def evaluation(step, *_):
        logged.append(step)
        with (planned.folder / METRICS).open("a") as file:
            file.write('{"step": 6, "kind": "eval"}\n')

    log.evaluation = evaluation
    monkeypatch.setattr("dakd_jax.evaluation.evaluation_store.MetricLog", lambda *_: log)
    monkeypatch.setattr(Evaluator, "picture_names", lambda self: NAMES)
    coloured = feed()
    coloured.palette = None
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kept_arrays.Kept, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        ensure(planned, coloured)
    assert ensure(planned, coloured)[0] and logged == [6]


def test_so_do_attribution_figures_and_pages(tmp_path, monkeypatch):
    goal = ("student", "case_a")
    chosen = protocol_examples.config(protocol_examples.write_pair(tmp_path, count=1), goal=goal)
    protocol_examples.finish(chosen, tmp_path / "work", ("student", "teacher", "case_a"))
    native = predict.PROTOCOLS["native"]

    def keys(rules=native, version=predict.NUMERICS_VERSION):
        with monkeypatch.context() as patch:
            patch.setitem(predict.PROTOCOLS, "native", rules)
            patch.setattr(predict, "NUMERICS_VERSION", version)
            experiment = Experiment(chosen, Feed(chosen.data), tmp_path / "work", Console(file=io.StringIO()))
            found = (
                kept_attribution.identity(experiment),
                Gallery(experiment, tmp_path)._of("case_a"),
                results.identity(experiment),
            )
            return [records.hash_json(of) for of in found]

    assert keys() == keys()
    for changes in ({"rules": dataclasses.replace(native, resample="bilinear")}, {"version": 0}):
        assert not set(keys()) & set(keys(**changes))


def test_files_of_earlier_releases_are_not_mistaken(planned, passes):
    """They were named by the protocol and said nothing of its rules."""
    planned.folder.mkdir()
    name = evaluator()._kept(planned).path
    for path in (name, planned.folder / "evaluation-native-01234567.npz"):
        np.savez_compressed(path, confusion=np.zeros((3, 3), np.int64))
        told = {"protocol": "native", "image_size": [64, 32], "hash": planned.hash, "npz": "", "scores": {}}
        path.with_suffix(".json").write_text(json.dumps(told))
    assert ensure(planned)[0]
    np.testing.assert_array_equal(evaluator().confusion(planned), passes[0])
    assert json.loads(name.with_suffix(".json").read_text())["scores"]["miou"] is not None
