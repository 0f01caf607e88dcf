"""Lays out a random street in world coordinates: what stands where, sorted far to near."""

from dataclasses import dataclass
from random import Random

from data_pipelines.datasets.toy_streets.drawing.materials import Face, Label, Role, SceneObject
from data_pipelines.datasets.toy_streets.drawing.painting import Camera
from data_pipelines.datasets.toy_streets.drawing.shapes import blob, box, facing, panel
from data_pipelines.datasets.toy_streets.looks import StreetLayout
from data_pipelines.datasets.toy_streets.things import people, street_furniture
from data_pipelines.datasets.toy_streets.things.ground_plan import KERB, Street, plan_street, surface_faces
from data_pipelines.datasets.toy_streets.things.houses import raise_house, random_house
from data_pipelines.datasets.toy_streets.things.traffic import traffic
from data_pipelines.reading.label_spaces import IGNORE_LABEL

DEPTH = 70.0  # metres of street that are built up
SIDES = (-1, 1)


@dataclass(frozen=True)
class Scene:
    """A street ready to be painted: its camera, its faces from far to near, the side of the sun (-1 or 1)."""

    camera: Camera
    faces: list[Face]
    sun_side: int
    street: Street


def random_scene(rand: Random, layout: StreetLayout, aspect: float = 0.5) -> Scene:
    """Draws a street at random; equal generators give equal scenes. `aspect`: height / width."""
    street = plan_street(rand, layout)
    camera = Camera(
        x=street.eye_x,
        height=rand.uniform(*layout.camera_height),
        focal=rand.uniform(*layout.focal),
        horizon=rand.uniform(*layout.horizon),
        bend=rand.uniform(-layout.bend, layout.bend) if rand.random() < 0.6 else 0.0,
    )
    sun_side = rand.choice(SIDES)
    things = []
    for side in SIDES:
        things += _roadside(rand, layout, street, side, 0.95 if side == -sun_side else 0.72)
        things += _pavement_things(rand, layout, street, side)
    things += traffic(rand, layout, street)
    things.sort(key=lambda thing: -thing.depth)
    faces = [*_backdrop(rand, layout), *surface_faces(street)]
    faces += [face for thing in things for face in thing.faces]
    if rand.random() < layout.bonnet:
        faces.append(_bonnet(rand, camera, aspect))
    return Scene(camera, faces, sun_side, street)


def _backdrop(rand: Random, layout: StreetLayout) -> list[Face]:
    """What closes the vista: far hills or trees, and a far row of houses, all some 100 m away."""
    faces = []
    plane = facing(0.0, 110.0)
    for _ in range(7):
        s, size = rand.uniform(-110, 110), rand.uniform(14, 40)
        outline = blob(rand, s, 0, size * 1.6, size * rand.uniform(0.5, 1.0))
        faces.append(panel(Label.VEGETATION, plane, Role.FAR_HILL, outline, rand.randrange(8)))
    for _ in range(rand.randint(*layout.far_houses)):
        s, width = rand.uniform(-80, 80), rand.uniform(8, 20)
        height = rand.uniform(*layout.floors) * 3.2 + rand.uniform(0, 6)
        corners = box(s, s + width, 0, height)
        faces.append(panel(Label.BUILDING, plane, Role.FACADE, corners, rand.randrange(8), 0.85))
    faces.append(panel(Label.VEGETATION, plane, Role.FAR_HILL, box(-160, 160, -0.5, 3.0), shade=0.9))
    earth = [(-400.0, 0.0, 0.3), (400.0, 0.0, 0.3), (400.0, 0.0, 109.0), (-400.0, 0.0, 109.0)]
    faces.append(Face(Label.TERRAIN, Role.GRASS, 0, 1.0, earth))
    return faces


def _roadside(rand: Random, layout: StreetLayout, street: Street, side: int, light: float) -> list[SceneObject]:
    """Buildings, yards with fences or walls, and green gaps from the camera to the end of the street."""
    things, z = [], rand.uniform(1.5, 5.0)
    line = side * street.building_line
    while z < DEPTH:
        if street.junction and street.junction[0] - 1 < z < street.junction[1]:
            z = street.junction[1] + 0.5
        length = rand.uniform(8, 17)
        if street.junction and z < street.junction[0] < z + length + 3:
            length = street.junction[0] - 0.5 - z
        kind = rand.choices(("house", "fence", "wall", "green"), layout.roadside)[0]
        if kind == "house" and length > 3:
            house = random_house(rand, line, side, z, z + length, layout.floors, layout.pitched)
            things += raise_house(house, light, 26.0)
        elif kind in ("fence", "wall"):
            build = street_furniture.fence if kind == "fence" else street_furniture.wall
            things += build(rand, line, z, z + length)
            things += _grove(rand, line + side * 2.5, side, z, z + length, 0.55)
            back = random_house(rand, line + side * 9, side, z, z + length, layout.floors, layout.pitched)
            things += raise_house(back, light, 20.0) if rand.random() < 0.5 else []
        else:
            things += _grove(rand, line + side * 1.0, side, z, z + length, 1.0)
        z += max(length, 2.0) + (rand.uniform(1, 5) if rand.random() < 0.3 else 0.0)
    return things


def _grove(rand: Random, x: float, side: int, z0: float, z1: float, density: float) -> list[SceneObject]:
    """Trees and bushes between z0 and z1, up to 9 m away from x."""
    things, z = [], z0 + 1.0
    while z < z1:
        if rand.random() < density:
            away = x + side * rand.uniform(0, 9)
            if rand.random() < 0.65:
                things.append(street_furniture.tree(rand, away, z, rand.uniform(4.5, 9)))
            else:
                things.append(street_furniture.bush(rand, x + side * rand.uniform(0, 3), z))
        z += rand.uniform(2.0, 4.5)
    return things


def _pavement_things(rand: Random, layout: StreetLayout, street: Street, side: int) -> list[SceneObject]:
    """Trees, poles, signs, signals, people and parked two-wheelers on one pavement."""
    things, edge = [], side * (street.half_width + 0.55)
    walk = side * (street.walk[0] + 0.8), side * (street.walk[1] - 0.5)
    z = rand.uniform(7, 12)
    while z < 55:
        if not street.in_junction(z):
            roll = rand.random()
            if roll < layout.street_trees:
                things.append(street_furniture.tree(rand, side * street.tree_line, z, rand.uniform(4.5, 7.5)))
            elif roll < layout.street_trees + 0.3:
                things.append(street_furniture.lamp_post(edge, z, -side * 1.6))
            elif roll < layout.street_trees + 0.62:
                things.append(street_furniture.traffic_sign(rand, edge, z))
        z += rand.uniform(4.5, 9)
    if street.junction or rand.random() < 0.35:
        z = street.junction[0] - 1.0 if street.junction else rand.uniform(10, 20)
        reach = -side * street.half_width * 0.75 if rand.random() < layout.gantry and side > 0 else 0.0
        things.append(street_furniture.traffic_light(rand, edge, z, reach))
    for _ in range(rand.randint(*layout.walkers)):
        x, z = rand.uniform(*walk), rand.uniform(6, 24)
        things.append(people.person(rand, x, z, 0.0 if street.in_junction(z) else KERB))
    for machine, chance in ((people.bicycle, layout.parked_bicycle), (people.motorcycle, layout.parked_motorcycle)):
        if rand.random() < chance:
            z = rand.uniform(6.0, 13)
            for i in range(rand.choice((1, 2, 3))):
                x = walk[0] + side * rand.uniform(0.2, 1.0)
                things.append(people.parked(machine, rand, x, z + i * 1.3, street.eye_x))
    return things


def _bonnet(rand: Random, camera: Camera, aspect: float) -> Face:
    """The ego car's bonnet at the lower edge of the picture: ignored by training and evaluation."""
    rise, z = rand.uniform(0.03, 0.07), 1.0
    half = 0.5 / camera.focal
    low = camera.height - (1.02 - camera.horizon) / camera.focal * aspect

    def at(share: float, up: float):
        return (camera.x + share * half * 1.1, low + up / camera.focal * aspect, z)

    crown = [at(s, rise * (1.0 - s * s * 0.8)) for s in (-1.0, -0.8, -0.5, 0.0, 0.5, 0.8, 1.0)]
    return Face(IGNORE_LABEL, Role.BONNET, 0, 1.0, [*crown, at(1.0, -0.2), at(-1.0, -0.2)])
