"""Buildings along the street, cut into bays which the painter's algorithm can sort among other things."""

from dataclasses import dataclass
from functools import partial
from random import Random

from data_pipelines.datasets.toy_streets.drawing.materials import Face, Label, Role, SceneObject
from data_pipelines.datasets.toy_streets.drawing.shapes import along, box, facing, panel

FLOOR = 3.2  # metres from storey to storey


@dataclass(frozen=True)
class House:
    """One building: where it stands, how high it is and how it is decorated."""

    x: float  # its street face
    outward: int  # +1 when the building lies to the right of its street face, -1 to the left
    z0: float
    z1: float
    floors: int
    tint: int
    shop: bool
    awning: bool
    pitched: bool  # a roof that slopes up from the street face

    @property
    def height(self) -> float:
        """Metres from the ground to the eaves."""
        return self.floors * FLOOR + 0.6


def random_house(rand: Random, x: float, outward: int, z0: float, z1: float, floors: tuple[int, int], pitched: float):
    """A building from z0 to z1 with `floors` (least, most) storeys; `pitched`: chance of a sloping roof."""
    return House(
        x=x,
        outward=outward,
        z0=z0,
        z1=z1,
        floors=rand.randint(*floors),
        tint=rand.randrange(8),
        shop=rand.random() < 0.45,
        awning=rand.random() < 0.4,
        pitched=rand.random() < pitched,
    )


def raise_house(house: House, light: float, detail: float) -> list[SceneObject]:
    """The building's bays, each a SceneObject.

    Args:
        light: shade of the street face; the end that faces the camera gets its complement.
        detail: depth in metres beyond which windows are drawn as one band for each storey.
    """
    things, z = [], house.z0
    bays = max(1, round((house.z1 - house.z0) / 4.5))
    step = (house.z1 - house.z0) / bays
    for i in range(bays):
        faces = []
        if i == 0:
            faces += _front(house, 1.75 - light, house.z0 < detail)
        faces += _bay(house, z, z + step, light, z < detail)
        things.append(SceneObject(z + step, faces))
        z += step
    return things


def _bay(house: House, z0: float, z1: float, light: float, detailed: bool) -> list[Face]:
    top, faces = house.height, []
    paint = partial(panel, Label.BUILDING, along(house.x, 0.0), tint=house.tint)
    if house.pitched:
        back = house.x + house.outward * 3.0
        slope = [(house.x, top, z0), (house.x, top, z1), (back, top + 3.2, z1), (back, top + 3.2, z0)]
        faces.append(Face(Label.BUILDING, Role.ROOF, house.tint, 1.0, slope))
    faces.append(paint(Role.FACADE, box(z0, z1, 0, top), shade=light))
    faces += _windows(house, paint, z0, z1, light, 2 if detailed else 1)
    for low, high in ((top - 0.45, top + 0.1), (FLOOR - 0.1, FLOOR + 0.2)):
        faces.append(paint(Role.FACADE_TRIM, box(z0, z1, low, high), shade=light))
    if house.shop:
        faces.append(paint(Role.SHOP, box(z0 + 0.5, z1 - 0.5, 0.5, 2.7), shade=light))
    else:
        door = (z0 + z1) / 2
        faces.append(paint(Role.SHOP, box(door - 0.55, door + 0.55, 0, 2.4), shade=light * 0.8))
    if house.shop and house.awning:
        x, out, near, far = house.x, house.x - house.outward * 1.0, z0 + 0.3, z1 - 0.3
        sheet = [(x, 3.1, near), (x, 3.1, far), (out, 2.5, far), (out, 2.5, near)]
        faces.append(Face(Label.BUILDING, Role.AWNING, house.tint, 1.0, sheet))
    return faces


def _front(house: House, light: float, detailed: bool) -> list[Face]:
    """The gable end that faces the camera; 12 m deep."""
    paint, top = partial(panel, Label.BUILDING, facing(house.x, house.z0)), house.height
    low, high = sorted((0.0, 12.0 * house.outward))
    outline = box(low, high, 0, top)
    if house.pitched:
        outline.insert(3, ((low + high) / 2, top + 4.5))
    facade = paint(Role.FACADE, outline, house.tint + 8, light)
    return [facade, *_windows(house, paint, low + 0.5, high - 0.5, light, 4 if detailed else 1, 0)]


def _windows(house: House, paint, s0: float, s1: float, light: float, columns: int, first: int = 1) -> list[Face]:
    """Rows of windows on the storeys from `first` up, `columns` of them between s0 and s1."""
    faces, step = [], (s1 - s0) / columns
    half = min(1.35, step * 0.62) / 2
    for floor in range(first, house.floors):
        y = floor * FLOOR + 1.0
        for i in range(columns):
            s = s0 + (i + 0.5) * step
            tint = (house.tint * 5 + floor * 3 + i * 7 + int(s)) % 8
            faces.append(paint(Role.WINDOW, box(s - half, s + half, y, y + 1.7), tint=tint, shade=light))
    return faces
