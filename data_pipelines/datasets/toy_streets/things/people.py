"""People on foot and on wheels, and the bicycles and motorcycles that stand about."""

import math
from random import Random

from data_pipelines.datasets.toy_streets.drawing.materials import (
    BICYCLE,
    MOTORCYCLE,
    PERSON,
    RIDER,
    Face,
    Role,
    SceneObject,
)
from data_pipelines.datasets.toy_streets.drawing.shapes import Plane, bar, box, disc, facing, panel, turned


def person(rand: Random, x: float, z: float, ground_y: float) -> SceneObject:
    """A walker or stander of 1.3 to 1.9 m, seen from the front, from behind or in mid-stride."""
    tall = rand.choice([1.3, 1.65, 1.7, 1.75, 1.8, 1.85, 1.9])
    k, plane = tall / 1.75, _raised(facing(x, z), ground_y)
    shirt, legs, stride = rand.randrange(8), rand.randrange(8), rand.uniform(0.04, 0.32)
    swing = rand.uniform(-0.18, 0.18)

    def part(role, tint, shade, corners):
        return panel(PERSON, role, tint, shade, plane, [(s * k, y * k) for s, y in corners])

    faces = [
        part(Role.TROUSERS, legs, 0.85, bar(-0.08, 0.88, -stride, 0.04, 0.2)),
        part(Role.TROUSERS, legs, 1.0, bar(0.08, 0.88, stride, 0.04, 0.2)),
        part(Role.SHIRT, shirt, 0.8, bar(-0.25, 1.4, -0.3 - swing, 0.85, 0.13)),
        part(
            Role.SHIRT,
            shirt,
            1.0,
            [(-0.2, 0.82), (0.2, 0.82), (0.27, 1.42), (0.12, 1.5), (-0.12, 1.5), (-0.27, 1.42)],
        ),
        part(Role.SHIRT, shirt, 0.88, bar(0.25, 1.4, 0.3 - swing, 0.85, 0.13)),
        part(Role.HAIR, legs, 1.0, disc(0, 1.64, 0.15)),
        part(Role.SKIN, shirt, 1.0, disc(0, 1.6, 0.125)),
    ]
    if rand.random() < 0.25:  # a bag, which Cityscapes counts as part of its bearer
        faces.append(part(Role.CYCLE_FRAME, shirt, 0.9, box(0.2, 0.45, 0.5, 0.85)))
    return SceneObject(z, faces)


def bicycle(rand: Random, x: float, z: float, ground_y: float, eye_x: float) -> SceneObject:
    """A parked bicycle, seen by a camera at eye_x from the side or obliquely, never edge-on."""
    plane = _raised(turned(x, z, _side_on(x, z, eye_x) + rand.uniform(-0.9, 0.9)), ground_y)
    return SceneObject(z, _bicycle_faces(plane, rand.randrange(8)))


def motorcycle(rand: Random, x: float, z: float, ground_y: float, eye_x: float) -> SceneObject:
    """A parked motorcycle, seen by a camera at eye_x from the side or obliquely, never edge-on."""
    plane = _raised(turned(x, z, _side_on(x, z, eye_x) + rand.uniform(-0.9, 0.9)), ground_y)
    return SceneObject(z, _motorcycle_faces(plane, rand.randrange(8)))


def rider(rand: Random, x: float, z: float, ground_y: float, eye_x: float, motor: bool) -> SceneObject:
    """Somebody riding a bicycle or a motorcycle, seen from the side or obliquely, never edge-on."""
    angle = _side_on(x, z, eye_x) + rand.uniform(-1.0, 1.0) + rand.choice((0.0, math.pi))
    plane = _raised(turned(x, z, angle), ground_y)
    machine, tint = (_motorcycle_faces if motor else _bicycle_faces), rand.randrange(8)
    return SceneObject(z, [*machine(plane, tint), *_rider_faces(rand, plane, ground_y, motor)])


def _side_on(x: float, z: float, eye_x: float) -> float:
    """The angle of an upright plane through (x, z) at right angles to the line of sight."""
    return -math.atan2(x - eye_x, z)


def _raised(plane: Plane, ground_y: float) -> Plane:
    return lambda s, y: plane(s, y + ground_y)


def _bicycle_faces(plane: Plane, tint: int) -> list[Face]:
    """A bicycle 1.8 m long; a wheel counts as solid, as Cityscapes labels it."""

    def part(role, corners, shade=1.0):
        return panel(BICYCLE, role, tint, shade, plane, corners)

    wheels = [part(Role.TYRE, disc(s, 0.37, 0.38, 12)) for s in (-0.55, 0.55)]
    spokes = [part(Role.RIM, disc(s, 0.37, 0.27, 12), 0.8) for s in (-0.55, 0.55)]
    frame = [
        part(Role.CYCLE_FRAME, bar(s0, y0, s1, y1, 0.1))
        for s0, y0, s1, y1 in (
            (-0.55, 0.37, -0.18, 0.85),
            (-0.55, 0.37, 0.0, 0.35),
            (0.0, 0.35, -0.22, 0.92),
            (-0.18, 0.82, 0.4, 0.88),
            (0.0, 0.35, 0.4, 0.85),
            (0.38, 1.05, 0.55, 0.37),
        )
    ]
    return [
        *wheels,
        *spokes,
        *frame,
        part(Role.DARK_TRIM, box(-0.38, -0.1, 0.9, 1.0)),
        part(Role.DARK_TRIM, bar(0.3, 1.1, 0.5, 1.06, 0.09)),
    ]


def _motorcycle_faces(plane: Plane, tint: int) -> list[Face]:
    """A motorcycle 2.1 m long with tank, seat, fork, engine and exhaust."""

    def part(role, corners, shade=1.0):
        return panel(MOTORCYCLE, role, tint, shade, plane, corners)

    return [
        *(part(Role.TYRE, disc(s, 0.36, 0.37, 12)) for s in (-0.7, 0.7)),
        *(part(Role.RIM, disc(s, 0.36, 0.18, 8)) for s in (-0.7, 0.7)),
        part(Role.DARK_TRIM, [(-0.5, 0.3), (0.35, 0.28), (0.4, 0.75), (-0.55, 0.75)]),
        part(Role.RIM, bar(-0.85, 0.3, 0.1, 0.32, 0.13), 0.9),
        part(Role.RIM, bar(0.45, 1.0, 0.7, 0.36, 0.12)),
        part(Role.MOTO_PAINT, [(-0.1, 0.7), (0.45, 0.72), (0.5, 1.0), (0.05, 1.02)]),
        part(Role.MOTO_PAINT, [(-0.95, 0.78), (-0.3, 0.66), (-0.35, 0.85), (-0.95, 0.95)]),
        part(Role.MOTO_PAINT, bar(0.42, 0.78, 0.98, 0.66, 0.12), 0.9),
        part(Role.DARK_TRIM, [(-0.75, 0.84), (-0.05, 0.8), (-0.05, 0.95), (-0.75, 0.97)]),
        part(Role.DARK_TRIM, bar(0.3, 1.18, 0.5, 1.02, 0.09)),
        part(Role.HEADLAMP, disc(0.58, 0.95, 0.12, 8)),
    ]


def _rider_faces(rand: Random, plane: Plane, ground_y: float, motor: bool) -> list[Face]:
    """Torso leaning forward, one leg, one arm and a head, above the saddle."""
    shirt, legs = rand.randrange(8), rand.randrange(8)
    lean = 0.22 if motor else 0.12

    def part(role, tint, corners, shade=1.0):
        return panel(RIDER, role, tint, shade, plane, corners)

    upright = _raised(facing(*_ground_point(plane, lean)), ground_y)
    head = [
        panel(RIDER, Role.HELMET, shirt, 1.0, upright, disc(0, 1.78, 0.19)),
        panel(RIDER, Role.SKIN, legs, 1.0, upright, disc(0.02, 1.71, 0.11)),
    ]
    knee = (0.16, 0.78)
    foot = (-0.05, 0.4) if motor else (0.02, 0.25)
    return [
        panel(RIDER, Role.SHIRT, shirt, 0.85, upright, box(-0.2, 0.2, 0.95, 1.55)),
        part(Role.TROUSERS, legs, bar(-0.25, 0.98, *knee, 0.22)),
        part(Role.TROUSERS, legs, bar(*knee, *foot, 0.17), 0.9),
        part(Role.SHIRT, shirt, [(-0.42, 0.92), (-0.02, 0.92), (lean + 0.22, 1.5), (lean - 0.12, 1.62)]),
        part(Role.SHIRT, shirt, bar(lean + 0.04, 1.48, 0.4, 1.1, 0.14), 0.85),
        *head,
    ]


def _ground_point(plane: Plane, s: float) -> tuple[float, float]:
    x, _, z = plane(s, 0.0)
    return x, z
