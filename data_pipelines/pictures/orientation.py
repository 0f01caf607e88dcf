"""The EXIF orientation of a picture: how the pixels of its file must be turned to stand upright.

The tag is looked for where cameras and programs put it: in the EXIF block of JPEG, WebP and PNG (before its pixels or
after them), in the directory of TIFF. A block that is broken says nothing.
"""

import struct
import zlib

from PIL import Image

UPRIGHT = 1  # the tag's value of pixels that need no turn
_TAG = 0x0112
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The way back; what is not here is its own.
_BACK = _TURN | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
_EXIF = b"Exif\0\0"
_FORMATS = {1: "B", 3: "H", 4: "I"}  # of a value in a directory, by its type
# So much of a PNG's end is searched for a block after the pixels; a JPEG's cannot be larger either.
_TAIL_BYTES = 66_000


def of(picture: Image.Image) -> int:
    """The tag's value, 1..8, of a picture whose pixels have not been loaded; 1 where there is none."""
    if picture.format == "TIFF":
        return _valid(picture.tag_v2.get(_TAG))
    block = picture.info.get("exif") or _as_text(picture.info.get("Raw profile type exif"))
    if not block and picture.format == "PNG":
        block = _after_the_pixels(picture)
    return _in_block(block or b"")


def size(picture: Image.Image, tag: int, *, upright: bool) -> tuple[int, int]:
    """(width, height) of a picture, upright or as stored."""
    turned = tag > 4 and (upright is not turned_by_pillow(picture))
    return picture.size[::-1] if turned else picture.size


def turned_by_pillow(picture: Image.Image) -> bool:
    """Whether Pillow turns the pixels by itself, as it does those of TIFF."""
    return picture.format == "TIFF"


def turn(pixels: Image.Image, tag: int, *, is_upright: bool, upright: bool) -> Image.Image:
    """Pixels that are upright or as stored, as they are wanted."""
    if is_upright == upright or tag == UPRIGHT:
        return pixels
    return pixels.transpose((_TURN if upright else _BACK)[tag])


def _valid(value: object) -> int:
    return value if isinstance(value, int) and value in _TURN else UPRIGHT


def _as_text(profile: object) -> bytes:
    """The block that ImageMagick and others write as hexadecimal text: a name, a length, digits."""
    try:
        return bytes.fromhex("".join(str(profile or "").split("\n")[3:]))
    except ValueError:
        return b""


def _after_the_pixels(picture: Image.Image) -> bytes:
    """The EXIF block of a PNG whose writer put it behind the pixels; Pillow would decode these to find it."""
    file = picture.fp
    place = file.tell()  # from where Pillow goes on
    start = max(0, file.seek(0, 2) - _TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    file.seek(place)
    at = tail.rfind(b"eXIf")
    if at < 4:
        return b""
    (length,) = struct.unpack_from(">I", tail, at - 4)
    chunk, check = tail[at : at + 4 + length], tail[at + 4 + length : at + 8 + length]
    return chunk[4:] if check == struct.pack(">I", zlib.crc32(chunk)) else b""


def _in_block(block: bytes) -> int:
    """The tag's value in the first directory of an EXIF block, 1 where it is broken."""
    while block.startswith(_EXIF):
        block = block[len(_EXIF) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if not order:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", block, entry)
            if tag == _TAG:
                return _valid(struct.unpack_from(order + _FORMATS[kind], block, entry + 8)[0])
    except (struct.error, KeyError):
        pass
    return UPRIGHT
