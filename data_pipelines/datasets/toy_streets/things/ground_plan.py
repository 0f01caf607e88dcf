"""The plan of a street: widths, lanes, junction; and the ground it is painted as."""

from dataclasses import dataclass
from random import Random

from data_pipelines.datasets.toy_streets.drawing.materials import Face, Label, Role
from data_pipelines.datasets.toy_streets.drawing.shapes import ground
from data_pipelines.datasets.toy_streets.looks import StreetLayout

FAR = 108.0
KERB = 0.13  # height of the pavement above the road


@dataclass(frozen=True)
class Street:
    """Metres. The road spans -half_width..half_width; the pavement follows, then the buildings.

    verge: width of grass (0 = none), at the kerb or, if not verge_at_kerb, between pavement and houses.
    junction: (near, far) depth of a side street.
    """

    half_width: float
    pavement: float
    verge: float
    verge_at_kerb: bool
    eye_x: float
    forward_lanes: tuple[float, ...]
    oncoming_x: float | None
    junction: tuple[float, float] | None
    rails: bool
    edge_lines: bool
    double_centre: bool

    @property
    def building_line(self) -> float:
        """Distance of the street faces from the centre line."""
        return self.half_width + self.pavement + self.verge

    @property
    def tree_line(self) -> float:
        """Distance of street trees from the centre line: on the verge, else at the kerb."""
        if self.verge_at_kerb:
            return self.half_width + self.verge / 2
        return self.half_width + (self.pavement + self.verge / 2 if self.verge else 0.7)

    @property
    def walk(self) -> tuple[float, float]:
        """(inner, outer) distance of the pavement from the centre line."""
        inner = self.half_width + (self.verge if self.verge_at_kerb else 0.0)
        return inner, inner + self.pavement

    def in_junction(self, z: float) -> bool:
        """Whether the side street is at depth z."""
        return self.junction is not None and self.junction[0] - 0.5 < z < self.junction[1] + 0.5


def plan_street(rand: Random, layout: StreetLayout) -> Street:
    """Draws a plan at random."""
    half = rand.uniform(*layout.road_half_width)
    forward = (half * 0.28,) if half < 6 else (half * 0.2, half * 0.58)
    start = rand.uniform(14, 34)
    return Street(
        half_width=half,
        pavement=rand.uniform(*layout.pavement),
        verge=(verge := rand.uniform(1.5, 4.0) if rand.random() < layout.verge else 0.0),
        verge_at_kerb=verge > 0 and rand.random() < 0.5,
        eye_x=forward[0] + rand.uniform(-0.4, 0.4),
        forward_lanes=forward,
        oncoming_x=-half * 0.32 if rand.random() < 0.85 else None,
        junction=(start, start + rand.uniform(7, 11)) if rand.random() < layout.junction else None,
        rails=rand.random() < layout.rails,
        edge_lines=rand.random() < 0.6,
        double_centre=layout.double_centre,
    )


def surface_faces(street: Street) -> list[Face]:
    """Road, markings, rails, pavements, kerbs, verges and side street, in painting order."""
    half, line = street.half_width, street.building_line
    faces = []
    for side in (-1, 1):
        inner, outer = street.walk
        if street.verge:
            faces.append(ground(Label.TERRAIN, Role.GRASS, side * half, side * (line + 0.3), 0.3, FAR, KERB))
        else:
            outer += 0.3  # up to the walls, whose foot is a little lower
        faces.append(ground(Label.SIDEWALK, Role.PAVING, side * inner, side * outer, 0.3, FAR, KERB))
    faces.append(ground(Label.ROAD, Role.ASPHALT, -half, half, 0.3, FAR))
    for side in (-1, 1):
        faces.append(_kerb_face(side * half))
        faces.append(ground(Label.SIDEWALK, Role.KERB, side * half, side * (half + 0.28), 0.3, FAR, KERB))
    faces += _markings(street)
    if street.junction:
        faces += _side_street(street)
    return faces


def _kerb_face(x: float) -> Face:
    cuts = [0.3, 2, 4, 6, 9, 13, 18, 25, 35, 50, 75, FAR]
    corners = [*((x, 0.0, z) for z in cuts), *((x, KERB, z) for z in reversed(cuts))]
    return Face(Label.SIDEWALK, Role.KERB, 0, 0.75, corners)


def _markings(street: Street) -> list[Face]:
    faces, half = [], street.half_width
    if street.rails:
        for middle in (street.forward_lanes[0], -half * 0.32):
            for x in (middle - 0.72, middle + 0.72):
                faces.append(ground(Label.ROAD, Role.RAIL, x - 0.06, x + 0.06, 0.3, FAR))
    if street.double_centre:
        for x in (-0.22, 0.1):
            faces.append(ground(Label.ROAD, Role.CENTRE_MARK, x, x + 0.13, 0.3, FAR))
    else:
        faces += _dashes(0.0, Role.CENTRE_MARK)
    if len(street.forward_lanes) > 1:
        for side in (-1, 1):
            faces += _dashes(side * half * 0.4, Role.LANE_MARK)
    if street.edge_lines:
        for x in (-half + 0.35, half - 0.5):
            faces.append(ground(Label.ROAD, Role.LANE_MARK, x, x + 0.15, 0.3, FAR))
    return faces


def _dashes(x: float, role: Role) -> list[Face]:
    return [ground(Label.ROAD, role, x - 0.08, x + 0.08, z, z + 3.0) for z in range(2, 60, 7)]


def _side_street(street: Street) -> list[Face]:
    """Road that leaves on both sides, with a zebra crossing before it."""
    near, far = street.junction
    faces = [ground(Label.ROAD, Role.ASPHALT, -60, 60, near, far, KERB + 0.01)]
    for side in (-1, 1):
        x0, x1 = side * (street.half_width + 0.3), side * 60
        for z0, z1 in ((near - 2.2, near), (far, far + 2.2)):
            faces.append(ground(Label.SIDEWALK, Role.PAVING, x0, x1, z0, z1, KERB, shade=0.97))
    x = -street.half_width + 0.5
    while x < street.half_width - 0.5:
        faces.append(ground(Label.ROAD, Role.LANE_MARK, x, x + 0.5, near - 3.4, near - 0.8, 0.01))
        x += 1.0
    return faces
