"""A film as upright RGB frames of 8 bits, one after the other, in memory for a few of them.

PyAV reads it, and is imported when a film is opened. What was decided:

- Frames lie upright: turned and mirrored as the film's display matrix says, to the nearest quarter turn.
- Pixels are those of the file: where they are not square, `pixel_aspect` says so and nothing is stretched.
- Colours come from range and matrix as the stream's tags say (untagged: limited range, BT.601), and of more than 8 bits
  the high ones; the curve of HDR films (PQ, HLG) is left as it is, so that they look pale.
- Fields of an interlaced film stay woven together. Frames of another size than the first are resized to it.
- Times are in seconds since the first frame, and grow from frame to frame whatever the file says.
- What is lost on the way is told (`Frames.lost`), as far as file and decoder notice it: a file that is cut gives its
  frames up to there, a damaged frame is given as the decoder mends it, or left out where it cannot. Those around
  it keep their times.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.basics.errors import AccessError, DataError, UnreadableFile
from data_pipelines.pictures import film_decoding, film_ends
from data_pipelines.pictures.film_decoding import RESTORE, Source

__all__ = ["AccessError", "DataError", "ENDINGS", "Film", "Frame", "Frames", "Source", "open_film"]

ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv",
           ".3gp", ".ogv")  # fmt: skip
_JUMP = 1  # seconds back in a film's times that are more than a fault of rounding: another recording follows


class Frame(NamedTuple):
    """One picture of a film.

    Attributes:
      time: exact seconds since the first frame.
      pixels: uint8 [H, W, 3] RGB, upright.
    """

    time: Fraction
    pixels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Film:
    """A film that can be read; nothing is open. Of a path it can be sent to another process.

    Attributes:
      source: where it is.
      name: for messages.
      size: (width, height) of its frames, upright.
      rate: frames a second, on average, None where it is unknown; frames need not be equally far apart.
      num_frames: as the file says or its length lets expect, None where it is unknown: for progress alone.
      seconds: its length as the file says, None where it does not.
      pixel_aspect: width of a pixel by its height, upright; 1 is square.
      tick: seconds that all its times are multiples of, but for those of broken files.
      start: of the first frame on the file's own clock, in seconds.
    """

    source: Source
    name: str
    size: tuple[int, int]
    rate: Fraction | None
    num_frames: int | None
    seconds: float | None
    pixel_aspect: Fraction
    tick: Fraction
    start: Fraction

    def frames(self) -> "Frames":
        """All frames, from the first on. Opens the film anew: of a source that is an open file, one at a time."""
        return Frames(self)

    def at(self, seconds: float | Fraction) -> Frame:
        """The frame that is shown at a time, the first one before 0 and the last one after the end.

        Costs as much as decoding from the key frame before: of most films some 10 to 250 frames.

        Raises:
          DataError: there is nothing to be read.
        """
        wanted = Fraction(seconds)
        return self._last_until(wanted, sought=True) or self._last_until(wanted, sought=False) or next(self.frames())

    def times(self) -> list[Fraction]:
        """Of all frames, in order, without decoding them: for at(times[index]). Costs as much as reading the file.

        Frames that are damaged are among them. Raises DataError where the file cannot be read.
        """
        with film_decoding.opened(self.source, self.name) as (container, stream):
            stamps = [packet.pts if packet.pts is not None else packet.dts for packet in container.demux(stream)]
            times = {stamp * stream.time_base - self.start for stamp in stamps if stamp is not None}
        return sorted(time for time in times if time >= 0)  # earlier ones an edit list leaves out

    def _last_until(self, wanted: Fraction, *, sought: bool) -> Frame | None:
        """The last frame that is no later, None where there is none behind the place that was sought."""
        found = None
        with contextlib.closing(Frames(self, wanted if sought else None)) as frames:
            for frame in frames:
                if frame.time > wanted:
                    return found
                found = frame
        return found


class Frames(Iterator[Frame]):
    """The frames of a film, in order; close() it, or read it to its end.

    Args:
      film: whose.
      near: seconds; from a key frame that should be no later. None for all frames.

    Raises:
      DataError: from next(), where the file is gone or the disk fails; AccessError where the process is at a limit.
    """

    def __init__(self, film: Film, near: Fraction | None = None):
        self._losses = film_decoding.Losses()
        self._frames = self._read(film, near)

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Lets go of the file."""
        self._frames.close()

    @property
    def lost(self) -> str:
        """What was lost so far, in words, '' for nothing; all of it is known at the end."""
        return self._losses.words()

    def _read(self, film: Film, near: Fraction | None) -> Iterator[Frame]:
        with film_decoding.telling(film.name), film_decoding.bytes_of(film.source) as file:
            self._losses.cut = film_ends.is_cut(file)
        with film_decoding.opened(film.source, film.name) as (container, stream):
            clock = _Clock(film)
            if near is not None:
                film_decoding.seek(container, stream, near + film.start)
            for frame in film_decoding.decoded(container, stream, self._losses):
                yield Frame(clock.time(frame), film_decoding.pixels(frame, film.size))


def open_film(source: Source, name: str = "") -> Film:
    """What a film is; its first frame is decoded for that, so that there is one.

    Args:
      source: a path; the bytes of a film; or an open file of bytes that can be sought in, which stays open and must not
        be used elsewhere while frames are read.
      name: for messages; the path where nothing is said.

    Raises:
      UnreadableFile: it is missing, no film, or there are no pictures in it, or too large ones.
      AccessError: the process has come to a limit of its own.
    """
    is_path = isinstance(source, str | os.PathLike)
    source = Path(source).expanduser() if is_path else source
    name = name or (str(source) if is_path else "the film")
    with film_decoding.opened(source, name) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate
        seconds = _seconds(container, stream)
        num_frames = stream.frames or (round(seconds * rate) if seconds and rate else None)
        frame = next(film_decoding.decoded(container, stream, film_decoding.Losses()), None)
        if frame is None:
            raise UnreadableFile(f"{name}: not one frame of this film can be decoded; {RESTORE}")
        on_side = film_decoding.turn(frame)[0]
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return Film(
            source, name, (frame.height, frame.width) if on_side else (frame.width, frame.height), rate,
            num_frames or None, float(seconds) if seconds else None, 1 / aspect if on_side else aspect,
            stream.time_base, (_stamp(frame) or 0) * stream.time_base,
        )  # fmt: skip


class _Clock:
    """Times of frames in seconds since the first, that grow."""

    def __init__(self, film: Film):
        self._tick, self._shift, self._last = film.tick, -film.start, None
        self._step = 1 / film.rate if film.rate else film.tick

    def time(self, frame) -> Fraction:
        """Of PyAV's next frame."""
        last, stamp = self._last, _stamp(frame)
        if stamp is None:
            time = Fraction(0) if last is None else last + self._step
        else:
            time = stamp * self._tick + self._shift
            if last is not None and time <= last:
                follows = last + (self._step if last - time > _JUMP else self._tick)
                self._shift += follows - time if last - time > _JUMP else 0
                time = follows
        self._last = time
        return time


def _stamp(frame) -> int | None:
    """Of a frame of PyAV's, in ticks; None where the file tells none."""
    return frame.pts if frame.pts is not None else frame.dts


def _seconds(container, stream) -> Fraction | None:
    """How long a film says it is."""
    if stream.duration:
        return stream.duration * stream.time_base
    return Fraction(container.duration, 1_000_000) if container.duration else None
