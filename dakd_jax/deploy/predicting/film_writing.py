"""Writing a film: H.264 to look at, FFV1 for numbers that must come back as they were. PyAV is imported here.

The time stamps are those that are handed in: exact in MP4, to the millisecond in Matroska. There is no sound, and no
flag of a rotation: what is handed in lies upright.
"""

import contextlib
import pathlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from dakd_jax.basics.errors import UserError

PICTURES, NUMBERS = "mp4", "mkv"  # endings; the first loses bits, the second none
_FORMAT = {PICTURES: "mp4", NUMBERS: "matroska"}
_CODEC = {PICTURES: "libx264", NUMBERS: "ffv1"}
# Of H.264: hard to tell from the original, and not slower than a network. Of FFV1: each frame by itself, and checksums.
_HOW = {PICTURES: {"crf": "18", "preset": "superfast"}, NUMBERS: {"level": "3", "slicecrc": "1", "g": "1"}}
_MOST = 16384  # pixels each way that the encoder of H.264 takes
_FINEST = Fraction(1, 1_000_000)  # seconds; the fields of MP4 for times are too short for finer ones
_BT709, _LIMITED = 1, 1
_USUAL_RATE = Fraction(25)


class Timing(NamedTuple):
    """How a film is shown.

    Attributes:
      tick: seconds that its time stamps are multiples of.
      rate: frames a second, on average, None where it is unknown.
      pixel_aspect: width of a pixel by its height.
    """

    tick: Fraction
    rate: Fraction | None
    pixel_aspect: Fraction = Fraction(1)


class TooLargeForFilm(UserError):
    """Frames have more pixels each way than H.264 holds."""


class FilmWriter:
    """A film that is being written; finish() it, or discard() what there is.

    A frame of an odd width or height gets its last column or row twice in H.264, which knows even sizes alone.

    Raises:
      OSError: from each method but discard, where the file cannot be written.
      TooLargeForFilm: from write.
    """

    def __init__(self, path: pathlib.Path, ending: str, timing: Timing):
        import av

        self._ending, self._timing, self._stream, self._last = ending, timing, None, -1
        self._tick, self._rate = max(timing.tick, _FINEST), timing.rate or _USUAL_RATE
        self._file = _File(path)
        self._container = av.open(self._file, "w", format=_FORMAT[ending])

    def write(self, time: Fraction, pixels: np.ndarray) -> None:
        """Adds a frame.

        Args:
          time: seconds, later than that of the frame before.
          pixels: uint8, [H, W, 3] RGB in a film of pictures, [H, W] in one of numbers; all of one size.
        """
        import av

        if self._ending == PICTURES:
            pixels = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        self._stream = self._stream or self._make_stream(pixels.shape[1], pixels.shape[0])
        if self._ending == PICTURES:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)
        else:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="gray")
        self._last = max(round(time / self._tick), self._last + 1)
        frame.time_base, frame.pts = self._tick, self._last
        self._mux(frame)

    def finish(self) -> None:
        """Writes what is left, and closes the file."""
        if self._stream:
            self._mux(None)
        self._container.close()
        self._file.finish()

    def discard(self) -> None:
        """Closes the file, in whatever state it is."""
        self._file.discard()
        with contextlib.suppress(OSError, ValueError):
            self._container.close()

    def _make_stream(self, width: int, height: int):
        if self._ending == PICTURES and max(width, height) > _MOST:
            raise TooLargeForFilm(f"a film of {width}x{height} pixels cannot be written, H.264 takes {_MOST} each way")
        stream = self._container.add_stream(_CODEC[self._ending], rate=self._rate, options=_HOW[self._ending])
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if self._ending == PICTURES else "gray"
        context = stream.codec_context
        context.time_base = stream.time_base = self._tick
        if self._ending == PICTURES:
            context.sample_aspect_ratio = self._timing.pixel_aspect
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
        return stream

    def _mux(self, frame) -> None:
        self._container.mux(self._stream.encode(frame))
        self._file.raise_what_failed()


class FilmAnswers:
    """Films of several kinds that are written together; a context manager, which finishes them at a clean end.

    Args:
      paths: {kind: file}.
      ending: PICTURES or NUMBERS, of a kind.

    Attributes:
      lost: what could not be read of the film that they answer, to be set before the end.
    """

    def __init__(self, paths: Mapping[str, pathlib.Path], ending: Callable[[str], str], timing: Timing):
        self.lost = ""
        self._films: dict[str, FilmWriter] = {}
        for kind, path in paths.items():
            self._films[kind] = FilmWriter(path, ending(kind), timing)

    def write(self, time: Fraction, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds a frame to each kind; as FilmWriter.write."""
        for kind, film in self._films.items():
            film.write(time, arrays[kind])

    def __enter__(self) -> "FilmAnswers":
        return self

    def __exit__(self, kind, *unused) -> None:
        try:
            for film in self._films.values() if kind is None else ():
                film.finish()
        finally:
            for film in self._films.values():
                film.discard()


class _File:
    """A file that PyAV writes to. It keeps errors for later: some that PyAV meets on its way it prints, and goes on."""

    def __init__(self, path: pathlib.Path):
        self._path, self._file, self._failed = path, path.open("wb"), None
        self.tell = self._file.tell

    def write(self, content: bytes) -> int:
        self._unless_failed(self._file.write, content)
        return len(content)

    def seek(self, *place: int) -> int:
        self._unless_failed(self._file.seek, *place)
        return self.tell()

    def raise_what_failed(self) -> None:
        """Raises OSError with the file's name."""
        if self._failed:
            raise OSError(self._failed.errno, self._failed.strerror, str(self._path)) from self._failed

    def finish(self) -> None:
        """Writes what is left, and closes the file; raises as raise_what_failed."""
        self._unless_failed(self._file.close)
        self.raise_what_failed()

    def discard(self) -> None:
        """Closes the file, whatever is in it."""
        self._failed = self._failed or OSError()
        with contextlib.suppress(OSError):
            self._file.close()

    def _unless_failed(self, do: Callable, *what) -> None:
        try:
            if not self._failed:
                do(*what)
        except OSError as error:
            self._failed = error
