"""Projects painted faces and draws image and label by one and the same call.

The canvas holds one integer per pixel: the number of the face seen there. Colour, label, depth and texture
of a pixel are looked up from its face afterwards, so image and label cannot disagree about an outline.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from data_pipelines.datasets.toy_streets.drawing.materials import Face, Label, Point, Role

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
    seen, depths = [Face(Label.SKY, Role.SKY, 0, 1.0, [])], [SKY_DEPTH]  # number 0: the sky behind everything
    for face in faces:
        outline = camera.project(face.points, size)
        if len(outline) < 3:
            continue
        draw.polygon(outline, fill=len(seen))
        seen.append(face)
        depths.append(max(sum(z for _, _, z in face.points) / len(face.points), NEAR))
    return Raster(
        faces=np.asarray(canvas),
        labels=np.array([face.label for face in seen], np.uint8),
        roles=np.array([face.role for face in seen], np.uint8),
        tints=np.array([face.tint for face in seen], np.uint8),
        shades=np.array([face.shade for face in seen], np.float32),
        depths=np.array(depths, np.float32),
    )
