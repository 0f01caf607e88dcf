"""Looks into one picture and its label, and keeps what the checks want to know: small enough for 25,000 pairs."""

import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_pipelines import class_histogram, loading
from data_pipelines.doctor import label_kinds
from data_pipelines.errors import DataError
from data_pipelines.examples import Example


@dataclasses.dataclass(frozen=True)
class PictureFacts:
    """Of a picture file. Without decoding there are size and problem only.

    Attributes:
      size: (width, height), None where the file cannot be read.
      problem: why it cannot be read, '' when it can.
      content: hash of the pixels.
      spread: standard deviation of the liveliest colour channel, of 0..255.
    """

    size: tuple[int, int] | None
    problem: str = ""
    content: str = ""
    spread: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class LabelFacts:
    """Of a label file. Without decoding there are size and problem only.

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


def measure(job: tuple[Example, bool]) -> Facts:
    """Facts of an example: from headers alone, or with all pixels decoded."""
    example, decode = job
    picture, label = (_decoded_picture, _decoded_label) if decode else (_picture_header, _label_header)
    return Facts(picture(example.image), None if example.label is None else label(example), decode)


def _picture_header(path: Path) -> PictureFacts:
    try:
        return PictureFacts(loading.picture_size(path))
    except DataError as error:
        return PictureFacts(None, str(error))


def _label_header(example: Example) -> LabelFacts:
    header = _picture_header(example.label)
    return LabelFacts(header.size, header.problem)


def _decoded_picture(path: Path) -> PictureFacts:
    try:
        pixels = loading.decode(path, to_rgb=True)
    except DataError as error:
        return PictureFacts(None, str(error))
    content = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return PictureFacts(_size(pixels), "", content, _spread(pixels))


def _spread(pixels: np.ndarray) -> float:
    """Largest standard deviation of the three channels, from their histograms: far faster than np.std."""
    counts = np.array(Image.fromarray(pixels).histogram(), np.float64).reshape(3, 256)
    shares, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256)
    mean = shares @ levels
    return float(np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0)).max())


def _decoded_label(example: Example) -> LabelFacts:
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
