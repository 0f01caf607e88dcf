"""Projects painted faces and draws image and label by one and the same call.

The canvas holds one integer per pixel: the number of the face seen there. Colour, label, depth and texture
of a pixel are looked up from its face afterwards, so image and label cannot disagree about an outline.
"""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from data_pipelines.datasets.toy_streets.drawing.materials import SKY, Face, Point, Role

NEAR = 0.6  # metres in front of the lens; nearer parts of a face are clipped away
SKY_DEPTH = 1e4


@dataclass(frozen=True)
class Camera:
    """A pinhole that looks along +z over a street whose centre line is x = bend * z**2.

    x, height: position in metres. focal: focal length in picture widths. horizon: its row in picture heights.
    """

    x: float
    height: float
    focal: float
    horizon: float
    bend: float

    def project(self, points: list[Point], size: tuple[int, int]) -> list[tuple[float, float]]:
        """Pixel positions of world points on a canvas of `size` (width, height); [] if all lie behind it."""
        if any(z < NEAR for _, _, z in points):
            points = _clip_to_near_plane(points)
        focal, centre, horizon = self.focal * size[0], size[0] / 2, self.horizon * size[1]
        x0, y0, bend = self.x, self.height, self.bend
        return [(centre + focal * (x - x0 + bend * z * z) / z, horizon - focal * (y - y0) / z) for x, y, z in points]


def _clip_to_near_plane(points: list[Point]) -> list[Point]:
    """Sutherland-Hodgman against z = NEAR."""
    kept = []
    for i, b in enumerate(points):
        a = points[i - 1]
        if (a[2] < NEAR) != (b[2] < NEAR):
            t = (NEAR - a[2]) / (b[2] - a[2])
            kept.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), NEAR))
        if b[2] >= NEAR:
            kept.append(b)
    return kept


@dataclass
class FaceTable:
    """One entry per face that was drawn; entry 0 is the sky behind everything."""

    labels: list[int] = field(default_factory=list)
    roles: list[int] = field(default_factory=list)
    tints: list[int] = field(default_factory=list)
    shades: list[float] = field(default_factory=list)
    depths: list[float] = field(default_factory=list)

    def add(self, face: Face, depth: float) -> int:
        """Appends a face and returns its number."""
        self.labels.append(face.label)
        self.roles.append(face.role)
        self.tints.append(face.tint)
        self.shades.append(face.shade)
        self.depths.append(depth)
        return len(self.labels) - 1


@dataclass(frozen=True)
class Raster:
    """What the camera saw: `faces` int32 [H,W] indexes the other arrays, which have one entry a face."""

    faces: np.ndarray
    labels: np.ndarray
    roles: np.ndarray
    tints: np.ndarray
    shades: np.ndarray
    depths: np.ndarray


def paint(faces: list[Face], camera: Camera, size: tuple[int, int]) -> Raster:
    """Draws `faces` in their order (later ones cover earlier ones) on a canvas of `size` (width, height)."""
    canvas = Image.new("I", size, 0)
    draw = ImageDraw.Draw(canvas)
    table = FaceTable()
    table.add(Face(SKY, Role.SKY, 0, 1.0, []), SKY_DEPTH)
    for face in faces:
        outline = camera.project(face.points, size)
        if len(outline) < 3:
            continue
        depth = sum(p[2] for p in face.points) / len(face.points)
        draw.polygon(outline, fill=table.add(face, max(depth, NEAR)))
    return Raster(
        faces=np.asarray(canvas),
        labels=np.array(table.labels, np.uint8),
        roles=np.array(table.roles, np.uint8),
        tints=np.array(table.tints, np.uint8),
        shades=np.array(table.shades, np.float32),
        depths=np.array(table.depths, np.float32),
    )
