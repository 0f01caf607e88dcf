"""A film's file as PyAV reads it, which is imported here and when a film is opened: containers, packets, frames."""

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import AccessError, UnreadableFile
from data_pipelines.pictures import film_ends, pixel_formats

# Containers that are read. Others are pictures, playlists, which name further files and addresses, or have no times.
_CONTAINERS = "mov,matroska,avi,mpegts,mpeg,asf,flv,ogg"
MOST_PIXELS = 2**26  # of a frame: 8192x8192
_BUFFER = 2**18  # bytes that are read at a time
_NO_INDEX = "it ends before its index, without which nothing in it is found"
RESTORE = "restore the file, or leave it out"

Source = str | os.PathLike | bytes | BinaryIO  # a path, a film's bytes, or a file of bytes that can be sought in


@dataclasses.dataclass
class Losses:
    """Whether a file is cut, and how many frames are damaged."""

    cut: bool = False
    damaged: int = 0

    def words(self) -> str:
        frames = f"{self.damaged} damaged frame{'s' * (self.damaged != 1)}" if self.damaged else ""
        return ", ".join(filter(None, [frames, "the file ends too early" if self.cut else ""]))


def decoded(container, stream, losses: Losses) -> Iterator:
    """PyAV's frames, with what is damaged or missing counted."""
    from av import FFmpegError

    for packet in _packets(container, stream, losses):
        try:
            frames = stream.codec_context.decode(packet)
        except EOFError:
            continue
        except FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            losses.damaged += 1
            continue
        for frame in frames:
            losses.damaged += bool(frame.is_corrupt)
            yield frame


def _packets(container, stream, losses: Losses) -> Iterator:
    """PyAV's packets up to the end, or to where nothing more can be read; then None, for what the decoder holds."""
    from av import FFmpegError

    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        losses.cut = True
    yield None


def seek(container, stream, seconds: Fraction) -> None:
    """To a key frame; where the file offers none, nothing is done."""
    from av import FFmpegError

    with contextlib.suppress(FFmpegError):
        container.seek(int(seconds / stream.time_base), stream=stream)


def pixels(frame, size: tuple[int, int]) -> np.ndarray:
    """Uint8 [H, W, 3] RGB of PyAV's frame, upright, of a size (width, height)."""
    on_side, flip_down, flip_along = turn(frame)
    width, height = size[::-1] if on_side else size
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height, dst_color_range="JPEG")
    pixels = pixels.transpose(1, 0, 2) if on_side else pixels
    return np.ascontiguousarray(pixels[:: -1 if flip_down else 1, :: -1 if flip_along else 1])


def turn(frame) -> tuple[bool, bool, bool]:
    """How a frame of PyAV's comes to stand upright: whether it is transposed, then flipped down, and along its rows.

    A point (x, y) is shown at (a x + c y, b x + d y), of the display matrix a, b, u, c, d, v, ...
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    a, b, _, c, d = map(int, np.frombuffer(bytes(matrix), np.int32)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, b < 0, c < 0
    return False, d < 0, a < 0


@contextlib.contextmanager
def opened(source: Source, name: str) -> Iterator[tuple]:
    """PyAV's container and the stream of pictures; errors as of telling."""
    import av

    with telling(name), bytes_of(source) as file:
        if not file.read(1):
            raise UnreadableFile(f"{name}: cannot be read as a film (it is empty); {RESTORE}")
        file.seek(0)
        try:
            container = av.open(file, options={"format_whitelist": _CONTAINERS}, buffer_size=_BUFFER)
        except av.FFmpegError as error:
            if isinstance(error, MemoryError | OSError):
                raise
            raise UnreadableFile(f"{name}: cannot be read as a film ({_no_film(file)}); {RESTORE}") from None
        with container:
            stream = container.streams.best("video")
            if stream is None and film_ends.is_cut(file):
                raise UnreadableFile(f"{name}: cannot be read as a film ({_NO_INDEX}); {RESTORE}")
            if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
                raise UnreadableFile(f"{name}: there are no pictures in this film, only sound or text; leave it out")
            yield container, _ready(stream, name)


@contextlib.contextmanager
def telling(name: str) -> Iterator[None]:
    """What PyAV and the system raise inside is one line that names the film.

    Raises:
      UnreadableFile: the film is missing or damaged.
      AccessError: the process has come to a limit of its own.
    """
    from av import FFmpegError

    try:
        yield
    except MemoryError:
        raise AccessError(f"{name}: there is no memory to read this film; free some") from None
    except FFmpegError as error:
        raise UnreadableFile(f"{name}: cannot be read as a film ({error.strerror}); {RESTORE}") from None
    except OSError as error:
        reason, advice = data_files.explain(Path(name), error, RESTORE)
        kind = AccessError if data_files.not_of_the_file(error) else UnreadableFile
        raise kind(f"{name}: cannot be read as a film ({reason}); {advice}") from None


def _no_film(file: BinaryIO) -> str:
    """What a file is that PyAV cannot open."""
    file.seek(0)
    with contextlib.suppress(Exception), Image.open(file, formats=pixel_formats.FORMATS) as picture:
        return f"it is a picture, {picture.format}"
    if film_ends.is_cut(file):
        return _NO_INDEX
    return "it is none of MP4, MOV, Matroska, WebM, AVI, MPEG, WMV, FLV and Ogg, or its index is damaged"


def _ready(stream, name: str):
    """A container's stream of pictures, to be decoded."""
    context = stream.codec_context
    if context is None:
        raise UnreadableFile(f"{name}: the film's pictures are coded in a way that PyAV does not know; convert it")
    if context.width * context.height > MOST_PIXELS:
        raise UnreadableFile(
            f"{name}: a frame has {context.width}x{context.height} pixels, and {MOST_PIXELS:,} at most are read; make "
            "the film smaller"
        )
    stream.thread_type = "SLICE"  # threads that take a frame each lose sound ones beside one that is damaged
    context.options = {"max_pixels": str(MOST_PIXELS)}
    return stream


@contextlib.contextmanager
def bytes_of(source: Source) -> Iterator[BinaryIO]:
    """A film's bytes from the first on. PyAV gets no path: it would take some for addresses. Raises OSError."""
    with contextlib.ExitStack() as stack:
        if isinstance(source, os.PathLike):
            file = stack.enter_context(open(source, "rb"))
        else:
            file = io.BytesIO(source) if isinstance(source, bytes) else source
        file.seek(0)
        yield file
