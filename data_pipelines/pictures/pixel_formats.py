"""What is inside a picture or label file: which kinds are read, how, and which are refused.

Everything here is about one open file of Pillow's; loading.py makes arrays of it.
"""

import contextlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import AccessError, DataError, UnreadableFile
from data_pipelines.pictures import orientation, wide_pixels

# What the layouts' suffixes stand for. Others are not tried: Pillow hands EPS files to a program, and some readers of
# rare formats raise whatever comes.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")

# What Pillow raises on missing, truncated and damaged files; the second row is of TIFF's directories.
_UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError),
    *(KeyError, IndexError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError),
)

_RESTORE = "restore the file or remove it with its pair"

_COMPRESSION = 259  # TIFF's tag, and what of it loses bits
_LOSSY_COMPRESSIONS = {6: "JPEG", 7: "JPEG", 34892: "JPEG", 34712: "JPEG 2000", 34887: "LERC", 50001: "WebP"}
_STRETCHED = ("L;2", "L;2I", "L;2R", "L;2IR", "L;4", "L;4I", "L;4R", "L;4IR")


class Header(NamedTuple):
    """What is known of a picture without decoding it.

    Attributes:
      size: (width, height) as stored.
      orientation: the EXIF tag, 1..8; 1 is upright.
      mode: as wide_pixels.mode.
      wide: whether a channel has more than 8 bits.
      transparent: whether there may be transparent pixels.
      frames: of an animation, or pages; 1 is a plain picture.
      lossy: what lossy compression it has, '' for none.
    """

    size: tuple[int, int]
    orientation: int
    mode: str
    wide: bool
    transparent: bool
    frames: int
    lossy: str

    def as_read(self, *, upright: bool) -> tuple[int, int]:
        """(width, height) of what is read."""
        return self.size[::-1] if upright and self.orientation > 4 else self.size


@contextlib.contextmanager
def opened(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """The file of a picture, open.

    Args:
      path: of the file; with `content` its name in messages alone.
      content: of a file that is in memory.

    Raises:
      UnreadableFile: it is missing or damaged, then or while it is decoded inside.
      AccessError: the process has come to a limit of its own.
    """
    advice = _RESTORE if content is None else "hand in another picture"
    with telling(path, advice), _open(path, content) as picture:
        yield picture


@contextlib.contextmanager
def telling(path: Path, advice: str = _RESTORE) -> Iterator[None]:
    """What Pillow raises inside at a missing or damaged file is one line that names it; errors as of opened."""
    try:
        yield
    except DataError:
        raise
    except _UNREADABLE as error:
        raise _unreadable(path, error, advice) from None


def _open(path: Path, content: bytes | None = None) -> Image.Image:
    try:
        picture = Image.open(path if content is None else io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        if content is None:
            raise
        raise UnidentifiedImageError(f"it is none of {', '.join(FORMATS)}") from None  # Pillow's names an object
    if orientation.turned_by_pillow(picture):
        # A file that has a name is mapped into memory, at the turned size: of grey pixels that are to be turned on
        # their side Pillow would then make something else.
        picture.filename = ""
    return picture


def is_known(content: bytes) -> bool:
    """Whether the content of a file is a picture of FORMATS, sound or not."""
    try:
        _open(Path(), content).close()
    except UnidentifiedImageError:
        return False
    except _UNREADABLE:
        return True
    return True


def stored_size(path: Path) -> tuple[int, int]:
    """(width, height) as stored: what header says, for a third of the time. Raises DataError when it cannot be read."""
    with opened(path) as picture:
        tag = orientation.of(picture) if orientation.turned_by_pillow(picture) else orientation.UPRIGHT
        return orientation.size(picture, tag, upright=False)


def header(path: Path) -> Header:
    """Of a file, from its header alone. Raises DataError when it cannot be read."""
    with opened(path) as picture:
        tag = orientation.of(picture)
        return Header(
            size=orientation.size(picture, tag, upright=False),
            orientation=tag,
            mode=wide_pixels.mode(picture),
            wide=wide_pixels.is_wide(picture),
            transparent=picture.has_transparency_data,
            # The second picture of an MPO, a phone's or a stereo camera's JPEG, is a preview or the other eye.
            frames=1 if picture.format == "MPO" else getattr(picture, "n_frames", 1),
            lossy=lossy(picture),
        )


def rgb(
    path: Path, picture: Image.Image, *, upright: bool, bit_depth: int, content: bytes | None = None
) -> Image.Image:
    """The RGB picture of 8 bits in an open file; of transparent pixels the colours beneath.

    Args:
      path: of the file.
      picture: not loaded yet.
      upright: whether to turn it by its EXIF orientation; else the pixels are as stored.
      bit_depth: of the values of a wide picture, see wide_pixels.to_bytes.
      content: as of opened.
    """
    tag = orientation.of(picture)  # before Pillow turns a TIFF, and forgets it
    is_upright = orientation.turned_by_pillow(picture)
    if wide_pixels.is_wide(picture):
        pixels = wide_pixels.to_bytes(path, picture, lambda: _open(path, content), bit_depth)
    else:
        picture.info.pop("transparency", None)  # which leaves the colours alone, but for a warning of Pillow's
        pixels = picture
    pixels = pixels if pixels.mode == "RGB" else pixels.convert("RGB")
    return orientation.turn(pixels, tag, is_upright=is_upright, upright=upright)


def stored(path: Path, picture: Image.Image) -> Image.Image:
    """The pixels of an open label file as they are stored: palette indices, not colours.

    Raises:
      DataError: they are not what was saved: lossy compression, or grey of fewer bits that Pillow stretches.
    """
    if refused := label_refusal(path, picture):
        raise refused
    tag = orientation.of(picture)
    picture.load()
    return orientation.turn(picture, tag, is_upright=orientation.turned_by_pillow(picture), upright=False)


def label_refusal(path: Path, picture: Image.Image) -> DataError | None:
    """Why the values of a label file are not those that were saved, None when they are."""
    if compression := lossy(picture):
        return lossy_label(path, compression)
    if wide_pixels.is_wide(picture) and wide_pixels.mode(picture) != picture.mode:
        return DataError(
            f"{path}: this label has more than 8 bits per channel (mode {wide_pixels.mode(picture)}), of which the "
            "high ones alone would be read; save it with 8 bits"
        )
    if (raw := wide_pixels.rawmode(picture)) in _STRETCHED:
        return DataError(
            f"{path}: this label stores {raw[2]} bits of grey per pixel, which are stretched to 0..255 when they are "
            "read; save it with 8 bits per pixel"
        )
    return None


def lossy_label(path: Path, compression: str) -> DataError:
    """The error for a label whose compression changes values."""
    return DataError(
        f"{path}: this label is compressed lossily ({compression}, whatever its name says), which makes other "
        "classes at every edge; take the original file, or label anew and save as PNG"
    )


def lossy(picture: Image.Image) -> str:
    """What lossy compression an open file has, '' for none."""
    if picture.format in ("JPEG", "MPO"):
        return "JPEG"
    if picture.format == "TIFF":
        return _LOSSY_COMPRESSIONS.get(picture.tag_v2.get(_COMPRESSION), "")
    return "lossy WebP" if picture.format == "WEBP" and _is_lossy_webp(picture) else ""


def _is_lossy_webp(picture: Image.Image) -> bool:
    """Whether the chunk of the first frame is VP8 and not VP8L."""
    file = picture.fp
    place = file.tell()
    file.seek(12)  # behind RIFF, its size, WEBP
    kind = b""
    while len(start := file.read(8)) == 8:
        kind, (size,) = start[:4], struct.unpack("<I", start[4:])
        if kind in (b"VP8 ", b"VP8L"):
            break
        # The chunks of a frame lie behind its place and size.
        file.seek(16 if kind == b"ANMF" else size + size % 2, 1)
    file.seek(place)
    return kind == b"VP8 "


def mark(path: Path, start: bytes, *, is_label: bool, upright: bool, bit_depth: int) -> str:
    """How a file is read where that is another way than in earlier versions, '' for all others; for fingerprints.

    Args:
      path: of the file.
      start: its first bytes, at least 32: most files need no second look.
      is_label: whether it is a label.
      upright: whether it is turned by its EXIF orientation.
      bit_depth: see wide_pixels.to_bytes.
    """
    tiff = start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    if is_label:
        suspicious = tiff or start[:2] == b"\xff\xd8" or start[8:12] == b"WEBP"
    else:
        suspicious = upright or tiff or (start[12:16] == b"IHDR" and start[24:25] == b"\x10")
    if not suspicious:
        return ""
    try:
        found = header(path)
    except UnreadableFile:  # told where it is read
        return ""
    if is_label:
        return " refused" if found.lossy else ""
    depth = (f" {bit_depth} bit" if bit_depth else " refused") if found.wide else ""
    turned = f" turned {found.orientation}" if upright and found.orientation != orientation.UPRIGHT else ""
    return depth + turned


def _unreadable(path: Path, error: Exception, restore: str) -> DataError:
    """The DataError for an exception of Pillow or the system at a file; `restore`: what to do about it."""
    if isinstance(error, OSError) and error.errno:
        reason, advice = data_files.explain(path, error, restore)
    else:
        reason, advice = " ".join(str(error).split()).replace(str(path), path.name) or type(error).__name__, restore
    line = f"{path}: cannot be read as a picture ({reason}); {advice}"
    # A process without memory or descriptors would leave out one sound picture after the other.
    return AccessError(line) if data_files.not_of_the_file(error) else UnreadableFile(line)
