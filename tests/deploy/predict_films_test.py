"""dakd predict of films: each frame's answers at its time, whole films or none, and what could not be read is told."""

import io
import json
import re
import threading
import time
from fractions import Fraction

import av
import handmade_films as handmade
import numpy as np
import pytest
import tiny_runs
from PIL import Image
from rich.console import Console

import dakd_jax
from dakd_jax.deploy.predicting import ahead, answer_files, film_writing
from dakd_jax.deploy.predicting import films as predicting
from dakd_jax.deploy.predicting.answer_files import KINDS
from dakd_jax.deploy.predicting.inputs import Input
from data_pipelines.pictures import film_decoding, films

TIMES = [Fraction(tick, 12800) for tick in (0, 512, 700, 4000, 4001, 6000)]  # a variable rate


@pytest.fixture
def predict(run_py, chain, tmp_path):
    """dakd predict of the chain's last network on words, into tmp_path/out."""

    def call(*words, net=f"{chain[0]}", output=tmp_path / "out", before=""):
        return run_py(["--mode=predict", str(net), *map(str, words), f"--output={output}"], before=before)

    return call


@pytest.fixture
def net(chain):
    with tiny_runs.quick_compilation():
        yield dakd_jax.load(chain[0])


def written(folder):
    """{path below a folder: when it was written}."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def decoded(path):
    """(times, frames) of a film of answers: numbers [N, H, W] as they were written, or RGB [N, H, W, 3]."""
    numbers = path.suffix == ".mkv"
    with av.open(str(path)) as container:
        assert len(container.streams) == 1  # no sound
        frames = list(container.decode(video=0))
    assert not any("DISPLAYMATRIX" in frame.side_data for frame in frames)
    pixels = np.stack([frame.to_ndarray(**({} if numbers else {"format": "rgb24"})) for frame in frames])
    return [frame.pts * frame.time_base for frame in frames], pixels


def last_line(ended, code=0):
    assert (ended.code, ended.stderr) == (code, "")
    return ended.stdout.splitlines()[-1]


def test_what_is_written(predict, net, chain, tmp_path):
    """Of a film on its side, of a variable rate and an odd size, and of a picture of its name."""
    (source := tmp_path / "in" / "drive.MP4").parent.mkdir()
    shot, turn = handmade.frames(6, (31, 23)), handmade.TURNS["90 left"][0]
    source.write_bytes(handmade.film(shot, times=TIMES, turn=turn, pix_fmt="yuv444p"))
    Image.fromarray(shot[0]).transpose(Image.Transpose.TRANSPOSE).save(source.with_suffix(".png"))
    out = tmp_path / "out"
    ended = predict(source.parent, "--confidence", f"--beside={chain[0]}")
    assert last_line(ended) == f"1 picture and 1 film: 2 predicted; {out}"
    assert re.search(r"drive +frame 6/6  in .*(s/frame|frames/s)\n", ended.stdout)
    paths = {kind: out / kind / f"drive.{'mkv' if kind in ('labels', 'confidence') else 'mp4'}" for kind in KINDS}
    expected = {*paths.values(), *(out / kind / "drive-2.png" for kind in KINDS)}
    assert {out / name for name in written(out)} == expected | {out / "predict.json", out / "labels" / "drive.json"}
    frames = list(films.open_film(source).frames())
    assert [frame.time for frame in frames] == TIMES and frames[0].pixels.shape == (31, 23, 3)
    found = {kind: decoded(path) for kind, path in paths.items()}
    for kind, (times, _) in found.items():
        assert times == TIMES if paths[kind].suffix == ".mp4" else np.abs(np.subtract(times, TIMES)).max() <= 0.0005
    labels = np.stack([net.predict(frame.pixels) for frame in frames])
    np.testing.assert_array_equal(found["labels"][1], labels)
    sure = np.stack([net.probabilities(frame.pixels).max(-1) for frame in frames])
    assert np.abs(found["confidence"][1] - 255 * sure).max() < 0.51
    over = np.stack([net.overlay(frame.pixels, one) for frame, one in zip(frames, labels, strict=True)])
    for kind, made in (("colours", net.palette(labels)), ("overlays", over)):
        assert found[kind][1].shape == (6, 32, 24, 3)
        assert np.abs(found[kind][1][:, :31, :23].astype(int) - made).mean() < 6
    assert found["beside"][1].shape == (6, 32, 2 * 23 + 4, 3)


def test_films_are_left_alone_made_again_and_told_of_as_pictures_are(predict, tmp_path):
    out, whole = tmp_path / "out", handmade.film(handmade.noise(), how={"movflags": "faststart"})
    (cut := tmp_path / "in" / "cut.mp4").parent.mkdir()
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    (tmp_path / "in" / "none.mp4").write_bytes(b"no film")
    before = None
    for count in ("1 predicted", "0 predicted, 1 there already"):
        ended = predict(tmp_path / "in")
        assert last_line(ended, code=1) == f"2 films: {count}, 1 left out, 1 read in part; {out}"
        assert f"read in part: {cut}: " in ended.stdout and "the file ends too early" in ended.stdout
        assert "left out: " in ended.stdout and "none.mp4: cannot be read as a film" in ended.stdout
        before = before or written(out)
    assert written(out) == before and not list((out / "labels").glob("*none*"))
    count = len(decoded(out / "labels" / "cut.mkv")[0])
    assert 4 <= count <= 8 and len(decoded(out / "overlays" / "cut.mp4")[0]) == count
    (torn := out / "overlays" / "cut.mp4").write_bytes(torn.read_bytes()[:-20])
    assert "1 predicted" in last_line(predict(cut), code=1)
    cut.write_bytes(whole)
    assert last_line(predict(cut)) == f"1 film: 1 predicted; {out}"
    assert len(decoded(out / "labels" / "cut.mkv")[0]) == 12 and written(out).keys() == before.keys()
    (tmp_path / "other").mkdir()
    (other := tmp_path / "other" / "cut.mp4").write_bytes(handmade.film(handmade.frames(2)))
    assert "1 predicted" in last_line(predict(other)) and len(decoded(out / "labels" / "cut-2.mkv")[0]) == 2


def test_a_full_disk_is_one_line_and_no_film_is_half_written(predict, tmp_path):
    (film := tmp_path / "film.mp4").write_bytes(handmade.film())
    before = """
from dakd_jax.deploy.predicting import film_writing
import pathlib
begin = film_writing._File.__init__
def full(self, path):
    begin(self, pathlib.Path("/dev/full") if "overlays" in str(path) else path)
    self._path = path
film_writing._File.__init__ = full
"""
    tiny_runs.one_line(predict(film, before=before), "cannot write .*overlays", "No space left on device; make room")
    assert written(tmp_path / "out").keys() == {"predict.json"}
    assert "1 predicted" in last_line(predict(film))


def test_in_python(net, tmp_path):
    whole = handmade.film(handmade.noise(), how={"movflags": "faststart"})
    frames = list(films.open_film(whole).frames())
    for found, frame in zip(net.predict_film(io.BytesIO(whole)), frames, strict=True):
        assert found.time == float(frame.time)
        np.testing.assert_array_equal(found.picture, frame.pixels)
        np.testing.assert_array_equal(found.labels, net.predict(frame.pixels))
    with pytest.warns(UserWarning, match="the film: .*the file ends too early"):
        assert len(list(net.predict_film(whole[: len(whole) // 2]))) > 2
    with pytest.raises(ValueError, match="nope.mp4: cannot be read as a film"):
        next(net.predict_film(tmp_path / "nope.mp4"))


@pytest.mark.parametrize("place", ["computing", "showing", "writing"])
def test_an_interruption_waits_for_its_threads_and_leaves_nothing(net, tmp_path, monkeypatch, place):
    """PyAV must not be closed while a thread is in it."""
    (film := tmp_path / "film.mp4").write_bytes(handmade.film())
    files, drawn = answer_files.AnswerFiles(tmp_path / "out", ["labels", "colours"], {}), []

    def slowly(*how, pixels=film_decoding.pixels):
        drawn.append(time.sleep(0.03))
        return pixels(*how)

    def interrupted(*unused):
        raise KeyboardInterrupt

    monkeypatch.setattr(film_decoding, "pixels", slowly)
    owners = {"computing": (predicting.answers, "said"), "showing": (predicting, "speed")}
    monkeypatch.setattr(*owners.get(place, (film_writing.FilmAnswers, "write")), interrupted)
    with pytest.raises(KeyboardInterrupt):
        predicting.predict_film([net], Input(film, "film"), files, ["labels", "colours"], Console(file=io.StringIO()))
    assert written(tmp_path / "out").keys() == {"predict.json"} and len(drawn) < 8
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "write"))]


def test_what_is_drawn_ahead_is_all_of_it():
    assert list(ahead.drawn_ahead("read", iter(range(7)))) == list(range(7))


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (33, 16)])
def test_films_of_any_size_are_written(tmp_path, size):
    timing = film_writing.Timing(Fraction(1001, 30000), Fraction(30000, 1001), Fraction(4, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (3, size[1], size[0]), dtype=np.uint8)
    for ending in ("mkv", "mp4"):
        writer = film_writing.FilmWriter(path := tmp_path / f"film.{ending}", ending, timing)
        for index, frame in enumerate(pixels):
            writer.write(index * timing.tick, frame if ending == "mkv" else frame[..., None].repeat(3, 2))
        writer.finish()
        times, found = decoded(path)
        if ending == "mkv":
            np.testing.assert_array_equal(found, pixels)
        else:
            assert times == [index * timing.tick for index in range(3)]
            film = films.open_film(path)
            assert (film.rate, film.pixel_aspect) == (timing.rate, timing.pixel_aspect)
            assert film.seconds == pytest.approx(3 * timing.tick, rel=0.01)


def test_films_that_mp4_cannot_hold(tmp_path):
    timing = film_writing.Timing(Fraction(1, 10**9), Fraction(25))
    writer = film_writing.FilmWriter(path := tmp_path / "film.mp4", "mp4", timing)
    times = [Fraction(0), Fraction(1, 10**8), Fraction(1, 3), Fraction(20)]  # the second is not told from the first
    for at in times:
        writer.write(at, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(film_writing.TooLargeForFilm, match="16386x2 pixels"):
        film_writing.FilmWriter(tmp_path / "wide.mp4", "mp4", timing).write(0, np.zeros((2, 16385, 3), np.uint8))
    writer.finish()
    assert [round(at * 10**6) for at in decoded(path)[0]] == [0, 1, 333333, 20000000]
    writer = film_writing.FilmWriter(path, "mp4", film_writing.Timing(Fraction(1, 12800), Fraction(4)))
    writer.write(Fraction(0), np.zeros((2, 2, 3), np.uint8))
    writer.finish()
    assert films.open_film(path).seconds == pytest.approx(0.25, rel=0.01)  # a single frame is shown for its time


def test_what_a_film_of_answers_says(predict, tmp_path):
    (film := tmp_path / "film.mp4").write_bytes(handmade.film(handmade.frames(2)))
    predict(film)
    about = json.loads((tmp_path / "out" / "labels" / "film.json").read_text())
    assert about["lost"] == "" and about["bytes"].keys() == {"labels", "colours", "overlays"}
    shown = films.open_film(tmp_path / "out" / "colours" / "film.mp4")
    assert (shown.size, shown.rate, shown.num_frames) == ((32, 24), 25, 2)
