"""Develops a raster of faces into a picture: surface colours, texture, shadow, haze, sky, lens, sensor.

Everything here acts on brightness and colour only; no step moves an outline by more than the lens's blur.
"""

from random import Random

import numpy as np
from PIL import Image, ImageFilter

from data_pipelines.datasets.toy_streets.drawing.colours import GROUND_ROLES, MAX_TINTS, colour_table, roughness_table
from data_pipelines.datasets.toy_streets.drawing.materials import Label, Role
from data_pipelines.datasets.toy_streets.drawing.painting import Camera, Raster
from data_pipelines.datasets.toy_streets.looks import Look, Photo
from data_pipelines.datasets.toy_streets.scene import Scene

SUPERSAMPLE = 2
_LIT_WINDOW = (255, 214, 130)
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def native(raster: Raster) -> np.ndarray:
    """The face seen at each pixel of the finished picture, int32 [H,W], from the supersampled raster."""
    return raster.faces[::SUPERSAMPLE, ::SUPERSAMPLE]


def develop(raster: Raster, scene: Scene, look: Look, rand: Random, noise: np.random.Generator) -> np.ndarray:
    """Returns the picture, uint8 [H,W,3], at 1/SUPERSAMPLE of the raster's size."""
    photo, seen = look.photo, native(raster)
    dusk = rand.random() < photo.dusk
    zenith, haze_colour = (np.array([*bytes.fromhex(c)], np.float32) / 255 for c in rand.choice(photo.skies))
    light = _surface_colours(raster, look, rand, dusk)
    on_ground = np.isin(raster.roles, GROUND_ROLES)[seen]
    depth, across = _positions(raster.depths[seen], on_ground, scene.camera)
    light *= _texture(raster.roles[seen], on_ground, depth, across, photo, noise)[..., None]
    light *= _house_shadow(on_ground, depth, across, scene, rand, rand.uniform(*photo.shadow))[..., None]
    haze = 1 - np.exp(-rand.uniform(*photo.haze) * depth)[..., None]
    light += haze * (haze_colour - light)
    is_sky = raster.labels[seen] == Label.SKY
    light = np.where(is_sky[..., None], _sky(seen.shape, zenith, haze_colour, scene, photo.clouds, noise), light)
    if dusk:
        light *= np.array([0.42, 0.42, 0.55], np.float32)
        light += 0.6 * _glow(light, 0.4, seen.shape[1] / 60)
    return _expose(light, photo, rand, noise)


def _surface_colours(raster: Raster, look: Look, rand: Random, dusk: bool) -> np.ndarray:
    """Antialiased colours of the lit surfaces, float32 [H,W,3] in 0..1."""
    table = colour_table(look.name).copy()
    if dusk:
        table[Role.WINDOW, ::3] = _LIT_WINDOW
    for role in (Role.ASPHALT, Role.PAVING, Role.GRASS):  # one sort of ground for the whole picture
        table[role] = table[role, rand.randrange(MAX_TINTS)]
    colours = table[raster.roles, raster.tints % MAX_TINTS] * raster.shades[:, None]
    pixels = np.minimum(colours, 255).astype(np.uint8)[raster.faces].astype(np.uint16)
    step = SUPERSAMPLE
    total = sum(pixels[i::step, j::step] for i in range(step) for j in range(step))
    return total.astype(np.float32) / (255 * step * step)


def _positions(face_depth: np.ndarray, on_ground: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Depth and signed distance from the street's centre line of each pixel, metres, float32 [H,W] each.

    Exact on the ground; elsewhere the depth is that of the face's middle.
    """
    height, width = face_depth.shape
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    columns = np.arange(width, dtype=np.float32)[None, :] + 0.5
    below = np.maximum(rows - camera.horizon * height, 0.35)
    focal = camera.focal * width
    depth = np.where(on_ground, focal * camera.height / below, face_depth).astype(np.float32)
    across = (columns - width / 2) * depth / focal + camera.x - camera.bend * depth**2
    return depth, across.astype(np.float32)


def _blotches(shape: tuple[int, int], noise: np.random.Generator, cells: int) -> np.ndarray:
    """Smooth noise of unit deviation or so, float32 [H,W], with `cells` cells across the width."""
    rows = max(2, round(cells * shape[0] / shape[1]))
    coarse = noise.standard_normal((rows, cells), np.float32)
    return np.asarray(Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def _texture(roles, on_ground, depth, across, photo: Photo, noise: np.random.Generator) -> np.ndarray:
    """Brightness factors, float32 [H,W]; on the ground the grain lies in perspective."""
    fine, coarse = np.moveaxis(roughness_table()[roles], -1, 0)
    grain = noise.standard_normal(roles.shape, np.float32)
    tile = noise.standard_normal((64, 64), np.float32)
    lying = tile[(depth * 2.5).astype(np.int32) & 63, (across * 4.0).astype(np.int32) & 63]
    grain = np.where(on_ground, 0.7 * lying + 0.5 * grain, grain)
    near = np.clip(14 / depth, 0.3, 1)
    amount = photo.texture * (fine * near * grain + coarse * _blotches(roles.shape, noise, 16))
    return np.maximum(1 + amount, 0.2)


def _house_shadow(on_ground, depth, across, scene: Scene, rand: Random, left: float) -> np.ndarray:
    """Factors, float32 [H,W]: `left` where the houses on the sun's side shade the ground, 1 elsewhere."""
    reaches = np.array([rand.uniform(-0.6, 1.1) for _ in range(12)], np.float32)
    cell = np.clip(depth / 6, 0, len(reaches) - 1).astype(np.int32)
    edge = scene.street.half_width * (1 - reaches[cell])
    return np.where(on_ground & (across * scene.sun_side > edge), np.float32(left), np.float32(1))


def _sky(shape, zenith, horizon_colour, scene: Scene, clouds: float, noise: np.random.Generator) -> np.ndarray:
    """The sky as if nothing stood before it, float32 [H,W,3]."""
    height = np.clip(1 - np.arange(shape[0], dtype=np.float32) / (scene.camera.horizon * shape[0]), 0, 1)
    blend = (height**0.8)[:, None, None]
    sky = horizon_colour + blend * (zenith - horizon_colour)
    cover = np.clip(0.6 * _blotches(shape, noise, 7) + 0.4 * _blotches(shape, noise, 19), 0, 1)[..., None]
    return sky + clouds * cover * (np.float32(0.97) - sky)


def _glow(light: np.ndarray, threshold: float, radius: float) -> np.ndarray:
    """Light that spills from what is brighter than `threshold`, float32 [H,W,3]."""
    bright = (np.clip(light - threshold, 0, 1) * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(bright).filter(ImageFilter.BoxBlur(radius)), np.float32) / 255


def _expose(light: np.ndarray, photo: Photo, rand: Random, noise: np.random.Generator) -> np.ndarray:
    """Colour grade, lens and sensor, in that order; returns uint8 [H,W,3]."""
    height, width, _ = light.shape
    if photo.bloom:
        light = light + photo.bloom * _glow(light, 0.75, width / 90)
    grey = (light @ _GREY)[..., None]
    light = grey + rand.uniform(*photo.saturation) * (light - grey)
    cast = [c * (1 + rand.uniform(-photo.cast_jitter, photo.cast_jitter)) for c in photo.cast]
    light = light * np.array(cast, np.float32) * rand.uniform(*photo.exposure)
    light = np.clip(0.5 + rand.uniform(*photo.contrast) * (light - 0.5), 0, 1) ** rand.uniform(*photo.gamma)
    reflection = rand.uniform(*photo.reflection)
    if reflection > 0:
        fade = np.linspace(0.2, 1, height, dtype=np.float32)[:, None]
        light = light + (reflection * fade * np.clip(0.5 + 0.5 * _blotches(light.shape[:2], noise, 6), 0, 1))[..., None]
    if photo.vignette:
        rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
        columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :] ** 2
        light = light * (1 - photo.vignette * 0.5 * (rows + columns))[..., None]
    pixels = np.clip(light * 255, 0, 255)
    radius = rand.uniform(*photo.blur) * width / 256
    if radius > 0.05:
        blurred = Image.fromarray((pixels + 0.5).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
        pixels = np.asarray(blurred, np.float32)
    sigma = rand.uniform(*photo.noise)
    if sigma > 0:
        grain = noise.standard_normal((height, width, 1), np.float32)
        pixels = pixels + sigma * (grain + 0.4 * noise.standard_normal(pixels.shape, np.float32))
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
