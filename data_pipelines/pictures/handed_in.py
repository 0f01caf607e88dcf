"""A picture that somebody hands in, a path, one of Pillow's, an array or bytes, as upright RGB, and its resizing.

What cannot be read is an UnreadableFile or another DataError; an AccessError says nothing of the picture.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.basics.errors import AccessError, DataError
from data_pipelines.pictures import pixel_formats

__all__ = ["FORMATS", "AccessError", "DataError", "is_picture", "resized", "upright", "upright_of_bytes"]

FORMATS, is_picture = pixel_formats.FORMATS, pixel_formats.is_known
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def resized(picture: Image.Image, size: tuple[int, int], resample: str) -> np.ndarray:
    """Pixels at `size` = (width, height), exactly as Pillow's Image.resize makes them."""
    same = picture.size == tuple(size)
    return np.asarray(picture if same else picture.resize(tuple(size), _RESAMPLING[resample], reducing_gap=None))


def upright(picture: str | os.PathLike | Image.Image | np.ndarray, bit_depth: int = 0) -> Image.Image:
    """A picture of any size and mode as RGB, turned by its EXIF orientation; of transparent pixels the colours beneath.

    Args:
      picture: a path; one of Pillow's, which stays as it is but for being loaded; or uint8 [H, W, 3] RGB.
      bit_depth: how many bits the values of a wide picture use, 0 refuses these; see wide_pixels.to_bytes.

    Raises:
      DataError: it is missing, damaged or empty, has more than 8 bits and nothing says how many, or is no picture.
    """
    if isinstance(picture, np.ndarray):
        return _of_array(picture)
    if isinstance(picture, Image.Image):
        return _of_pillow(picture, bit_depth)
    path = Path(picture).expanduser()
    with pixel_formats.opened(path) as file:
        found = pixel_formats.rgb(path, file, upright=True, bit_depth=bit_depth)
        found.load()  # Pillow puts that off, and the file is closed then
        return found


def upright_of_bytes(content: bytes, name: str, *, bit_depth: int = 0, most_pixels: int) -> Image.Image:
    """As upright, of the content of a picture's file that is in memory; nothing is decoded of one that is too large.

    Args:
      name: for messages; it is no path.

    Raises:
      DataError: as upright; or it has more pixels.
    """
    named = Path(name)
    with pixel_formats.opened(named, content) as file:
        if file.width * file.height > most_pixels:
            raise DataError(
                f"{name}: {file.width}x{file.height} pixels are more than {most_pixels / 1e6:.3g} million; hand in a "
                "smaller picture"
            )
        found = pixel_formats.rgb(named, file, upright=True, bit_depth=bit_depth, content=content)
        found.load()
        return found


def _of_array(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(
            f"a picture as an array is uint8 [height, width, 3] RGB, and this is {pixels.dtype} {list(pixels.shape)}; "
            "convert it, or hand in a path or one of Pillow's"
        )
    return Image.fromarray(pixels)


def _of_pillow(picture: Image.Image, bit_depth: int) -> Image.Image:
    if not min(picture.size):
        raise DataError(f"a picture of {picture.width}x{picture.height} pixels has none; hand in another")
    if _is_its_file(picture):
        return upright(picture.filename, bit_depth)
    name = Path(getattr(picture, "filename", "") or "the picture")
    with pixel_formats.telling(name):
        return pixel_formats.rgb(name, picture.copy(), upright=True, bit_depth=bit_depth)


def _is_its_file(picture: Image.Image) -> bool:
    """Whether it was opened from a file and not loaded yet: only there are all bits of a wide picture."""
    file = getattr(picture, "filename", "")
    unloaded = bool(getattr(picture, "tile", ())) and not picture.tell()
    return unloaded and picture.format in pixel_formats.FORMATS and bool(file) and os.path.isfile(file)
