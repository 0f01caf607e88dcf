"""Pictures of more than 8 bits per channel: recognised, read whole, and scaled to bytes.

Pillow keeps only the high byte of most of them and says nothing. Where a channel has two bytes, the low ones are read
as if the file were of the other byte order.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.basics.errors import DataError

BIT_DEPTHS = range(9, 17)  # that data.bit_depth may name; 0 refuses wide pictures
BIT_DEPTH_MEANS = f"0, or the {BIT_DEPTHS[0]} to {BIT_DEPTHS[-1]} bits that the values of 16-bit pictures use"
_GREY_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_COLOUR = ("RGB;16", "RGBA;16", "RGBX;16")  # rawmodes of both bytes, but for the order at their end
_BITS, _PHOTOMETRIC, _PLANES = 258, 262, 284  # tags of TIFF, and values of the last two
_WHITE_IS_ZERO, _ONE_AFTER_THE_OTHER = 0, 2

Reopen = Callable[[], AbstractContextManager[Image.Image]]


def rawmode(picture: Image.Image) -> str:
    """How the pixels lie in the file, as Pillow names it; '' where it does not say."""
    arguments = picture.tile[0].args if picture.tile else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def mode(picture: Image.Image) -> str:
    """The mode for people: that of the file where Pillow's own would hide the depth, e.g. 'RGB;16B'."""
    return rawmode(picture) if is_wide(picture) and picture.mode not in _GREY_MODES else picture.mode


def is_wide(picture: Image.Image) -> bool:
    """Whether a channel of a picture, not loaded yet, has more than 8 bits."""
    if picture.mode in _GREY_MODES:
        return True
    if picture.format == "TIFF":
        bits = picture.tag_v2.get(_BITS, 1)
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    return picture.format == "PNG" and rawmode(picture).endswith(";16B")


def refusal(path: Path, picture_mode: str) -> DataError:
    """The error for a wide picture where nothing says how to scale it."""
    return DataError(
        f"{path}: more than 8 bits per channel (mode {picture_mode}), and nothing says which value is white; say how "
        f"many bits the values use, {BIT_DEPTHS[0]} to {BIT_DEPTHS[-1]} (12 for most sensors, 16 for the whole range), "
        "with --config.data.bit_depth in run.py and --bit_depth in doctor and prepare, or save it with 8 bits"
    )


def to_bytes(path: Path, picture: Image.Image, reopen: Reopen, bit_depth: int) -> Image.Image:
    """A wide picture as Pillow turns it, without alpha, 0..2**bit_depth - 1 scaled to 0..255 and rounded.

    Args:
      path: for messages.
      picture: not loaded yet.
      reopen: opens the same file once more.
      bit_depth: 0 refuses every wide picture.

    Raises:
      DataError: nothing says how to scale it, it cannot be read whole, or a value needs more bits.
    """
    name = mode(picture)
    if not bit_depth:
        raise refusal(path, name)
    if picture.format == "TIFF" and picture.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise _unsupported(path, f"{name}, 0 is white")
    if picture.format == "TIFF" and picture.tag_v2.get(_PLANES) == _ONE_AFTER_THE_OTHER:
        raise _unsupported(path, f"{name}, plane after plane")
    return Image.fromarray(_scaled(path, _whole(path, picture, reopen, name), bit_depth))


def _whole(path: Path, picture: Image.Image, reopen: Reopen, name: str) -> np.ndarray:
    """All bits of a wide picture: [H, W] or [H, W, 3] of integers or floats."""
    if picture.mode in _GREY_MODES:
        return np.asarray(picture)
    raw = rawmode(picture)
    if raw == "LA;16B":  # PNG; its four bytes are as those of RGBA
        _read_as(picture, "RGBA")
        high, low = np.moveaxis(np.asarray(picture)[..., :2], -1, 0)
    elif raw[:-1] in _COLOUR and all(_rawmode_of(tile) == raw for tile in picture.tile):
        high = np.asarray(picture)[..., :3]
        with reopen() as again:
            _read_as(again, raw[:-1] + _OTHER_ORDER[raw[-1]])
            low = np.asarray(again)[..., :3]
    else:
        raise _unsupported(path, name)
    return (high.astype(np.uint16) << 8) | low


def _rawmode_of(tile) -> str:
    return tile.args[0] if isinstance(tile.args, tuple) else tile.args


def _read_as(picture: Image.Image, raw: str) -> None:
    """Lets Pillow take the file's bytes for those of another rawmode of the same size."""
    picture.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in picture.tile
    ]


def _scaled(path: Path, values: np.ndarray, bit_depth: int) -> np.ndarray:
    """uint8, rounded to the nearest."""
    largest = 2**bit_depth - 1
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= largest):  # of NaN as well
        raise DataError(
            f"{path}: its values are {low} to {high}, but {bit_depth} bits hold 0 to {largest}; set bit_depth to what "
            "the values use, up to 16, or save it with 8 bits"
        )
    if values.dtype.kind == "f":
        if high <= 1:
            raise DataError(f"{path}: its values are fractions, {low} to {high}, and no integers; save it with 8 bits")
        return np.rint(values.astype(np.float64) * 255 / largest).astype(np.uint8)
    # The largest value is odd, so that no half has to be rounded.
    return ((values.astype(np.uint32) * 255 + largest // 2) // largest).astype(np.uint8)


def _unsupported(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: more than 8 bits per channel in a way that cannot be read whole (mode {what}); save it as an RGB or "
        "grey PNG of 16 bits, or with 8 bits"
    )
