"""Films: upright frames in the right colours at their times, and a line for what cannot be read."""

import errno
import io
import pickle
import struct
from fractions import Fraction

import av
import handmade_films as handmade
import numpy as np
import pytest
from PIL import Image

from data_pipelines.basics.errors import AccessError, DataError, UnreadableFile
from data_pipelines.pictures import film_decoding, film_ends, films

FAST = {"movflags": "faststart"}  # an index at the front, so that what is cut can be read
LOSSY = 12  # of 255, in the middle of an area of one colour


def read(source):
    """(film, its times, uint8 [N, H, W, 3], what was lost)."""
    film = films.open_film(source)
    frames = film.frames()
    times, pixels = zip(*frames, strict=True)
    return film, list(times), np.stack(pixels), frames.lost


def corners(pixels):
    """[N, 4, 3] colours in the middle of the four quarters of [N, H, W, 3], beside the square."""
    height, width = pixels.shape[1:3]
    at = [
        (height // 6, width // 6),
        (height // 6, -width // 6),
        (-height // 6, width // 6),
        (-height // 6, -width // 6),
    ]
    return np.stack([pixels[:, y, x] for y, x in at], axis=1).astype(int)


def assert_like(found, expected):
    assert found.shape == expected.shape
    assert np.abs(corners(found) - corners(expected)).max() <= LOSSY
    middle = found.shape[1] // 2, found.shape[2] // 2
    assert np.abs(found[:, *middle].astype(int) - expected[:, *middle]).max() <= 2 * LOSSY


def test_frames_and_what_is_known_before(tmp_path):
    (path := tmp_path / "a b: c.mp4").write_bytes(content := handmade.film())
    with open(path, "rb") as file:
        for source in (path, str(path), content, io.BytesIO(content), file):
            film, times, pixels, lost = read(source)
            assert (film.size, film.rate, film.num_frames, film.pixel_aspect) == ((32, 24), 25, 8, 1)
            assert film.seconds == 0.32 and not lost
            assert times == [Fraction(index, 25) for index in range(8)] == film.times()
            assert_like(pixels, handmade.frames())
        assert not file.closed and read(file)[1] == times
    assert (pickle.loads(pickle.dumps(films.open_film(path)))) == films.open_film(path)


@pytest.mark.parametrize("name", handmade.TURNS)
def test_frames_lie_upright(name):
    matrix, turned = handmade.TURNS[name]
    film, _, pixels, _ = read(handmade.film(turn=matrix, aspect=Fraction(4, 3)))
    expected = np.stack([turned(frame) for frame in handmade.frames()])
    assert_like(pixels, expected)
    assert film.size == expected.shape[2:0:-1] and pixels.flags.c_contiguous
    assert film.pixel_aspect == (Fraction(3, 4) if film.size[0] < film.size[1] else Fraction(4, 3))


@pytest.mark.parametrize("tags", [(1, 1), (1, 2), (5, 1), (5, 2), None])
def test_colours_are_those_of_the_tags(tags):
    """BT.709 and BT.601, limited and full range: read as the other, green is off by more than 12."""
    assert_like(read(handmade.film(tags=tags))[2], handmade.frames())


@pytest.mark.parametrize(
    ("size", "how"),
    {
        "odd": ((31, 23), {"pix_fmt": "yuv444p"}),
        "10 bits": ((32, 24), {"pix_fmt": "yuv420p10le", "tags": (9, 1)}),
        "grey": ((32, 24), {"codec": "ffv1", "pix_fmt": "yuv444p16le", "kind": "matroska", "quality": {}}),
        "webm": ((32, 24), {"codec": "libvpx-vp9", "kind": "webm", "quality": {"crf": "4", "cpu-used": "8"}}),
        "avi": ((32, 24), {"codec": "mjpeg", "pix_fmt": "yuvj420p", "kind": "avi", "quality": {"qscale": "1"}}),
        "ts": ((32, 24), {"kind": "mpegts"}),
        "in pieces": ((32, 24), {"how": {"movflags": "frag_keyframe+empty_moov"}}),
    }.values(),
)
def test_kinds_of_films(size, how):
    film, times, pixels, lost = read(handmade.film(handmade.frames(size=size), **how))
    assert (film.size, film.num_frames, lost) == (size, 8, "")
    assert times == [Fraction(index, 25) for index in range(8)]
    assert_like(pixels, handmade.frames(size=size))


def test_a_variable_frame_rate():
    times = [Fraction(tick, 100) for tick in (0, 4, 5, 30, 31, 32, 90, 100)]
    film, found, pixels, _ = read(handmade.film(times=times))
    assert found == times == film.times()
    assert_like(pixels, handmade.frames())


def test_a_film_that_was_trimmed_begins_where_it_is_shown_from():
    """What an edit list leaves out is in the file, and decoded for what follows."""
    whole = handmade.film(quality={"crf": "1", "g": "8", "keyint_min": "8", "sc_threshold": "0"})
    at = whole.index(b"elst") + 16
    (first,) = struct.unpack_from(">i", whole, at)
    film, times, pixels, _ = read(whole[:at] + struct.pack(">i", first + 3 * 512) + whole[at + 4 :])
    assert times == [Fraction(index, 25) for index in range(5)] == film.times()
    assert_like(pixels, handmade.frames()[3:])
    np.testing.assert_array_equal(film.at(0.09).pixels, pixels[2])


def test_a_frame_at_a_time():
    film = films.open_film(handmade.film(handmade.frames(24)))
    every = list(film.frames())
    for index, frame in enumerate(every):
        for seconds in (frame.time, float(frame.time) + 0.03):
            found = film.at(seconds)
            assert found.time == Fraction(index, 25)
            np.testing.assert_array_equal(found.pixels, frame.pixels)
    assert film.at(-1).time == 0 and film.at(99).time == every[-1].time


@pytest.mark.parametrize(
    ("kind", "how"),
    [("mp4", FAST), ("matroska", {}), ("avi", {}), ("mpegts", {}), ("mp4", {"movflags": "frag_every_frame"})],
)
def test_a_film_that_is_cut_gives_what_is_there(kind, how):
    pictures = handmade.noise()
    whole = handmade.film(pictures, kind=kind, how=how)
    every = read(whole)
    assert len(every[1]) == 12 and not every[3] and not film_ends.is_cut(io.BytesIO(whole))
    film, times, pixels, lost = read(whole[: len(whole) * 6 // 10])
    with av.open(io.BytesIO(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert len(times) >= sum(packet.pos + packet.size <= len(whole) * 6 // 10 for packet in packets) > 5
    assert len(times) < 9 and lost.endswith("the file ends too early")
    assert times == every[1][: len(times)]
    np.testing.assert_array_equal(pixels[:4], every[2][:4])


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_a_damaged_frame_is_told_and_those_after_it_are_read(kind):
    whole = handmade.film(
        handmade.noise(), kind=kind, how=FAST if kind == "mp4" else {}, quality={"crf": "1", "g": "2"}
    )
    every, at = read(whole), len(whole) * 4 // 10
    _, times, pixels, lost = read(whole[:at] + bytes(400) + whole[at + 400 :])
    assert lost == "1 damaged frame" and times == every[1]
    assert (pixels != every[2]).any(axis=(1, 2, 3)).sum() == 1


def test_times_grow_whatever_the_file_says():
    """Two recordings one after the other in a file, as recorders of broadcasts leave them."""
    one = handmade.film(kind="mpegts", rate=4)
    _, times, pixels, _ = read(one + one)
    assert times == [Fraction(index, 4) for index in range(16)]
    assert_like(pixels, np.concatenate([handmade.frames()] * 2))


def picture(kind):
    Image.new("RGB", (9, 9)).save(file := io.BytesIO(), kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    {
        "empty": (b"", "it is empty"),
        "nothing": (b"no film" * 99, "none of MP4"),
        "PNG": (picture("png"), "it is a picture, PNG"),
        "JPEG": (picture("jpeg"), "it is a picture, JPEG"),
        "sound": (handmade.sound(), "no pictures in this film"),
        "no frame": (handmade.film(handmade.frames(0)), "no pictures in this film|not one frame"),
        "no index": (handmade.film()[:-300], "ends before its index"),
        "playlist": (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n", "none of MP4"),
        "concat": (b"ffconcat version 1.0\nfile other.mp4\n", "none of MP4"),
    }.values(),
)
def test_what_is_no_film_is_one_line(tmp_path, content, said):
    (tmp_path / "other.mp4").write_bytes(handmade.film())
    (path := tmp_path / "film.mp4").write_bytes(content)
    for source in (path, content):
        with pytest.raises(UnreadableFile, match=said) as raised:
            films.open_film(source)
        assert str(raised.value).startswith(str(path) if source == path else "the film")
        assert "\n" not in str(raised.value) and "; " in str(raised.value)


def test_places_where_no_film_is(tmp_path, monkeypatch):
    for path, said in ((tmp_path / "nope.mp4", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UnreadableFile, match=said):
            films.open_film(path)
    (path := tmp_path / "film.mp4").write_bytes(handmade.film())
    film = films.open_film(path)

    def full(*unused):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(film_decoding, "open", full, raising=False)
    with pytest.raises(AccessError, match="ulimit -n"):
        next(film.frames())


def test_frames_that_are_too_large_are_not_decoded(monkeypatch):
    monkeypatch.setattr(film_decoding, "MOST_PIXELS", 32 * 24 - 1)
    with pytest.raises(DataError, match="32x24 pixels, and 767 at most"):
        films.open_film(handmade.film())
