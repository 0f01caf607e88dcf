"""Cars, trucks, buses and trams: boxes with two visible sides, each drawn from its profile."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from data_pipelines.datasets.toy_streets.drawing.materials import BUS, CAR, ROAD, TRAIN, TRUCK, Face, Role, SceneObject
from data_pipelines.datasets.toy_streets.drawing.shapes import Plane, along, box, disc, facing, ground, panel

REAR, FRONT = "rear", "front"


@dataclass(frozen=True)
class Vehicle:
    """Footprint (metres) of a kind of vehicle; the functions that draw its long side and its short end."""

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
    shadow = ground(ROAD, Role.SHADOW, 1.0, left - 0.15, right + 0.15, z - 0.15, far + 0.1)
    shade_side, shade_end = (1.0, 0.78) if crossing else (0.72, 1.0)
    faces = [shadow, *vehicle.side(side_plane, tint, shade_side, length)]
    if seen_end:
        faces += vehicle.end(end_plane, tint, shade_end, half, end)
    return SceneObject(z, faces)


def _wheels(label: int, plane: Plane, shade: float, centres: list[float], radius: float) -> list[Face]:
    faces = []
    for s in centres:
        faces.append(panel(label, Role.TYRE, 0, 1.0, plane, disc(s, radius, radius)))
        faces.append(panel(label, Role.RIM, 0, shade, plane, disc(s, radius, radius * 0.5, 8)))
    return faces


def _lamps(label: int, plane: Plane, half: float, y: float, end: str, size: float = 0.3) -> list[Face]:
    role = Role.TAIL_LAMP if end == REAR else Role.HEADLAMP
    edge = half - 0.08
    return [
        panel(label, role, 0, 1.0, plane, box(-edge, -edge + size, y, y + size * 0.7)),
        panel(label, role, 0, 1.0, plane, box(edge - size, edge, y, y + size * 0.7)),
    ]


def _car_side(roof: float, tail: float):
    """Side profile of a car; `roof` is its height, `tail` where the cabin ends as a share of the length."""

    def draw(plane: Plane, tint: int, shade: float, length: float) -> list[Face]:
        cabin = [(0.25, 0.92), (0.65, roof), (length * tail - 0.7, roof), (length * tail, 0.92)]
        glass = [
            (0.55, 0.95),
            (0.82, roof - 0.12),
            (length * tail - 0.85, roof - 0.12),
            (length * tail - 0.3, 0.95),
        ]
        pillar = length * tail * 0.5
        return [
            panel(CAR, Role.CAR_PAINT, tint, shade, plane, cabin),
            panel(CAR, Role.GLASS, 0, shade, plane, glass),
            panel(CAR, Role.CAR_PAINT, tint, shade, plane, box(pillar, pillar + 0.12, 0.9, roof - 0.05)),
            panel(CAR, Role.CAR_PAINT, tint, shade, plane, box(0, length, 0.3, 0.95)),
            panel(CAR, Role.DARK_TRIM, 0, shade, plane, box(0.1, length - 0.1, 0.22, 0.38)),
            *_wheels(CAR, plane, shade, [0.85, length - 0.85], 0.36),
        ]

    return draw


def _car_end(roof: float):
    def draw(plane: Plane, tint: int, shade: float, half: float, end: str) -> list[Face]:
        top = half * 0.72
        return [
            panel(CAR, Role.TYRE, 0, 1.0, plane, box(-half + 0.05, -half + 0.32, 0, 0.5)),
            panel(CAR, Role.TYRE, 0, 1.0, plane, box(half - 0.32, half - 0.05, 0, 0.5)),
            panel(
                CAR,
                Role.CAR_PAINT,
                tint,
                shade * 1.05,
                plane,
                [(-half, 0.9), (half, 0.9), (top, roof), (-top, roof)],
            ),
            panel(
                CAR,
                Role.GLASS,
                0,
                1.0,
                plane,
                [
                    (-half + 0.17, 0.95),
                    (half - 0.17, 0.95),
                    (top - 0.06, roof - 0.1),
                    (-top + 0.06, roof - 0.1),
                ],
            ),
            panel(CAR, Role.CAR_PAINT, tint, shade * 0.92, plane, box(-half, half, 0.28, 0.95)),
            panel(CAR, Role.DARK_TRIM, 0, 1.0, plane, box(-half + 0.05, half - 0.05, 0.24, 0.42)),
            panel(CAR, Role.PLATE, 0, 1.0, plane, box(-0.26, 0.26, 0.5, 0.64)),
            *_lamps(CAR, plane, half, 0.64, end, 0.34),
        ]

    return draw


def _truck_side(plane: Plane, tint: int, shade: float, length: float) -> list[Face]:
    cab = length - 2.0
    return [
        panel(TRUCK, Role.DARK_TRIM, 0, shade, plane, box(0.1, length - 0.1, 0.5, 1.1)),
        panel(TRUCK, Role.CARGO_BOX, tint, shade, plane, box(0, cab - 0.2, 0.95, 3.5)),
        panel(TRUCK, Role.STRIPE, tint, shade, plane, box(0.4, cab - 0.6, 1.9, 2.5)),
        panel(TRUCK, Role.CAR_PAINT, tint, shade, plane, box(cab, length, 0.6, 2.8)),
        panel(TRUCK, Role.GLASS, 0, shade, plane, box(cab + 0.5, length - 0.2, 1.7, 2.5)),
        *_wheels(TRUCK, plane, shade, [1.2, 2.3, length - 1.1], 0.52),
    ]


def _truck_end(plane: Plane, tint: int, shade: float, half: float, end: str) -> list[Face]:
    faces = [
        panel(TRUCK, Role.TYRE, 0, 1.0, plane, box(-half + 0.05, -half + 0.6, 0, 1.0)),
        panel(TRUCK, Role.TYRE, 0, 1.0, plane, box(half - 0.6, half - 0.05, 0, 1.0)),
        panel(TRUCK, Role.CARGO_BOX, tint, shade, plane, box(-half, half, 0.95, 3.5)),
    ]
    if end == REAR:
        faces += [
            panel(TRUCK, Role.DARK_TRIM, 0, 1.0, plane, box(-0.05, 0.05, 1.0, 3.4)),
            panel(TRUCK, Role.DARK_TRIM, 0, 1.0, plane, box(-half, half, 0.65, 1.0)),
            panel(TRUCK, Role.STRIPE, tint, shade, plane, box(-half + 0.2, half - 0.2, 1.9, 2.5)),
        ]
    else:
        faces += [
            panel(TRUCK, Role.CAR_PAINT, tint, shade, plane, box(-half, half, 0.55, 2.85)),
            panel(TRUCK, Role.GLASS, 0, 1.0, plane, box(-half + 0.15, half - 0.15, 1.65, 2.6)),
            panel(TRUCK, Role.DARK_TRIM, 0, 1.0, plane, box(-half + 0.5, half - 0.5, 0.8, 1.4)),
        ]
    return faces + _lamps(TRUCK, plane, half, 0.72, end, 0.36)


def _bus_side(plane: Plane, tint: int, shade: float, length: float) -> list[Face]:
    faces = [
        panel(BUS, Role.BUS_PAINT, tint, shade, plane, box(0, length, 0.35, 3.2)),
        panel(BUS, Role.STRIPE, tint + 1, shade, plane, box(0, length, 0.5, 0.85)),
    ]
    step = length / 6
    for i in range(6):
        low = 0.6 if i in (2, 5) else 1.5
        faces.append(panel(BUS, Role.GLASS, 0, shade, plane, box(i * step + 0.2, (i + 1) * step - 0.15, low, 2.65)))
    return faces + _wheels(BUS, plane, shade, [2.2, length - 2.0], 0.5)


def _bus_end(plane: Plane, tint: int, shade: float, half: float, end: str) -> list[Face]:
    low = 1.1 if end == FRONT else 1.7
    return [
        panel(BUS, Role.TYRE, 0, 1.0, plane, box(-half + 0.1, -half + 0.5, 0, 0.6)),
        panel(BUS, Role.TYRE, 0, 1.0, plane, box(half - 0.5, half - 0.1, 0, 0.6)),
        panel(BUS, Role.BUS_PAINT, tint, shade, plane, box(-half, half, 0.35, 3.2)),
        panel(BUS, Role.GLASS, 0, 1.0, plane, box(-half + 0.15, half - 0.15, low, 2.55)),
        panel(BUS, Role.DARK_TRIM, 0, 1.0, plane, box(-half + 0.35, half - 0.35, 2.68, 3.05)),
        panel(BUS, Role.HEADLAMP, 0, 0.95, plane, box(-half + 0.6, half - 0.9, 2.76, 2.97)),
        panel(BUS, Role.PLATE, 0, 1.0, plane, box(-0.3, 0.3, 0.5, 0.66)),
        *_lamps(BUS, plane, half, 0.72, end, 0.36),
    ]


def _tram_side(plane: Plane, tint: int, shade: float, length: float) -> list[Face]:
    faces = [
        panel(TRAIN, Role.DARK_TRIM, 0, shade, plane, box(0.5, length - 0.5, 3.4, 3.75)),
        panel(TRAIN, Role.TRAM_PAINT, tint, shade, plane, box(0, length, 0.2, 3.45)),
        panel(TRAIN, Role.STRIPE, tint + 3, shade, plane, box(0, length, 0.9, 1.35)),
        panel(TRAIN, Role.GLASS, 0, shade, plane, box(0.5, length - 0.5, 1.6, 2.8)),
    ]
    step = length / 8
    for i in range(1, 8):
        gap = 0.3 if i % 3 == 0 else 0.1
        faces.append(panel(TRAIN, Role.TRAM_PAINT, tint, shade, plane, box(i * step - gap, i * step + gap, 1.6, 2.8)))
    return faces


def _tram_end(plane: Plane, tint: int, shade: float, half: float, end: str) -> list[Face]:
    top = half * 0.8
    return [
        panel(TRAIN, Role.DARK_TRIM, 0, 1.0, plane, box(-half + 0.2, half - 0.2, 0.05, 0.4)),
        panel(TRAIN, Role.DARK_TRIM, 0, 1.0, plane, box(-half * 0.5, half * 0.5, 3.3, 3.9)),
        panel(
            TRAIN,
            Role.TRAM_PAINT,
            tint,
            shade,
            plane,
            [(-half, 0.25), (half, 0.25), (half, 2.5), (top, 3.5), (-top, 3.5), (-half, 2.5)],
        ),
        panel(
            TRAIN,
            Role.GLASS,
            0,
            1.0,
            plane,
            [
                (-half + 0.2, 1.4),
                (half - 0.2, 1.4),
                (half - 0.2, 2.4),
                (top - 0.2, 2.85),
                (-top + 0.2, 2.85),
                (-half + 0.2, 2.4),
            ],
        ),
        panel(TRAIN, Role.STRIPE, tint + 3, shade, plane, box(-half, half, 0.8, 1.25)),
        panel(TRAIN, Role.HEADLAMP, 0, 0.95, plane, box(-0.6, 0.6, 3.0, 3.3)),
        *_lamps(TRAIN, plane, half, 0.45, end, 0.36),
    ]


VEHICLES = {
    "car": Vehicle(1.85, 4.3, _car_side(1.48, 0.72), _car_end(1.48)),
    "van": Vehicle(1.95, 4.7, _car_side(1.95, 0.86), _car_end(1.95)),
    "truck": Vehicle(2.5, 7.5, _truck_side, _truck_end),
    "bus": Vehicle(2.6, 10.5, _bus_side, _bus_end),
    "tram": Vehicle(2.6, 17.0, _tram_side, _tram_end),
}
