"""The vocabulary of the renderer: train ids by name, the roles a surface can play, and one painted face."""

import enum
from typing import NamedTuple

from data_pipelines.reading.label_spaces import CITYSCAPES_CLASSES

# Train ids: ROAD is 0.
Label = enum.IntEnum("Label", [name.upper().replace(" ", "_") for name in CITYSCAPES_CLASSES], start=0)

# What a surface is made of; a look gives each role its colours (see colours.py).
Role = enum.IntEnum(
    "Role",
    """
    SKY ASPHALT LANE_MARK CENTRE_MARK RAIL SHADOW PAVING KERB GRASS
    FACADE FACADE_TRIM WINDOW SHOP AWNING ROOF MASONRY COPING FENCE_PANEL FENCE_POST
    POLE_METAL SIGN_FACE SIGN_RIM SIGNAL_BOX LAMP_RED LAMP_GREEN LAMP_OFF LEAF TRUNK
    SKIN HAIR SHIRT TROUSERS
    CAR_PAINT GLASS TYRE RIM HEADLAMP TAIL_LAMP DARK_TRIM PLATE
    CARGO_BOX BUS_PAINT TRAM_PAINT STRIPE CYCLE_FRAME MOTO_PAINT HELMET BONNET FAR_HILL
    """,
    start=0,
)

Point = tuple[float, float, float]


class Face(NamedTuple):
    """A polygon in world metres (x to the right, y up, z along the street) and how to paint it.

    label: train id in 0..18, or 255. tint: which of the role's colours, any integer >= 0.
    shade: factor on the colour, 1 = as lit by the sky.
    points: three or more corners, convex unless all lie beyond the camera's near plane.
    """

    label: int
    role: Role
    tint: int
    shade: float
    points: list[Point]


class SceneObject(NamedTuple):
    """Faces in painting order and the depth (metres along z) by which the painter's algorithm sorts them."""

    depth: float
    faces: list[Face]
