"""Decoding and whole-picture resizing through Pillow.

Everything that opens a picture is here; what is done with what is inside is pixel_formats.py. TensorFlow's decoders and
tf.image.resize give other values than the paper's Pillow (bicubic differs by up to 5 levels), so the tf.data pipeline
calls these functions too.

Pictures without a label are turned upright by their EXIF orientation. Those with one are read as stored, since labels
of a released dataset fit the stored pixels.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_pipelines.basics.errors import DataError, UnreadableFile
from data_pipelines.pictures import handed_in, pixel_formats, wide_pixels
from data_pipelines.reading import label_spaces
from data_pipelines.reading.examples import Example


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
    return handed_in.resized(Image.fromarray(array), size, resample)


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) as stored, from the file's header alone. Raises DataError when it cannot be read."""
    return pixel_formats.stored_size(path)


def image_size(example: Example) -> tuple[int, int]:
    """(width, height) of an example's picture as it is read, from a header. Raises DataError when it cannot be read."""
    return pixel_formats.header(example.image).as_read(upright=example.upright)


def load_example(
    example: Example,
    image_size: tuple[int, int],
    label_size: tuple[int, int] | None,
    resample: str = "bicubic",
    labelled: bool = True,
    bit_depth: int = 0,
) -> LoadedExample:
    """Decodes and resizes a picture and its label, the label by nearest neighbour.

    Args:
      example: what to load; its label is passed over when it has none.
      image_size: (width, height) of the returned picture.
      label_size: (width, height) of the returned label; None leaves its native size.
      resample: 'bicubic' or 'bilinear', for the picture.
      labelled: False passes over the label.
      bit_depth: how many bits the values of wide pictures use, 0 refuses these; see wide_pixels.py.

    Raises:
      UnreadableFile: a file is missing or damaged, or the sizes of picture and label differ.
      DataError: wrong values in the label, or pixels that would be misread.
    """
    image, native_size = _load_image(example.image, image_size, resample, example.upright, bit_depth)
    label, unknown_pixels = None, 0
    if labelled and example.label is not None:
        label, unknown_pixels = load_label(example.label, example.encoding)
        if native_size != label.shape[1::-1]:
            raise sizes_differ(example, native_size, label.shape[1::-1])
        label = label if label_size is None else resize(label, label_size, "nearest")
    return LoadedExample(image, label, unknown_pixels)


def _load_image(
    path: Path, size: tuple[int, int], resample: str, upright: bool = False, bit_depth: int = 0
) -> tuple[np.ndarray, tuple[int, int]]:
    """RGB uint8 [h, w, 3] at a (width, height), and the native one; the big picture never becomes an array."""
    with pixel_formats.opened(path) as picture:
        rgb = pixel_formats.rgb(path, picture, upright=upright, bit_depth=bit_depth)
        return handed_in.resized(rgb, size, resample), rgb.size


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
        kind = f"its pixels are {pixels.dtype}"
        if pixels.ndim == 3:
            kind = "this is an RGB-coloured label" if pixels.shape[2] >= 3 else "its pixels are grey and alpha"
        raise DataError(f"{path}: expected one byte per pixel with {encoding.name}, but {kind}; use the id file")
    unknown_pixels = known.size - int(np.count_nonzero(known))
    if unknown_pixels > encoding.max_unknown * known.size:
        raise _wrong_values(path, encoding, pixels[~known], unknown_pixels / known.size)
    return train_ids, unknown_pixels


def decode_image(example: Example, bit_depth: int = 0) -> np.ndarray:
    """RGB uint8 [H, W, 3] of an example's picture at native size, as load_example reads it, and with its errors."""
    return decode(example.image, to_rgb=True, upright=example.upright, bit_depth=bit_depth)


def decode(path: Path, to_rgb: bool = False, *, upright: bool = False, bit_depth: int = 0) -> np.ndarray:
    """All pixels of a file: RGB uint8 [H, W, 3] when asked, else of a label, as stored (palette indices, not colours).

    Args:
      path: the file.
      to_rgb: whether it is a picture.
      upright, bit_depth: of a picture, see pixel_formats.rgb.

    Raises:
      UnreadableFile: the file cannot be read.
      DataError: its pixels would be misread.
    """
    with pixel_formats.opened(path) as picture:
        if to_rgb:
            return np.asarray(pixel_formats.rgb(path, picture, upright=upright, bit_depth=bit_depth))
        return np.asarray(pixel_formats.stored(path, picture))


def is_transparent(path: Path) -> bool:
    """Whether a picture has pixels that are not opaque; of more than 8 bits none is. Raises DataError."""
    with pixel_formats.opened(path) as picture:
        if wide_pixels.is_wide(picture):
            return False
        return picture.convert("RGBA").getextrema()[3][0] < 255


def sizes_differ(example: Example, image_size: tuple[int, int], label_size: tuple[int, int]) -> UnreadableFile:
    """The error for a pair whose (width, height) differ."""
    return UnreadableFile(
        f"{example.label}: this label is {label_size[0]}x{label_size[1]} (width x height) but "
        f"{example.image} is {image_size[0]}x{image_size[1]}; restore the pair or remove both"
    )


def _wrong_values(path: Path, encoding: label_spaces.LabelEncoding, values: np.ndarray, share: float) -> DataError:
    """The error for a label with values outside its table, with a hint where the mistake is recognisable."""
    distinct = np.unique(values, axis=0)
    shown = ", ".join(str(v) for v in distinct[:8].tolist()) + ", ..." * (len(distinct) > 8)
    hint = "check that this is the right label file"
    if encoding.of_train_ids and label_spaces.LABEL_IDS.known[distinct].all():
        hint = "these look like labelIds: convert them with cityscapesscripts' createTrainIdLabelImgs"
    tolerated = f", {encoding.max_unknown:.0%} are tolerated" if encoding.max_unknown else ""
    return DataError(f"{path}: values {shown} are no {encoding.name} ({share:.1%} of the pixels{tolerated}); {hint}")
