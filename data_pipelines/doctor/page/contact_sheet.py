"""A few pictures of a split beside their coloured labels: what is suspicious first, then a seeded sample."""

import dataclasses
import io
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image

from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import LAYOUTS
from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import Finding
from data_pipelines.reading import label_spaces, loading
from data_pipelines.reading.examples import Example
from data_pipelines.reading.loading import resize

PER_SPLIT, SUSPICIOUS = 8, 4
WIDTH = 280  # of a thumbnail
UNKNOWN_COLOUR = (0, 255, 255)  # of values outside the label table; like none of the classes'


@dataclasses.dataclass(frozen=True)
class Tile:
    """One pair on the sheet.

    Attributes:
      name: of the example.
      checks: which found something in it.
      picture: JPEG file, None where it cannot be read.
      label: PNG file in the colours of the classes, None where there is none or it cannot be shown.
    """

    name: str
    checks: tuple[str, ...]
    picture: bytes | None
    label: bytes | None


def tiles(audited: AuditedSplit, findings: Sequence[Finding]) -> list[Tile]:
    """The sheet of a split.

    Args:
      audited: the split.
      findings: of this split.
    """
    examples = audited.inventory.examples
    checks = {
        e.image: tuple(dict.fromkeys(f.check for f in findings if {e.image, e.label} & set(f.files))) for e in examples
    }
    suspicious = [example for example in examples if checks[example.image]][:SUSPICIOUS]
    others = [example for example in examples if example not in suspicious]
    number = min(PER_SPLIT - len(suspicious), len(others))
    drawn = sorted(random.Random(0).sample(range(len(others)), number))
    shown = suspicious + [others[index] for index in drawn]
    palette = LAYOUTS[audited.inventory.dataset].label_space.palette
    return [Tile(e.name, checks[e.image], _picture(e, audited.bit_depth), _label(e, palette)) for e in shown]


def _picture(example: Example, bit_depth: int) -> bytes | None:
    try:
        pixels = loading.decode_image(example, bit_depth)
    except DataError:
        return None
    return _file(_thumbnail(pixels, "bicubic"), "JPEG", quality=85)


def _label(example: Example, palette: np.ndarray) -> bytes | None:
    if example.label is None:
        return None
    try:
        pixels = loading.decode(example.label)
    except DataError:
        return None
    if pixels.dtype != np.uint8:
        return None
    if pixels.ndim == 3:
        return _file(_thumbnail(pixels[..., :3], "nearest"), "PNG") if pixels.shape[2] >= 3 else None
    values = _thumbnail(pixels, "nearest")
    colours = label_spaces.colourise(example.encoding.to_train_id[values], palette)
    colours[~example.encoding.known[values]] = UNKNOWN_COLOUR
    return _file(colours, "PNG")


def _thumbnail(pixels: np.ndarray, resample: str) -> np.ndarray:
    height = max(1, round(pixels.shape[0] * WIDTH / pixels.shape[1]))
    return resize(np.ascontiguousarray(pixels), (WIDTH, height), resample)


def _file(pixels: np.ndarray, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()
