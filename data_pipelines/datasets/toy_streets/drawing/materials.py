"""The vocabulary of the renderer: train ids by name, the roles a surface can play, and one painted face."""

import enum
from typing import NamedTuple

(
    ROAD,
    SIDEWALK,
    BUILDING,
    WALL,
    FENCE,
    POLE,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    VEGETATION,
    TERRAIN,
    SKY,
    PERSON,
    RIDER,
    CAR,
    TRUCK,
    BUS,
    TRAIN,
    MOTORCYCLE,
    BICYCLE,
) = range(19)
IGNORE = 255

Point = tuple[float, float, float]


class Role(enum.IntEnum):
    """What a surface is made of; a look gives each role its colours (see colours.py)."""

    SKY = 0
    ASPHALT = 1
    LANE_MARK = 2
    CENTRE_MARK = 3
    RAIL = 4
    SHADOW = 5
    PAVING = 6
    KERB = 7
    GRASS = 8
    FACADE = 9
    FACADE_TRIM = 10
    WINDOW = 11
    SHOP = 12
    AWNING = 13
    ROOF = 14
    MASONRY = 15
    COPING = 16
    FENCE_PANEL = 17
    FENCE_POST = 18
    POLE_METAL = 19
    SIGN_FACE = 20
    SIGN_RIM = 21
    SIGNAL_BOX = 22
    LAMP_RED = 23
    LAMP_GREEN = 24
    LAMP_OFF = 25
    LEAF = 26
    TRUNK = 27
    SKIN = 28
    HAIR = 29
    SHIRT = 30
    TROUSERS = 31
    CAR_PAINT = 32
    GLASS = 33
    TYRE = 34
    RIM = 35
    HEADLAMP = 36
    TAIL_LAMP = 37
    DARK_TRIM = 38
    PLATE = 39
    CARGO_BOX = 40
    BUS_PAINT = 41
    TRAM_PAINT = 42
    STRIPE = 43
    CYCLE_FRAME = 44
    MOTO_PAINT = 45
    HELMET = 46
    BONNET = 47
    FAR_HILL = 48


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
