"""Decoding and whole-picture resizing through Pillow.

Everything that opens a picture is here. TensorFlow's decoders and tf.image.resize give other values than the
paper's Pillow (bicubic differs by up to 5 levels), so the tf.data pipeline calls these functions too.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_pipelines import data_files, label_spaces
from data_pipelines.errors import AccessError, DataError, UnreadableFile
from data_pipelines.examples import Example

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

# What the layouts' suffixes stand for. Others are not tried: Pillow hands EPS files to a program, and some readers of
# rare formats raise whatever comes.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")

# What Pillow raises on missing, truncated and damaged files.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class LoadedExample(NamedTuple):
    """A decoded example.

    Attributes:
      image: uint8 [h, w, 3] RGB.
      label: uint8 [H, W] train ids with 255 = ignore, None for an unlabelled example.
      unknown_pixels: pixels of the label file whose value is outside its table; they are 255 in `label`.
    """

    image: np.ndarray
    label: np.ndarray | None
    unknown_pixels: int


def resize(array: np.ndarray, size: tuple[int, int], resample: str) -> np.ndarray:
    """Resizes uint8 [H, W] or [H, W, 3] to `size` = (width, height) exactly as Pillow's Image.resize does."""
    if (array.shape[1], array.shape[0]) == tuple(size):
        return array
    return np.asarray(Image.fromarray(array).resize(tuple(size), RESAMPLING[resample], reducing_gap=None))


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header alone. Raises DataError when it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return picture.size
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def load_example(
    example: Example,
    image_size: tuple[int, int],
    label_size: tuple[int, int] | None,
    resample: str = "bicubic",
) -> LoadedExample:
    """Decodes and resizes a picture and its label, the label by nearest neighbour.

    Args:
      example: what to load; its label is passed over when it has none.
      image_size: (width, height) of the returned picture.
      label_size: (width, height) of the returned label; None leaves its native size.
      resample: 'bicubic' or 'bilinear', for the picture.

    Raises:
      UnreadableFile: a file is missing or damaged, or the sizes of picture and label differ.
      DataError: wrong values in the label.
    """
    image, native_size = _load_image(example.image, image_size, resample)
    label, unknown_pixels = None, 0
    if example.label is not None:
        label, unknown_pixels = load_label(example.label, example.encoding)
        if native_size != label.shape[1::-1]:
            raise sizes_differ(example, native_size, label.shape[1::-1])
        label = label if label_size is None else resize(label, label_size, "nearest")
    return LoadedExample(image, label, unknown_pixels)


def _load_image(path: Path, size: tuple[int, int], resample: str) -> tuple[np.ndarray, tuple[int, int]]:
    """RGB uint8 [h, w, 3] at a (width, height), and the native one; the big picture never becomes an array."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            native_size = picture.size
            rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
            same = native_size == tuple(size)
            return np.asarray(rgb if same else rgb.resize(tuple(size), RESAMPLING[resample])), native_size
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def load_label(path: Path, encoding: label_spaces.LabelEncoding) -> tuple[np.ndarray, int]:
    """Reads a label file at its native size.

    Returns:
      train ids uint8 [H, W] with 255 = ignore, and how many pixels are outside the encoding's table.

    Raises:
      UnreadableFile: a missing or damaged file.
      DataError: not a label, or more pixels outside the table than the encoding tolerates.
    """
    return train_ids_of(path, decode(path), encoding)


def train_ids_of(path: Path, pixels: np.ndarray, encoding: label_spaces.LabelEncoding) -> tuple[np.ndarray, int]:
    """As load_label, of a label file that `decode` has read."""
    if pixels.ndim == 3 and pixels.shape[2] >= 3 and encoding.allows_colours:
        train_ids, known = label_spaces.train_ids_from_colours(pixels)
    elif pixels.ndim == 2 and pixels.dtype == np.uint8:
        train_ids, known = encoding.to_train_id[pixels], encoding.known[pixels]
    else:
        kind = "this is an RGB-coloured label" if pixels.ndim == 3 else f"its pixels are {pixels.dtype}"
        raise DataError(f"{path}: expected one byte per pixel with {encoding.name}, but {kind}; use the id file")
    unknown_pixels = known.size - int(np.count_nonzero(known))
    if unknown_pixels > encoding.max_unknown * known.size:
        raise _wrong_values(path, encoding, pixels[~known], unknown_pixels / known.size)
    return train_ids, unknown_pixels


def decode(path: Path, to_rgb: bool = False) -> np.ndarray:
    """All pixels of a file: RGB uint8 [H, W, 3] when asked, else as stored (palette indices, not colours).

    Raises:
      UnreadableFile: the file cannot be read.
    """
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return np.asarray(picture.convert("RGB") if to_rgb else picture)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def sizes_differ(example: Example, image_size: tuple[int, int], label_size: tuple[int, int]) -> UnreadableFile:
    """The error for a pair whose (width, height) differ."""
    return UnreadableFile(
        f"{example.label}: this label is {label_size[0]}x{label_size[1]} (width x height) but "
        f"{example.image} is {image_size[0]}x{image_size[1]}; restore the pair or remove both"
    )


def _unreadable(path: Path, error: Exception) -> DataError:
    """The error for a file of which Pillow or the system has raised another one."""
    restore = "restore the file or remove it with its pair"
    if isinstance(error, OSError) and error.errno:
        reason, advice = data_files.explain(path, error, restore)
    else:
        reason, advice = " ".join(str(error).split()).replace(str(path), path.name) or type(error).__name__, restore
    line = f"{path}: cannot be read as a picture ({reason}); {advice}"
    # A process without memory or descriptors would leave out one sound picture after the other.
    return AccessError(line) if data_files.not_of_the_file(error) else UnreadableFile(line)


def _wrong_values(path: Path, encoding: label_spaces.LabelEncoding, values: np.ndarray, share: float) -> DataError:
    """The error for a label with values outside its table, with a hint where the mistake is recognisable."""
    distinct = np.unique(values, axis=0)
    shown = ", ".join(str(v) for v in distinct[:8].tolist()) + ", ..." * (len(distinct) > 8)
    hint = "check that this is the right label file"
    if encoding is label_spaces.TRAIN_IDS and label_spaces.LABEL_IDS.known[distinct].all():
        hint = "these look like labelIds: convert them with cityscapesscripts' createTrainIdLabelImgs"
    tolerated = f", {encoding.max_unknown:.0%} are tolerated" if encoding.max_unknown else ""
    return DataError(f"{path}: values {shown} are no {encoding.name} ({share:.1%} of the pixels{tolerated}); {hint}")
