"""Films of a few small frames, made with PyAV."""

import io
import pathlib
import tempfile
from fractions import Fraction

import av
import numpy as np

RED, GREEN, BLUE, GREY = (200, 30, 60), (40, 180, 50), (30, 60, 190), (110, 110, 110)
TURNS = {  # display matrices, and what they do to [H, W, 3]
    "90 left": ((0, -1, 1, 0), lambda pixels: np.rot90(pixels, 1)),
    "180": ((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
    "90 right": ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, 3)),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda pixels: pixels.transpose(1, 0, 2)),
    "90 left, mirrored": ((0, -1, -1, 0), lambda pixels: np.fliplr(np.rot90(pixels, 1))),
}


def frames(count=8, size=(32, 24)):
    """Uint8 [count, H, W, 3]: four colours in the corners, and in the middle a square that becomes lighter."""
    width, height = size
    made = np.empty((count, height, width, 3), np.uint8)
    made[:, : height // 2, : width // 2], made[:, : height // 2, width // 2 :] = RED, GREEN
    made[:, height // 2 :, : width // 2], made[:, height // 2 :, width // 2 :] = BLUE, GREY
    middle = made[:, height // 3 : -(height // 3), width // 3 : -(width // 3)]
    middle[:] = np.linspace(0, 255, count, dtype=np.uint8)[:, None, None, None]
    return made


def film(
    pictures=None, *, kind="mp4", codec="libx264", pix_fmt="yuv420p", times=None, rate=25, turn=None, aspect=None,
    tags=None, quality=None, how=None, tick=Fraction(1, 12800),
) -> bytes:  # fmt: skip
    """A film of uint8 [N, H, W, 3] or [N, H, W].

    Args:
      times: of the frames, in seconds; else they are 1 / rate apart.
      turn: a, b, c, d of its display matrix.
      aspect: width of a pixel by its height.
      tags: (matrix, range), as FFmpeg numbers them, with which it is coded.
      quality, how: options of the codec, and of the container.
    """
    pictures = frames() if pictures is None else pictures
    with tempfile.NamedTemporaryFile() as file:  # of a name: an index at the front wants the file to be opened again
        with av.open(file.name, "w", format=kind, options=how or {}) as container:
            stream = container.add_stream(codec, rate=rate, options=quality or {"crf": "1", "g": "4"})
            stream.height, stream.width = pictures.shape[1:3]
            stream.pix_fmt, context = pix_fmt, stream.codec_context
            if times is not None:
                context.time_base = stream.time_base = tick
            if aspect:
                context.sample_aspect_ratio = aspect
            if tags:
                context.colorspace, context.color_range = tags
            if turn:
                a, b, c, d = (65536 * one for one in turn)
                stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
            container.start_encoding()
            for index, pixels in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                if tags:
                    frame = frame.reformat(format=pix_fmt, dst_colorspace=tags[0], dst_color_range=tags[1])
                if times is not None:
                    frame.pts, frame.time_base = round(times[index] / tick), tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return pathlib.Path(file.name).read_bytes()


def sound() -> bytes:
    """A film without pictures."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for _ in range(3):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def noise(count=12, size=(64, 48)):
    """Frames of which each takes many bytes: uint8 [count, H, W, 3]."""
    return np.random.default_rng(0).integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)
