"""Trees, poles, signs, signals, fences and walls: what stands along a street; all but the green on the pavement."""

from collections.abc import Iterator
from functools import partial
from random import Random

from data_pipelines.datasets.toy_streets.drawing.materials import Face, Label, Role, SceneObject
from data_pipelines.datasets.toy_streets.drawing.shapes import Plane, along, bar, blob, box, disc, facing, panel
from data_pipelines.datasets.toy_streets.things.ground_plan import KERB


def tree(rand: Random, x: float, z: float, height: float) -> SceneObject:
    """A trunk under a crown of a few ragged blobs, darker below than above; all of it is vegetation."""
    paint = partial(panel, Label.VEGETATION, facing(x, z), tint=rand.randrange(8))
    crown = height * rand.uniform(0.6, 0.72)
    wide = crown * rand.uniform(0.75, 1.0)
    middle = height - crown / 2
    faces = [paint(Role.TRUNK, box(-0.17, 0.17, 0.0, middle))]
    lobes = ((0, -0.14, 0.95, 0.72), (-0.22, 0.02, 0.6, 1.0), (0.22, 0.0, 0.62, 0.92), (0.02, 0.2, 0.62, 1.18))
    for s, y, size, shade in lobes:
        outline = blob(rand, s * wide, middle + y * crown, size * wide, size * crown)
        faces.append(paint(Role.LEAF, outline, shade=shade))
    return SceneObject(z, faces)


def bush(rand: Random, x: float, z: float) -> SceneObject:
    """A low bush of 0.9 to 1.6 m."""
    paint = partial(panel, Label.VEGETATION, facing(x, z), tint=rand.randrange(8))
    height, faces = rand.uniform(0.9, 1.6), []
    for s, size, shade in ((0.0, 1.0, 0.75), (-0.3, 0.7, 0.95), (0.35, 0.75, 1.1)):
        outline = blob(rand, s * height, height * size * 0.45, 1.5 * height * size, height * size, 10)
        faces.append(paint(Role.LEAF, outline, shade=shade))
    return SceneObject(z, faces)


def lamp_post(x: float, z: float, reach: float) -> SceneObject:
    """A street lamp 7 m high whose arm reaches `reach` metres towards the road (negative: to the left)."""
    paint = partial(panel, Label.POLE, facing(x, z))
    post = paint(Role.POLE_METAL, box(-0.13, 0.13, KERB, 7.0))
    arm = paint(Role.POLE_METAL, bar(0, 6.9, reach, 7.2, 0.17), shade=0.9)
    lamp = paint(Role.HEADLAMP, bar(reach, 7.15, reach * 1.45, 7.2, 0.26), shade=0.9)
    return SceneObject(z, [post, arm, lamp])


def traffic_sign(rand: Random, x: float, z: float) -> SceneObject:
    """A round, triangular, square or wide board on a pole."""
    plane, tint = facing(x, z), rand.randrange(8)
    triangle, square = [(-0.6, -0.45), (0.6, -0.45), (0, 0.6)], box(-0.5, 0.5, -0.5, 0.5)
    outline = rand.choice([disc(0, 0, 0.55, 12), triangle, square, disc(0, 0, 0.55, 8), box(-0.85, 0.85, -0.45, 0.45)])
    faces = [panel(Label.POLE, plane, Role.POLE_METAL, box(-0.1, 0.1, KERB, 2.5), shade=0.95)]
    boards = (2.55, 3.6) if rand.random() < 0.3 else (2.55,)
    for i, middle in enumerate(boards):
        paint = partial(panel, Label.TRAFFIC_SIGN, plane, tint=tint + i)
        for role, size in ((Role.SIGN_RIM, 1.0), (Role.SIGN_FACE, 0.72)):
            faces.append(paint(role, [(s * size, middle + y * size) for s, y in outline]))
        faces.append(paint(Role.SIGN_RIM, box(-0.22, 0.22, middle - 0.06, middle + 0.06), shade=0.9))
    return SceneObject(z, faces)


def _signal_head(plane: Plane, s: float, y: float, stop: bool) -> list[Face]:
    """A three-lamp head 0.6 m wide and 1.6 m high whose lower edge is at y; its back plate belongs to it."""
    paint = partial(panel, Label.TRAFFIC_LIGHT, plane)
    red, green = (Role.LAMP_RED, Role.LAMP_OFF) if stop else (Role.LAMP_OFF, Role.LAMP_GREEN)
    lamps = ((1.3, red), (0.8, Role.LAMP_OFF), (0.3, green))
    plate = paint(Role.SIGNAL_BOX, box(s - 0.36, s + 0.36, y, y + 1.6))
    return [plate, *(paint(role, disc(s, y + dy, 0.23, 8)) for dy, role in lamps)]


def traffic_light(rand: Random, x: float, z: float, reach: float) -> SceneObject:
    """A signal head on a pole, and a second one on an arm over the road when `reach` is not 0."""
    plane, stop = facing(x, z), rand.random() < 0.5
    pole = partial(panel, Label.POLE, plane, Role.POLE_METAL, shade=0.9)
    faces = [pole(box(-0.13, 0.13, KERB, 5.9 if reach else 3.0))]
    if reach:
        faces.append(pole(bar(0, 5.8, reach, 5.8, 0.2)))
        faces += _signal_head(plane, reach * 0.92, 4.5, stop)
    return SceneObject(z, faces + _signal_head(plane, 0.0, 2.4, stop))


def fence(rand: Random, x: float, z0: float, z1: float) -> list[SceneObject]:
    """A fence along the street from z0 to z1, 1.3 to 2 m high; Cityscapes counts its gaps as fence."""
    top = KERB + rand.uniform(1.3, 2.0)
    paint = partial(panel, Label.FENCE, along(x, 0.0), tint=rand.randrange(8))
    things = []
    for z, end in _sections(z0, z1, 2.0):
        faces = [paint(Role.FENCE_PANEL, box(z, end, KERB, top))]
        pickets = 4 if z < 16 else 1
        for i in range(pickets):
            s = z + (end - z) * i / pickets
            faces.append(paint(Role.FENCE_POST, box(s, s + 0.16, KERB, top + 0.12)))
        for y in (KERB + 0.25, top - 0.25):
            faces.append(paint(Role.FENCE_POST, box(z, end, y, y + 0.12), shade=0.9))
        things.append(SceneObject(end, faces))
    return things


def wall(rand: Random, x: float, z0: float, z1: float) -> list[SceneObject]:
    """A free-standing masonry wall along the street, with coping and piers."""
    top = KERB + rand.uniform(1.5, 2.6)
    paint = partial(panel, Label.WALL, along(x, 0.0), tint=rand.randrange(8))
    things = []
    for z, end in _sections(z0, z1, 3.0):
        masonry = paint(Role.MASONRY, box(z, end, KERB, top), shade=0.95)
        pier = paint(Role.MASONRY, box(z, z + 0.4, KERB, top), shade=0.8)
        coping = paint(Role.COPING, box(z, end, top - 0.05, top + 0.18))
        things.append(SceneObject(end, [masonry, pier, coping]))
    return things


def _sections(z0: float, z1: float, length: float) -> Iterator[tuple[float, float]]:
    """(begin, end) of pieces of a length, the last one shorter."""
    while z0 < z1:
        end = min(z0 + length, z1)
        yield z0, end
        z0 = end
