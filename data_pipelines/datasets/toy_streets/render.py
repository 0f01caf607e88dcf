"""Picture i of a look, as a pure function of (seed, look, split, i, size); some of each on a sheet."""

from random import Random
from typing import NamedTuple

import numpy as np

from data_pipelines.datasets.toy_streets.city import ToyCity
from data_pipelines.datasets.toy_streets.drawing.painting import paint
from data_pipelines.datasets.toy_streets.looks import LOOKS
from data_pipelines.datasets.toy_streets.photograph import SUPERSAMPLE, develop, native
from data_pipelines.datasets.toy_streets.scene import random_scene
from data_pipelines.reading.label_spaces import colourise

RENDERER_VERSION = 1  # raise it whenever any pixel of any picture changes
_GAP = 4  # pixels between the pictures of a sheet


class Picture(NamedTuple):
    """image: uint8 [H,W,3] RGB. label: uint8 [H,W] of train ids, 255 on the ego car's bonnet."""

    image: np.ndarray
    label: np.ndarray


def render(seed: int, look: str, split: str, index: int, size: tuple[int, int]) -> Picture:
    """Renders one picture.

    Args:
        look: a key of LOOKS. split: 'train' or 'val'. index: number of the picture in its split.
        size: (width, height); the synthetic look makes some pictures a few rows lower, as GTA5's frames are.
    """
    look_ = LOOKS[look]
    # Text seeds go through SHA-512, so neighbouring pictures share nothing.
    rand = Random(f"{seed}/{look}/{split}/{index}")
    width, height = size[0], size[1] - rand.randint(0, look_.size_jitter)
    scene = random_scene(rand, look_.layout, height / width)
    raster = paint(scene.faces, scene.camera, (width * SUPERSAMPLE, height * SUPERSAMPLE))
    image = develop(raster, scene, look_, rand, np.random.default_rng(rand.getrandbits(64)))
    return Picture(image, raster.labels[native(raster)])


def contact_sheet(city: ToyCity, per_look: int = 4) -> np.ndarray:
    """Renders the first `per_look` validation pictures of each look, with their labels.

    Returns:
        uint8 [H,W,3] RGB on white: two rows for each look, pictures above, their labels in the palette below.
    """
    width, height = city.size
    rows = []
    for look in LOOKS:
        pictures = [render(city.seed, look, "val", column, city.size) for column in range(per_look)]
        rows += [[one.image for one in pictures], [colourise(one.label) for one in pictures]]
    # A gap below each row, and two more between looks.
    tops = [row * (height + _GAP) + row // 2 * 2 * _GAP for row in range(len(rows))]
    sheet = np.full((tops[-1] + height + _GAP, per_look * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for top, row in zip(tops, rows, strict=True):
        for column, image in enumerate(row):
            left = column * (width + _GAP)
            sheet[top : top + image.shape[0], left : left + width] = image
    return sheet
