"""People on foot and on wheels, and the bicycles and motorcycles that stand about."""

import math
from collections.abc import Callable
from functools import partial
from random import Random

from data_pipelines.datasets.toy_streets.drawing.materials import Face, Label, Role, SceneObject
from data_pipelines.datasets.toy_streets.drawing.shapes import Plane, bar, box, disc, facing, panel, symmetric, turned
from data_pipelines.datasets.toy_streets.things.ground_plan import KERB

Machine = Callable[[Plane, int], list[Face]]  # draws a bicycle or a motorcycle in a plane and a tint


def person(rand: Random, x: float, z: float, ground_y: float) -> SceneObject:
    """A walker or stander of 1.3 to 1.9 m, seen from the front, from behind or in mid-stride."""
    k = rand.choice([1.3, 1.65, 1.7, 1.75, 1.8, 1.85, 1.9]) / 1.75
    shirt, legs, stride = rand.randrange(8), rand.randrange(8), rand.uniform(0.04, 0.32)
    swing = rand.uniform(-0.18, 0.18)
    paint = partial(panel, Label.PERSON, lambda s, y: (x + s * k, y * k + ground_y, z))
    faces = [
        paint(Role.TROUSERS, bar(-0.08, 0.88, -stride, 0.04, 0.2), legs, 0.85),
        paint(Role.TROUSERS, bar(0.08, 0.88, stride, 0.04, 0.2), legs),
        paint(Role.SHIRT, bar(-0.25, 1.4, -0.3 - swing, 0.85, 0.13), shirt, 0.8),
        paint(Role.SHIRT, symmetric([(0.2, 0.82), (0.27, 1.42), (0.12, 1.5)]), shirt),
        paint(Role.SHIRT, bar(0.25, 1.4, 0.3 - swing, 0.85, 0.13), shirt, 0.88),
        paint(Role.HAIR, disc(0, 1.64, 0.15), legs),
        paint(Role.SKIN, disc(0, 1.6, 0.125), shirt),
    ]
    if rand.random() < 0.25:  # a bag, which Cityscapes counts as part of its bearer
        faces.append(paint(Role.CYCLE_FRAME, box(0.2, 0.45, 0.5, 0.85), shirt, 0.9))
    return SceneObject(z, faces)


def parked(machine: Machine, rand: Random, x: float, z: float, eye_x: float) -> SceneObject:
    """A two-wheeler parked on the pavement, seen by a camera at eye_x from the side or obliquely, never edge-on."""
    plane = turned(x, z, _side_on(x, z, eye_x) + rand.uniform(-0.9, 0.9), KERB)
    return SceneObject(z, machine(plane, rand.randrange(8)))


def rider(rand: Random, x: float, z: float, eye_x: float, motor: bool) -> SceneObject:
    """Somebody riding a bicycle or a motorcycle, seen from the side or obliquely, never edge-on."""
    angle = _side_on(x, z, eye_x) + rand.uniform(-1.0, 1.0) + rand.choice((0.0, math.pi))
    plane = turned(x, z, angle)
    machine, tint = (motorcycle if motor else bicycle), rand.randrange(8)
    return SceneObject(z, [*machine(plane, tint), *_rider_faces(rand, plane, motor)])


def _side_on(x: float, z: float, eye_x: float) -> float:
    """The angle of an upright plane through (x, z) at right angles to the line of sight."""
    return -math.atan2(x - eye_x, z)


def bicycle(plane: Plane, tint: int) -> list[Face]:
    """A bicycle 1.8 m long; a wheel counts as solid, as Cityscapes labels it."""
    paint = partial(panel, Label.BICYCLE, plane, tint=tint)
    frame = (
        (-0.55, 0.37, -0.18, 0.85),
        (-0.55, 0.37, 0.0, 0.35),
        (0.0, 0.35, -0.22, 0.92),
        (-0.18, 0.82, 0.4, 0.88),
        (0.0, 0.35, 0.4, 0.85),
        (0.38, 1.05, 0.55, 0.37),
    )
    return [
        *(paint(Role.TYRE, disc(s, 0.37, 0.38, 12)) for s in (-0.55, 0.55)),
        *(paint(Role.RIM, disc(s, 0.37, 0.27, 12), shade=0.8) for s in (-0.55, 0.55)),
        *(paint(Role.CYCLE_FRAME, bar(*ends, 0.1)) for ends in frame),
        paint(Role.DARK_TRIM, box(-0.38, -0.1, 0.9, 1.0)),
        paint(Role.DARK_TRIM, bar(0.3, 1.1, 0.5, 1.06, 0.09)),
    ]


def motorcycle(plane: Plane, tint: int) -> list[Face]:
    """A motorcycle 2.1 m long with tank, seat, fork, engine and exhaust."""
    paint = partial(panel, Label.MOTORCYCLE, plane, tint=tint)
    return [
        *(paint(Role.TYRE, disc(s, 0.36, 0.37, 12)) for s in (-0.7, 0.7)),
        *(paint(Role.RIM, disc(s, 0.36, 0.18, 8)) for s in (-0.7, 0.7)),
        paint(Role.DARK_TRIM, [(-0.5, 0.3), (0.35, 0.28), (0.4, 0.75), (-0.55, 0.75)]),
        paint(Role.RIM, bar(-0.85, 0.3, 0.1, 0.32, 0.13), shade=0.9),
        paint(Role.RIM, bar(0.45, 1.0, 0.7, 0.36, 0.12)),
        paint(Role.MOTO_PAINT, [(-0.1, 0.7), (0.45, 0.72), (0.5, 1.0), (0.05, 1.02)]),
        paint(Role.MOTO_PAINT, [(-0.95, 0.78), (-0.3, 0.66), (-0.35, 0.85), (-0.95, 0.95)]),
        paint(Role.MOTO_PAINT, bar(0.42, 0.78, 0.98, 0.66, 0.12), shade=0.9),
        paint(Role.DARK_TRIM, [(-0.75, 0.84), (-0.05, 0.8), (-0.05, 0.95), (-0.75, 0.97)]),
        paint(Role.DARK_TRIM, bar(0.3, 1.18, 0.5, 1.02, 0.09)),
        paint(Role.HEADLAMP, disc(0.58, 0.95, 0.12, 8)),
    ]


def _rider_faces(rand: Random, plane: Plane, motor: bool) -> list[Face]:
    """Torso leaning forward, one leg, one arm and a head, above the saddle."""
    shirt, legs = rand.randrange(8), rand.randrange(8)
    lean, foot = (0.22, (-0.05, 0.4)) if motor else (0.12, (0.02, 0.25))
    knee = (0.16, 0.78)
    x, _, z = plane(lean, 0.0)
    paint, upright = partial(panel, Label.RIDER, plane), partial(panel, Label.RIDER, facing(x, z))
    return [
        upright(Role.SHIRT, box(-0.2, 0.2, 0.95, 1.55), shirt, 0.85),
        paint(Role.TROUSERS, bar(-0.25, 0.98, *knee, 0.22), legs),
        paint(Role.TROUSERS, bar(*knee, *foot, 0.17), legs, 0.9),
        paint(Role.SHIRT, [(-0.42, 0.92), (-0.02, 0.92), (lean + 0.22, 1.5), (lean - 0.12, 1.62)], shirt),
        paint(Role.SHIRT, bar(lean + 0.04, 1.48, 0.4, 1.1, 0.14), shirt, 0.85),
        upright(Role.HELMET, disc(0, 1.78, 0.19), shirt),
        upright(Role.SKIN, disc(0.02, 1.71, 0.11), legs),
    ]
