"""Cars, trucks, buses and trams: boxes with two visible sides, each drawn from its profile."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import NamedTuple

from data_pipelines.datasets.toy_streets.drawing.materials import Face, Label, Role, SceneObject
from data_pipelines.datasets.toy_streets.drawing.shapes import along, box, disc, facing, ground, panel, symmetric

REAR, FRONT = "rear", "front"
Paint = Callable[..., Face]  # shapes.panel with the label and the plane of one side of a vehicle


class Vehicle(NamedTuple):
    """Train id and footprint (metres) of a kind of vehicle; the functions that draw its long side and its short end."""

    label: Label
    width: float
    length: float
    side: Callable
    end: Callable


def place(
    kind: str, rand: Random, x: float, z: float, eye_x: float, end: str = REAR, crossing: bool = False
) -> SceneObject:
    """A vehicle centred at x whose nearest point is at depth z.

    Args:
        kind: a key of VEHICLES.
        eye_x: the camera's x, which decides what side is seen.
        end: the end that faces the camera (or, when crossing, the end nearest to the street's centre).
        crossing: whether it drives across the street, its long side towards the camera.
    """
    vehicle, tint = VEHICLES[kind], rand.randrange(8)
    half, length = vehicle.width / 2, vehicle.length
    if crossing:
        left, right, far = x - length / 2, x + length / 2, z + vehicle.width
        side_plane = facing(left, z)
        inner = left if left > eye_x else right
        end_plane = along(inner, z + half)
        seen_end = left > eye_x or right < eye_x
    else:
        left, right, far = x - half, x + half, z + length
        side_plane = along(left if x > eye_x else right, z)
        end_plane, seen_end = facing(x, z), True
    shadow = ground(Label.ROAD, Role.SHADOW, left - 0.15, right + 0.15, z - 0.15, far + 0.1)
    shade_side, shade_end = (1.0, 0.78) if crossing else (0.72, 1.0)
    faces = [shadow, *vehicle.side(partial(panel, vehicle.label, side_plane), tint, shade_side, length)]
    if seen_end:
        faces += vehicle.end(partial(panel, vehicle.label, end_plane), tint, shade_end, half, end)
    return SceneObject(z, faces)


def _wheels(paint: Paint, shade: float, centres: list[float], radius: float) -> list[Face]:
    faces = []
    for s in centres:
        faces.append(paint(Role.TYRE, disc(s, radius, radius)))
        faces.append(paint(Role.RIM, disc(s, radius, radius * 0.5, 8), shade=shade))
    return faces


def _on_both_sides(paint: Paint, role: Role, inner: float, outer: float, low: float, high: float) -> list[Face]:
    """Two rectangles, mirrored at the middle of a vehicle's end."""
    return [paint(role, box(-outer, -inner, low, high)), paint(role, box(inner, outer, low, high))]


def _lamps(paint: Paint, half: float, y: float, end: str, size: float = 0.36) -> list[Face]:
    role, edge = Role.TAIL_LAMP if end == REAR else Role.HEADLAMP, half - 0.08
    return _on_both_sides(paint, role, edge - size, edge, y, y + size * 0.7)


def _car_side(roof: float, tail: float, paint: Paint, tint: int, shade: float, length: float) -> list[Face]:
    """Side profile of a car; `roof` is its height, `tail` where the cabin ends as a share of the length."""
    back, pillar = length * tail, length * tail * 0.5
    cabin = [(0.25, 0.92), (0.65, roof), (back - 0.7, roof), (back, 0.92)]
    glass = [(0.55, 0.95), (0.82, roof - 0.12), (back - 0.85, roof - 0.12), (back - 0.3, 0.95)]
    return [
        paint(Role.CAR_PAINT, cabin, tint, shade),
        paint(Role.GLASS, glass, shade=shade),
        paint(Role.CAR_PAINT, box(pillar, pillar + 0.12, 0.9, roof - 0.05), tint, shade),
        paint(Role.CAR_PAINT, box(0, length, 0.3, 0.95), tint, shade),
        paint(Role.DARK_TRIM, box(0.1, length - 0.1, 0.22, 0.38), shade=shade),
        *_wheels(paint, shade, [0.85, length - 0.85], 0.36),
    ]


def _car_end(roof: float, paint: Paint, tint: int, shade: float, half: float, end: str) -> list[Face]:
    top = half * 0.72
    return [
        *_on_both_sides(paint, Role.TYRE, half - 0.32, half - 0.05, 0, 0.5),
        paint(Role.CAR_PAINT, symmetric([(half, 0.9), (top, roof)]), tint, shade * 1.05),
        paint(Role.GLASS, symmetric([(half - 0.17, 0.95), (top - 0.06, roof - 0.1)])),
        paint(Role.CAR_PAINT, box(-half, half, 0.28, 0.95), tint, shade * 0.92),
        paint(Role.DARK_TRIM, box(-half + 0.05, half - 0.05, 0.24, 0.42)),
        paint(Role.PLATE, box(-0.26, 0.26, 0.5, 0.64)),
        *_lamps(paint, half, 0.64, end, 0.34),
    ]


def _truck_side(paint: Paint, tint: int, shade: float, length: float) -> list[Face]:
    cab = length - 2.0
    return [
        paint(Role.DARK_TRIM, box(0.1, length - 0.1, 0.5, 1.1), shade=shade),
        paint(Role.CARGO_BOX, box(0, cab - 0.2, 0.95, 3.5), tint, shade),
        paint(Role.STRIPE, box(0.4, cab - 0.6, 1.9, 2.5), tint, shade),
        paint(Role.CAR_PAINT, box(cab, length, 0.6, 2.8), tint, shade),
        paint(Role.GLASS, box(cab + 0.5, length - 0.2, 1.7, 2.5), shade=shade),
        *_wheels(paint, shade, [1.2, 2.3, length - 1.1], 0.52),
    ]


def _truck_end(paint: Paint, tint: int, shade: float, half: float, end: str) -> list[Face]:
    faces = _on_both_sides(paint, Role.TYRE, half - 0.6, half - 0.05, 0, 1.0)
    faces.append(paint(Role.CARGO_BOX, box(-half, half, 0.95, 3.5), tint, shade))
    if end == REAR:
        faces += [
            paint(Role.DARK_TRIM, box(-0.05, 0.05, 1.0, 3.4)),
            paint(Role.DARK_TRIM, box(-half, half, 0.65, 1.0)),
            paint(Role.STRIPE, box(-half + 0.2, half - 0.2, 1.9, 2.5), tint, shade),
        ]
    else:
        faces += [
            paint(Role.CAR_PAINT, box(-half, half, 0.55, 2.85), tint, shade),
            paint(Role.GLASS, box(-half + 0.15, half - 0.15, 1.65, 2.6)),
            paint(Role.DARK_TRIM, box(-half + 0.5, half - 0.5, 0.8, 1.4)),
        ]
    return faces + _lamps(paint, half, 0.72, end)


def _bus_side(paint: Paint, tint: int, shade: float, length: float) -> list[Face]:
    faces = [
        paint(Role.BUS_PAINT, box(0, length, 0.35, 3.2), tint, shade),
        paint(Role.STRIPE, box(0, length, 0.5, 0.85), tint + 1, shade),
    ]
    step = length / 6
    for i in range(6):
        low = 0.6 if i in (2, 5) else 1.5
        faces.append(paint(Role.GLASS, box(i * step + 0.2, (i + 1) * step - 0.15, low, 2.65), shade=shade))
    return faces + _wheels(paint, shade, [2.2, length - 2.0], 0.5)


def _bus_end(paint: Paint, tint: int, shade: float, half: float, end: str) -> list[Face]:
    low = 1.1 if end == FRONT else 1.7
    return [
        *_on_both_sides(paint, Role.TYRE, half - 0.5, half - 0.1, 0, 0.6),
        paint(Role.BUS_PAINT, box(-half, half, 0.35, 3.2), tint, shade),
        paint(Role.GLASS, box(-half + 0.15, half - 0.15, low, 2.55)),
        paint(Role.DARK_TRIM, box(-half + 0.35, half - 0.35, 2.68, 3.05)),
        paint(Role.HEADLAMP, box(-half + 0.6, half - 0.9, 2.76, 2.97), shade=0.95),
        paint(Role.PLATE, box(-0.3, 0.3, 0.5, 0.66)),
        *_lamps(paint, half, 0.72, end),
    ]


def _tram_side(paint: Paint, tint: int, shade: float, length: float) -> list[Face]:
    faces = [
        paint(Role.DARK_TRIM, box(0.5, length - 0.5, 3.4, 3.75), shade=shade),
        paint(Role.TRAM_PAINT, box(0, length, 0.2, 3.45), tint, shade),
        paint(Role.STRIPE, box(0, length, 0.9, 1.35), tint + 3, shade),
        paint(Role.GLASS, box(0.5, length - 0.5, 1.6, 2.8), shade=shade),
    ]
    step = length / 8
    for i in range(1, 8):
        gap = 0.3 if i % 3 == 0 else 0.1
        faces.append(paint(Role.TRAM_PAINT, box(i * step - gap, i * step + gap, 1.6, 2.8), tint, shade))
    return faces


def _tram_end(paint: Paint, tint: int, shade: float, half: float, end: str) -> list[Face]:
    top, inner = half * 0.8, half - 0.2
    return [
        paint(Role.DARK_TRIM, box(-inner, inner, 0.05, 0.4)),
        paint(Role.DARK_TRIM, box(-half * 0.5, half * 0.5, 3.3, 3.9)),
        paint(Role.TRAM_PAINT, symmetric([(half, 0.25), (half, 2.5), (top, 3.5)]), tint, shade),
        paint(Role.GLASS, symmetric([(inner, 1.4), (inner, 2.4), (top - 0.2, 2.85)])),
        paint(Role.STRIPE, box(-half, half, 0.8, 1.25), tint + 3, shade),
        paint(Role.HEADLAMP, box(-0.6, 0.6, 3.0, 3.3), shade=0.95),
        *_lamps(paint, half, 0.45, end),
    ]


VEHICLES = {
    "car": Vehicle(Label.CAR, 1.85, 4.3, partial(_car_side, 1.48, 0.72), partial(_car_end, 1.48)),
    "van": Vehicle(Label.CAR, 1.95, 4.7, partial(_car_side, 1.95, 0.86), partial(_car_end, 1.95)),
    "truck": Vehicle(Label.TRUCK, 2.5, 7.5, _truck_side, _truck_end),
    "bus": Vehicle(Label.BUS, 2.6, 10.5, _bus_side, _bus_end),
    "tram": Vehicle(Label.TRAIN, 2.6, 17.0, _tram_side, _tram_end),
}
