"""Small geometry shared by every kind of thing: flat panels in an upright plane, discs and ragged blobs."""

import math
from collections.abc import Callable, Iterable, Sequence
from random import Random

from data_pipelines.datasets.toy_streets.drawing.materials import Face, Point, Role

# Maps (metres along the plane, metres above ground) to a world point.
Plane = Callable[[float, float], Point]
Corner = tuple[float, float]


def facing(x: float, z: float) -> Plane:
    """The plane that faces the camera at depth z; its origin is at x."""
    return lambda s, y: (x + s, y, z)


def along(x: float, z: float) -> Plane:
    """The plane parallel to the street at x; its origin is at depth z and it runs away from the camera."""
    return lambda s, y: (x, y, z + s)


def turned(x: float, z: float, angle: float, ground_y: float = 0.0) -> Plane:
    """An upright plane through (x, z), `angle` radians away from facing the camera, on ground of a height."""
    cos, sin = math.cos(angle), math.sin(angle)
    return lambda s, y: (x + s * cos, y + ground_y, z + s * sin)


def panel(label: int, plane: Plane, role: Role, corners: Iterable[Corner], tint: int = 0, shade: float = 1.0) -> Face:
    """A polygon given by its (s, y) corners in `plane`."""
    return Face(label, role, tint, shade, [plane(s, y) for s, y in corners])


def box(s0: float, s1: float, y0: float, y1: float) -> list[Corner]:
    """Corners of an upright rectangle."""
    return [(s0, y0), (s1, y0), (s1, y1), (s0, y1)]


def symmetric(right: Sequence[Corner]) -> list[Corner]:
    """Corners of an outline that is mirrored at s = 0; `right` is its right half from the lowest corner up."""
    left = [(-s, y) for s, y in right]
    return [left[0], *right, *left[:0:-1]]


def disc(s: float, y: float, radius: float, corners: int = 10) -> list[Corner]:
    """Corners of a regular polygon that stands for a circle."""
    return [
        (s + radius * math.cos(math.tau * i / corners), y + radius * math.sin(math.tau * i / corners))
        for i in range(corners)
    ]


def blob(rand: Random, s: float, y: float, width: float, height: float, corners: int = 13):
    """Corners of a ragged ellipse, such as the outline of a tree's crown."""
    return [
        (
            s + width / 2 * math.cos(math.tau * i / corners) * (reach := rand.uniform(0.78, 1.12)),
            y + height / 2 * math.sin(math.tau * i / corners) * reach,
        )
        for i in range(corners)
    ]


def bar(s0: float, y0: float, s1: float, y1: float, thickness: float) -> list[Corner]:
    """Corners of a thick line from (s0, y0) to (s1, y1)."""
    length = math.hypot(s1 - s0, y1 - y0) or 1.0
    ds, dy = -(y1 - y0) / length * thickness / 2, (s1 - s0) / length * thickness / 2
    return [(s0 + ds, y0 + dy), (s1 + ds, y1 + dy), (s1 - ds, y1 - dy), (s0 - ds, y0 - dy)]


def ground(label: int, role: Role, x0: float, x1: float, z0: float, z1: float, y=0.0, shade=1.0) -> Face:
    """A flat strip of ground, cut along z finely enough to follow a bend of the street."""
    cuts, z = [z0], max(z0, 3.0)
    while (z := z * 1.35) < z1:
        if z > z0:
            cuts.append(z)
    cuts.append(z1)
    return Face(label, role, 0, shade, [(x0, y, z) for z in cuts] + [(x1, y, z) for z in reversed(cuts)])
