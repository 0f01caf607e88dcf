"""Whether a film's file ends before it says that it does: what was copied or recorded in part.

PyAV reads such a file up to its end and says nothing. The outermost boxes of MP4, Matroska and AVI have their lengths,
MPEG-TS has packets of one; other kinds, and recordings that were never given a length, tell nothing.
"""

import os
import struct
from collections.abc import Callable
from typing import BinaryIO

_MP4 = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")  # what an MP4 or MOV begins with
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
_TS_PACKET, _TS_SYNC = 188, 0x47
_MOST_BOXES = 1_000_000  # of a file that holds one fragment after another; so many are looked at


def is_cut(file: BinaryIO) -> bool:
    """Of a file that can be sought in; it is left somewhere. Raises OSError."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(2 * _TS_PACKET)
    if start[4:8] in _MP4:
        return _last_end(file, length, _mp4_box) > length
    if start.startswith(_EBML):
        return _segment_end(start) > length
    if start.startswith(b"RIFF"):
        return _last_end(file, length, _riff_box) > length
    is_ts = len(start) == 2 * _TS_PACKET and start[0] == start[_TS_PACKET] == _TS_SYNC
    return is_ts and length % _TS_PACKET != 0


def _last_end(file: BinaryIO, length: int, size_of: Callable[[bytes], int]) -> int:
    """Where the last box of a file says that it ends; a box without a length ends with the file."""
    place = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        size = size_of(file.read(16)) if place < length else 0
        if size <= 0:
            break
        place += size
    return place


def _mp4_box(start: bytes) -> int:
    """Its length in bytes, 0 where it has none. Of a header that is cut itself, one that reaches beyond the end."""
    if len(start) < 8:
        return len(start) + 1
    (size,) = struct.unpack_from(">I", start)
    if size == 1:
        return struct.unpack_from(">Q", start, 8)[0] if len(start) == 16 else len(start) + 1
    return size if size >= 8 else 0


def _riff_box(start: bytes) -> int:
    """As _mp4_box, of an AVI's RIFF chunks; what follows them is not counted."""
    if start[:4] != b"RIFF" or len(start) < 8:
        return 0
    (size,) = struct.unpack_from("<I", start, 4)
    return 8 + size + size % 2 if size not in (0, 0xFFFFFFFF) else 0


def _segment_end(start: bytes) -> int:
    """Where the segment of a Matroska file ends, behind the first element; 0 where it is not known."""
    place = 0
    for wanted in (_EBML, _SEGMENT):
        if not start[place:].startswith(wanted) or place + 5 > len(start) or not start[place + 4]:
            return 0
        first = start[place + 4]
        width = 9 - first.bit_length()  # bytes of the length: one more than the zeros that it begins with
        data = start[place + 4 : place + 4 + width]
        size = int.from_bytes(data) & ((1 << 7 * width) - 1)
        if size == (1 << 7 * width) - 1:  # all ones: a live recording
            return 0
        place += 4 + width + size
    return place
