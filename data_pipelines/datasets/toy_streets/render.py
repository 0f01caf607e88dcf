"""Picture i of a look, as a pure function of (seed, look, split, i, size); some of each on a sheet."""

from random import Random
from typing import NamedTuple

import numpy as np

from data_pipelines.datasets.toy_streets.city import ToyCity
from data_pipelines.datasets.toy_streets.drawing.painting import paint
from data_pipelines.datasets.toy_streets.looks import LOOKS, Look
from data_pipelines.datasets.toy_streets.photograph import SUPERSAMPLE, develop, native
from data_pipelines.datasets.toy_streets.scene import random_scene
from data_pipelines.reading.label_spaces import PALETTE

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
    width, height = picture_size(look_, rand, size)
    scene = random_scene(rand, look_.layout, height / width)
    raster = paint(scene.faces, scene.camera, (width * SUPERSAMPLE, height * SUPERSAMPLE))
    image = develop(raster, scene, look_, rand, np.random.default_rng(rand.getrandbits(64)))
    return Picture(image, raster.labels[native(raster)])


def picture_size(look: Look, rand: Random, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the next picture: `size`, or up to look.size_jitter rows less."""
    return size[0], size[1] - rand.randint(0, look.size_jitter)


def contact_sheet(city: ToyCity, per_look: int = 4) -> np.ndarray:
    """Renders the first `per_look` validation pictures of each look, with their labels.

    Returns:
        uint8 [H,W,3] RGB on white: two rows for each look, pictures above, their labels in the palette below.
    """
    width, height = city.size
    sheet = np.full(
        (len(LOOKS) * (2 * height + 2 * _GAP) + (len(LOOKS) - 1) * 2 * _GAP, per_look * (width + _GAP) - _GAP, 3),
        255,
        np.uint8,
    )
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(PALETTE)] = PALETTE
    top = 0
    for look in LOOKS:
        for column in range(per_look):
            picture = render(city.seed, look, "val", column, city.size)
            rows, columns = picture.label.shape
            left = column * (width + _GAP)
            sheet[top : top + rows, left : left + columns] = picture.image
            below = top + height + _GAP
            sheet[below : below + rows, left : left + columns] = colours[picture.label]
        top += 2 * height + 4 * _GAP
    return sheet
