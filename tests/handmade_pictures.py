"""Picture files made byte by byte: of kinds that Pillow does not write, and the same under every version of zlib."""

import struct
import zlib

import numpy as np
from PIL import Image

PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels to PNG's colour type


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(pixels, *, bits=None, before=b"", after=b""):
    """A PNG of uint8 or uint16 [H, W] or [H, W, C], uncompressed; `before` and `after` are chunks around the pixels."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels)
    length = struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF)
    stream = b"\x78\x01\x01" + length + rows + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, bits or 8 * pixels.itemsize, PNG_COLOURS[channels], 0, 0, 0)
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), before, chunk(b"IDAT", stream), after, chunk(b"IEND", b"")]
    )


def tiff16(pixels, *, order="<", planes=1, orientation=1):
    """An RGB TIFF of uint16 [H, W, 3], uncompressed."""
    height, width, channels = pixels.shape
    content = (pixels if planes == 1 else np.moveaxis(pixels, 2, 0)).astype(f"{order}u2").tobytes()
    strips = 1 if planes == 1 else channels
    bits_at = 8 + 2 + 12 * 10 + 4
    strips_at = bits_at + 2 * channels
    data_at = strips_at + 8 * strips
    each = len(content) // strips
    places = [data_at + each * i for i in range(strips)]
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits_at), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, strips, strips_at if strips > 1 else data_at), (274, 3, 1, orientation), (277, 3, 1, channels),
        (279, 4, strips, strips_at + 4 * strips if strips > 1 else each), (284, 3, 1, planes),
    ]  # fmt: skip
    made = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(f"{order}H2x" if kind == 3 and count == 1 else f"{order}I", value)
        made += struct.pack(f"{order}HHI", tag, kind, count) + packed
    made += struct.pack(f"{order}I{channels}H", 0, *[16] * channels)
    return made + struct.pack(f"{order}{2 * strips}I", *places, *[each] * strips) + content


def exif(orientation):
    """An EXIF block with this tag."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()
