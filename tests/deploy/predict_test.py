"""dakd predict: which pictures, what is written, and that nothing is lost, mixed up or half written."""

import dataclasses
import errno
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from jax.experimental.compilation_cache import compilation_cache as jax_cache
from PIL import Image

import dakd_jax
from configs import base
from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS
from dakd_jax.deploy.predicting import inputs
from dakd_jax.deploy.predicting.answer_files import KINDS
from dakd_jax.training.runtime import compilation_cache

ANSWERS = ("labels", "colours", "overlays")


@pytest.fixture
def photos(tmp_path):
    """Two folders with pictures of one name, and a file that is none."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    for name, size in {"a/1.png": (40, 30), "b/1.png": (31, 47), "b/tiny.BMP": (3, 2)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(folder / name)
    (folder / "b" / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def predict(run_py, chain, tmp_path):
    """dakd predict of the chain's last network on words, into tmp_path/out."""

    def call(*words, net=f"{chain[0]}", output=tmp_path / "out", before=""):
        return run_py(["--mode=predict", str(net), *map(str, words), f"--output={output}"], before=before)

    return call


def files(folder):
    """{path below a folder: when it was written}."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def last_line(ended, code=0):
    assert (ended.code, ended.stderr) == (code, "")
    return ended.stdout.splitlines()[-1]


def test_what_is_written(predict, photos, chain, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    shutil.copytree(tiny_runs.stage_folder(chain[0], "teacher"), other)
    told = json.loads((other / "record.json").read_text())  # after six steps both say the same: other colours tell
    (other / "record.json").write_text(json.dumps(told | {"palette": told["palette"][::-1]}))
    assert last_line(predict(photos, "--confidence", f"--beside={other}")) == f"3 pictures: 3 predicted; {out}"
    names = ("a/1", "b/1", "b/tiny")
    assert files(out).keys() == {"predict.json", *(f"{kind}/{name}.png" for kind in KINDS for name in names)}
    net, teacher = dakd_jax.load(chain[0]), dakd_jax.load(other)
    for name in names:
        (picture,) = photos.glob(f"{name}.*")
        found = {kind: np.asarray(Image.open(out / kind / f"{name}.png")) for kind in KINDS}
        labels = found["labels"]
        np.testing.assert_array_equal(labels, net.predict(picture))
        np.testing.assert_array_equal(found["colours"], net.palette(labels))
        np.testing.assert_array_equal(found["overlays"], net.overlay(picture, labels))
        width = labels.shape[1]
        assert np.abs(found["confidence"] - 255 * net.probabilities(picture).max(-1)).max() < 0.51
        np.testing.assert_array_equal(found["beside"][:, :width], found["overlays"])
        theirs = teacher.overlay(picture, teacher.predict(picture))
        np.testing.assert_array_equal(found["beside"][:, -width:], theirs)
        assert (theirs != found["overlays"]).any()


def test_it_goes_on_where_it_stopped(predict, photos, tmp_path):
    out = tmp_path / "out"
    predict(photos)
    before = files(out)
    assert "0 predicted, 3 there already" in last_line(predict(photos)) and files(out) == before
    torn = out / "overlays" / "a" / "1.png"
    torn.write_bytes(torn.read_bytes()[:-20])
    (out / "colours" / "b" / "1.png").unlink()
    Image.new("RGB", (9, 9)).save(photos / "b" / "tiny.BMP")  # another picture now
    os.utime(photos / "b" / "tiny.BMP", ns=(0, 0))
    assert "3 predicted" in last_line(predict(photos))
    assert Image.open(out / "labels" / "b" / "tiny.png").size == (9, 9)
    assert files(out).keys() == before.keys()
    (photos / "c.png").write_bytes((photos / "a" / "1.png").read_bytes())
    assert "1 predicted, 3 there already" in last_line(predict(photos))


def test_what_is_not_whole_alone_is_made_again(predict, photos, tmp_path):
    out = tmp_path / "out"
    predict(photos)
    before = files(out)
    (out / "labels" / "b" / "1.png").unlink()
    assert "1 predicted, 2 there already" in last_line(predict(photos))
    after = files(out)
    assert {name for name in before if after[name] != before[name]} == {f"{kind}/b/1.png" for kind in ANSWERS}


def test_answers_of_another_network_or_kind_are_not_mixed(predict, photos, chain, tmp_path):
    predict(photos)
    before = files(tmp_path / "out")
    other = f"{chain[0]}#teacher"
    tiny_runs.one_line(predict(photos, net=other), "holds answers that were made otherwise", r"\(network differ")
    tiny_runs.one_line(predict(photos, "--confidence"), r"\(kinds differ: predict.json\); name another folder")
    assert files(tmp_path / "out") == before
    (other := tmp_path / "other").mkdir()
    (other / "mine.txt").write_text("")
    tiny_runs.one_line(predict(photos, output=other), "holds other things, and no predict.json")
    assert list(other.iterdir()) == [other / "mine.txt"]


def test_the_same_name_in_two_folders_stays_two_answers(predict, photos, tmp_path):
    """In one command, and in two."""
    out = tmp_path / "out"
    predict(photos / "a")
    predict(photos / "b")
    marks = [Image.open(out / "labels" / f"1{end}.png") for end in ("", "-2")]
    assert [mark.size for mark in marks] == [(40, 30), (31, 47)]
    before = files(out)
    assert "2 there already" in last_line(predict(photos / "b")) and files(out) == before
    beside = photos / "a" / "1.jpg"
    Image.new("RGB", (5, 5)).save(beside)
    assert "2 pictures: 2 predicted" in last_line(predict(photos / "a", output=tmp_path / "ending"))
    assert {path.name for path in (tmp_path / "ending" / "labels").iterdir()} == {"1.png", "1-2.png"}


def test_what_cannot_be_read_is_named_and_left_out(predict, photos, tmp_path):
    (photos / "a" / "0.png").write_bytes((photos / "a" / "1.png").read_bytes()[:200])
    (photos / "z.jpg").write_bytes(b"no picture")
    ended = predict(photos)
    assert "5 pictures: 3 predicted, 2 left out" in last_line(ended, code=1)
    told = [line for line in ended.stdout.splitlines() if line.startswith("left out: ")]
    assert len(told) == 2 and "a/0.png: cannot be read as a picture" in told[0] and "z.jpg" in told[1]
    assert not (tmp_path / "out" / "labels" / "z.png").exists()
    assert "0 predicted, 3 there already, 2 left out" in last_line(predict(photos), code=1)


def test_a_process_at_its_limits_leaves_nothing_out(predict, photos, tmp_path):
    before = f"""
from PIL import Image
def full(*a, **k): raise OSError({errno.EMFILE}, "Too many open files")
from data_pipelines.pictures import pixel_formats
pixel_formats._open = full
"""
    tiny_runs.one_line(predict(photos, before=before), "ulimit -n")


def test_a_full_disk_is_one_line_and_nothing_is_half_written(predict, photos, tmp_path):
    before = f"""
from dakd_jax.basics import atomic_files
import os
replace = os.replace
def full(source, target):
    if "overlays" in str(target): raise OSError({errno.ENOSPC}, "No space left on device", str(target))
    replace(source, target)
class os_then:
    def __getattr__(self, name): return full if name == "replace" else getattr(os, name)
atomic_files.os = os_then()
"""
    line = tiny_runs.one_line(predict(photos, before=before), "cannot write .*overlays", "No space left on device")
    assert "make room or choose another --output" in line
    assert not [name for name in files(tmp_path / "out") if name.endswith(".tmp") or "labels" in name]
    assert "3 predicted" in last_line(predict(photos))


@pytest.mark.parametrize("output", ["photos", "photos/a", ".", "photos/../photos"])
def test_answers_never_lie_where_pictures_do(predict, photos, tmp_path, output):
    before = files(photos)
    word = photos / "a" / "1.png" if output == "photos/a" else photos
    tiny_runs.one_line(predict(word, output=tmp_path / output), "is or holds", "name a folder of its own")
    assert files(photos) == before and not (tmp_path / "predict.json").exists()


def test_a_link_to_the_pictures_among_the_answers(predict, photos, tmp_path):
    predict(photos / "a")
    before = files(photos)
    (tmp_path / "out" / "colours").rename(tmp_path / "old")
    (tmp_path / "out" / "colours").symlink_to(photos / "b")
    tiny_runs.one_line(predict(photos / "b"), "is or holds")
    (tmp_path / "also").symlink_to(photos)
    tiny_runs.one_line(predict(tmp_path / "also", output=photos), "is or holds")
    assert files(photos) == before


def test_answers_below_the_pictures_are_passed_over(predict, photos):
    for words in ([photos], [f"{photos}/**/*.[pB][nM][gP]"]):
        for done in ("3 pictures: 3 predicted", "3 pictures: 0 predicted, 3 there already")[words != [photos] :]:
            assert done in last_line(predict(*words, output=photos / "out"))


def test_words(photos, tmp_path, monkeypatch):
    def found(*words):
        return [path.relative_to(photos).as_posix() for path in inputs.find(words, tmp_path / "out", KINDS)]

    every = ["a/1.png", "b/1.png", "b/tiny.BMP"]
    assert found(str(photos)) == every
    assert found(f"{photos}/b/1.png", str(photos)) == ["b/1.png", "a/1.png", "b/tiny.BMP"]
    assert found(f"{photos}/*/1.png") == every[:2]
    assert found(f"{photos}/?") == every
    assert found(f"{photos}/b/notes.txt") == ["b/notes.txt"]  # what is named itself is tried
    (photos / "b" / "[x].png").touch()
    (photos / "b" / ".hidden.png").touch()
    assert found(f"{photos}/b/[x].png") == ["b/[x].png"]
    monkeypatch.chdir(photos)
    assert found("a", "./a/1.png", "b") == ["a/1.png", "b/1.png", "b/[x].png", "b/tiny.BMP"]
    (photos / "empty").mkdir()
    for word, said in (
        ("nope.png", "no such picture"),
        ("*.webp", "no picture or film matches"),
        ("empty", "no picture (.png"),
    ):
        with pytest.raises(UserError) as raised:
            found(word)
        assert said in str(raised.value)


def test_what_the_command_line_lacks(predict, photos, run_py, chain, tmp_path):
    tiny_runs.one_line(predict(), "wants a network and pictures or films, 1 were given")
    tiny_runs.one_line(run_py(["--mode=predict", str(chain[0]), str(photos)]), "needs --output=DIR")
    tiny_runs.one_line(run_py(["--mode=plan", "--output=x"]), "--output goes with --mode=predict, not plan")
    tiny_runs.one_line(predict(photos, net=tmp_path / "nowhere"), "no checkpoint at .*nowhere")
    assert not (tmp_path / "out").exists()


def test_a_bare_file_is_what_the_config_says(predict, photos, chain, tmp_path):
    (bare := tmp_path / "bare.pth").write_bytes((tiny_runs.stage_folder(chain[0], "case_d") / "model.pth").read_bytes())
    tiny_runs.one_line(predict(photos, net=bare), "no record beside it", "--config.student.arch")
    said = ["--config.student.arch=tiny", "--config.student.width=1.0", "--config.data.target_size=64x32"]
    assert "3 predicted" in last_line(predict(photos, *said, net=bare))
    predict(photos, output=tmp_path / "own")
    for name in ("a/1", "b/1"):
        one, other = (Image.open(tmp_path / folder / "labels" / f"{name}.png") for folder in ("out", "own"))
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    told = json.loads((tmp_path / "out" / "predict.json").read_text())
    assert told["network"]["network"]["arch"] == "tiny" and told["network"]["size"] == [64, 32]


@pytest.fixture
def no_cache(monkeypatch):
    """As if jax had been told of no cache, and after the test as it was."""
    changed = ("dir", "max_size", "min_compile_time_secs")
    before = {name: value for name, value in jax.config.values.items() if name.endswith(changed)}
    monkeypatch.delenv(compilation_cache.VARIABLE)
    jax_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    jax_cache.reset_cache()


def test_what_one_command_compiled_the_next_does_not(tmp_path, monkeypatch, no_cache):
    told, kept = [], tmp_path / "dakd_jax" / "xla_cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compilation_cache, "_QUICK", 0.0)
    jax.monitoring.register_event_listener(lambda event, **_: told.append(event.split("/")[-1]))
    for first in (True, False):
        compilation_cache.enable_for_user()
        told.clear()
        jax.jit(lambda values: jnp.sin(values) + 1)(np.ones(3, np.float32))  # a program that is new to jax
        assert (told.count("cache_misses"), told.count("cache_hits")) == ((1, 0) if first else (0, 1))
    assert list(kept.glob("*-cache")) and jax.config.values["jax_compilation_cache_max_size"] == 2**28


def test_the_command_keeps_what_it_compiles(chain, photos, tmp_path, monkeypatch):
    class Asked(Exception):
        """The cache was turned on."""

    def ask():
        raise Asked

    monkeypatch.setattr(compilation_cache, "enable_for_user", ask)
    how = tiny_runs.context(base.get_config(), tmp_path, None, "predict", output=str(tmp_path / "out"))
    with pytest.raises(Asked):
        COMMANDS["predict"].run(dataclasses.replace(how, words=(str(chain[0]), str(photos))))


def test_caches_that_cannot_be_written_are_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.delenv(compilation_cache.VARIABLE)
    before = dict(jax.config.values)
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(home))
        compilation_cache.enable_for_user()
        assert dict(jax.config.values) == before
