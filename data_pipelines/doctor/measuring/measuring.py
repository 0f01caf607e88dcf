"""Looks into one picture and its label, and keeps what the checks want to know: small enough for 25,000 pairs."""

import dataclasses
import hashlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_pipelines.basics.errors import DataError
from data_pipelines.doctor.measuring import label_kinds
from data_pipelines.pictures import orientation, pixel_formats, wide_pixels
from data_pipelines.reading import class_histogram, loading
from data_pipelines.reading.examples import Example


@dataclasses.dataclass(frozen=True)
class PictureFacts:
    """Of a picture file. Without decoding there are no content, spread and transparency.

    Attributes:
      size: (width, height) as training reads it, None where the file cannot be read.
      problem: why it cannot be read, '' when it can.
      content: hash of the pixels.
      spread: standard deviation of the liveliest colour channel, of 0..255.
      mode: what its pixels are, as wide_pixels.mode.
      orientation: the EXIF tag, 1..8.
      turned: whether it is turned by that.
      frames: of an animation, or pages.
      transparent: whether there are transparent pixels.
    """

    size: tuple[int, int] | None
    problem: str = ""
    content: str = ""
    spread: float | None = None
    mode: str = ""
    orientation: int = orientation.UPRIGHT
    turned: bool = False
    frames: int = 1
    transparent: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class LabelFacts:
    """Of a label file. Without decoding there are size and problem only, and of lossy ones kind and refused.

    Attributes:
      size: (width, height), None where the file cannot be read.
      problem: why it cannot be read, '' when it can.
      kind: what its pixels are, see label_kinds.
      refused: why training would not take it, '' when it would.
      counts: int64 [20], pixels of each class and, last, of void, as training reads them; None for one that is refused.
      unknown_pixels: how many have a value outside the table, and are tolerated.
    """

    size: tuple[int, int] | None
    problem: str = ""
    kind: str = ""
    refused: str = ""
    counts: np.ndarray | None = None
    unknown_pixels: int = 0


class Facts(NamedTuple):
    """Of a pair; `label` is None where there is none."""

    image: PictureFacts
    label: LabelFacts | None
    decoded: bool


class Job(NamedTuple):
    """An example to measure; goes to other processes.

    Attributes:
      example: the pair.
      decode: whether to decode its pixels, or to look at headers alone.
      bit_depth: of the split.
    """

    example: Example
    decode: bool
    bit_depth: int = 0


def measure(job: Job) -> Facts:
    """Facts of an example: from headers alone, or with all pixels decoded."""
    example, decode, bit_depth = job
    image = picture_header(example, bit_depth)
    if decode and not image.problem:
        image = _decoded_picture(example, bit_depth, image)
    if example.label is None:
        return Facts(image, None, decode)
    return Facts(image, _decoded_label(example) if decode else label_header(example), decode)


def picture_header(example: Example, bit_depth: int) -> PictureFacts:
    """Facts of the picture from its header; one that is refused for its depth has a problem, and a size."""
    try:
        header = pixel_formats.header(example.image)
    except DataError as error:
        return PictureFacts(None, str(error))
    return PictureFacts(
        header.as_read(upright=example.upright),
        str(wide_pixels.refusal(example.image, header.mode)) if header.wide and not bit_depth else "",
        mode=header.mode,
        orientation=header.orientation,
        turned=example.upright and header.orientation != orientation.UPRIGHT,
        frames=header.frames,
        transparent=header.transparent,  # perhaps: its pixels tell
    )


def label_header(example: Example) -> LabelFacts:
    """Facts of the label from its header."""
    try:
        header = pixel_formats.header(example.label)
    except DataError as error:
        return LabelFacts(None, str(error))
    if header.lossy:
        return LabelFacts(
            header.size, "", label_kinds.LOSSY, str(pixel_formats.lossy_label(example.label, header.lossy))
        )
    return LabelFacts(header.size)


def _decoded_picture(example: Example, bit_depth: int, header: PictureFacts) -> PictureFacts:
    try:
        pixels = loading.decode_image(example, bit_depth)
        transparent = header.transparent and loading.is_transparent(example.image)
    except DataError as error:
        return dataclasses.replace(header, problem=str(error))
    content = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return dataclasses.replace(
        header, size=_size(pixels), content=content, spread=_spread(pixels), transparent=transparent
    )


def _spread(pixels: np.ndarray) -> float:
    """Largest standard deviation of the three channels, from their histograms: far faster than np.std."""
    counts = np.array(Image.fromarray(pixels).histogram(), np.float64).reshape(3, 256)
    shares, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256)
    mean = shares @ levels
    return float(np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0)).max())


def _decoded_label(example: Example) -> LabelFacts:
    header = label_header(example)
    if header.problem or header.refused:
        return header
    try:
        pixels = loading.decode(example.label)
    except DataError as error:
        return LabelFacts(None, str(error))
    size, kind = _size(pixels), label_kinds.of_pixels(pixels)
    try:
        train_ids, unknown_pixels = loading.train_ids_of(example.label, pixels, example.encoding)
    except DataError as error:
        return LabelFacts(size, "", kind, refused=str(error))
    return LabelFacts(size, "", kind, "", class_histogram.of_train_ids(train_ids), unknown_pixels)


def _size(pixels: np.ndarray) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[0]
