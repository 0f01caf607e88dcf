"""A contact sheet of the city: pictures beside their coloured labels, one row of pairs for each look."""

import numpy as np

from data_pipelines.datasets.toy_streets.city import ToyCity
from data_pipelines.datasets.toy_streets.looks import LOOKS
from data_pipelines.datasets.toy_streets.render import render
from data_pipelines.reading.label_spaces import PALETTE

GAP = 4


def contact_sheet(city: ToyCity, per_look: int = 4) -> np.ndarray:
    """Renders the first `per_look` validation pictures of each look.

    Returns:
        uint8 [H,W,3] RGB on white: two rows for each look, pictures above, their labels in the palette below.
    """
    width, height = city.size
    sheet = np.full(
        (len(LOOKS) * (2 * height + 2 * GAP) + (len(LOOKS) - 1) * 2 * GAP, per_look * (width + GAP) - GAP, 3),
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
            left = column * (width + GAP)
            sheet[top : top + rows, left : left + columns] = picture.image
            below = top + height + GAP
            sheet[below : below + rows, left : left + columns] = colours[picture.label]
        top += 2 * height + 4 * GAP
    return sheet
