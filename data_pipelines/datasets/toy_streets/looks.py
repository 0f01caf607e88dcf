"""The three looks: how each city is laid out (mildly different) and photographed (very different).

Shape and place of things are shared, so that a network can carry them over; colours, light, haze, texture
and sensor differ, so that one trained on a single look fails on another. Surface colours are in colours.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Range = tuple[float, float]


@dataclass(frozen=True)
class StreetLayout:
    """How streets are drawn at random; pairs are (least, most), lengths in metres, the rest probabilities."""

    road_half_width: Range
    pavement: Range
    floors: tuple[int, int]
    camera_height: Range
    focal: Range = (0.72, 0.82)  # in picture widths
    horizon: Range = (0.42, 0.48)  # in picture heights
    bend: float = 0.003
    pitched: float = 0.4
    verge: float = 0.45
    junction: float = 0.4
    rails: float = 0.2
    double_centre: bool = False
    roadside: tuple[float, ...] = (0.5, 0.17, 0.17, 0.16)  # weights of house, fence, wall, green
    far_houses: tuple[int, int] = (3, 8)
    street_trees: float = 0.3
    gantry: float = 0.3
    walkers: tuple[int, int] = (1, 4)
    riders: tuple[int, int] = (0, 2)
    motor_rider: float = 0.4
    parked_bicycle: float = 0.3
    parked_motorcycle: float = 0.28
    parked_cars: float = 0.4
    large_vehicles: Mapping[str, float] = field(default_factory=lambda: {"truck": 0.36, "bus": 0.4, "tram": 0.36})
    bonnet: float = 0.0


@dataclass(frozen=True)
class Photo:
    """Light and sensor; each range is drawn from once per picture. Factors act on values 0..1.

    skies: (zenith, horizon) colours to choose from, RGB in hexadecimal; the horizon's colour is also that of the haze.
    """

    skies: tuple[tuple[str, str], ...]
    exposure: Range = (0.95, 1.05)
    contrast: Range = (1.0, 1.0)  # around the middle grey
    gamma: Range = (1.0, 1.0)  # > 1 darkens the mid-tones
    saturation: Range = (1.0, 1.0)
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    cast_jitter: float = 0.0
    haze: Range = (0.0, 0.0)  # extinction per metre
    shadow: Range = (0.5, 0.8)  # light left in the shadow of the houses
    clouds: float = 0.0
    texture: float = 1.0  # scale of all surface textures
    noise: Range = (0.0, 0.0)  # standard deviation in levels of 255
    blur: Range = (0.0, 0.0)  # radius in pixels of a picture 256 wide
    bloom: float = 0.0
    vignette: float = 0.0
    reflection: Range = (0.0, 0.0)  # strength of the windscreen's reflections
    dusk: float = 0.0  # chance of a picture after sunset
    jpeg_quality: int = 0  # 0: lossless


@dataclass(frozen=True)
class Look:
    """A city in the layout of one dataset."""

    name: str
    dataset: str
    layout: StreetLayout
    photo: Photo
    size_jitter: int = 0  # GTA5's frames differ in size by a few rows; in pixels


SYNTHETIC = Look(
    name="synthetic",
    dataset="gta5",
    layout=StreetLayout(
        road_half_width=(4.2, 5.6),
        pavement=(2.8, 4.6),
        floors=(2, 6),
        camera_height=(1.55, 1.95),
        pitched=0.25,
    ),
    photo=Photo(
        skies=(("347ae2", "badafa"), ("4696f0", "d2e8fc"), ("2864c8", "f0d6b2")),
        exposure=(0.85, 1.1),
        contrast=(1.0, 1.15),
        saturation=(1.0, 1.3),
        haze=(0.002, 0.006),
        shadow=(0.55, 0.7),
        clouds=0.15,
        texture=0.6,
        noise=(0.5, 2.5),
        blur=(0.0, 0.3),
        bloom=0.15,
    ),
    size_jitter=4,
)

AMERICAN = Look(
    name="american",
    dataset="bdd100k",
    layout=StreetLayout(
        road_half_width=(4.8, 6.6),
        pavement=(2.6, 4.6),
        floors=(1, 4),
        camera_height=(1.3, 1.5),
        pitched=0.35,
        verge=0.6,
        double_centre=True,
        rails=0.1,
        gantry=0.8,
        bonnet=0.25,
    ),
    photo=Photo(
        skies=(("6096ce", "ecdec4"), ("96aaba", "fcecce"), ("6e96c8", "f6cea0")),
        exposure=(0.85, 1.2),
        contrast=(1.1, 1.35),
        gamma=(0.9, 1.25),
        saturation=(0.8, 1.05),
        cast=(1.07, 0.99, 0.86),
        cast_jitter=0.05,
        haze=(0.002, 0.007),
        shadow=(0.32, 0.5),
        clouds=0.35,
        texture=1.0,
        noise=(1.5, 4.0),
        blur=(0.0, 0.5),
        bloom=0.35,
        vignette=0.25,
        reflection=(0.0, 0.16),
        dusk=0.15,
        jpeg_quality=62,
    ),
)

EUROPEAN = Look(
    name="european",
    dataset="cityscapes",
    layout=StreetLayout(
        road_half_width=(3.9, 5.2),
        pavement=(2.6, 4.6),
        floors=(3, 7),
        camera_height=(1.15, 1.35),
        horizon=(0.40, 0.46),
        pitched=0.7,
        verge=0.35,
        rails=0.45,
        walkers=(2, 5),
        riders=(0, 3),
        motor_rider=0.35,
        parked_bicycle=0.45,
        large_vehicles={"truck": 0.34, "bus": 0.38, "tram": 0.42},
        bonnet=0.6,
    ),
    photo=Photo(
        skies=(("d6e0de", "eef0e8"), ("beccd0", "e2e6e0"), ("e8eae2", "f4f2e8")),
        exposure=(0.92, 1.1),
        contrast=(0.85, 1.0),
        gamma=(1.0, 1.2),
        saturation=(0.65, 0.85),
        cast=(0.94, 1.04, 0.95),
        cast_jitter=0.03,
        haze=(0.005, 0.012),
        shadow=(0.75, 0.92),
        clouds=0.2,
        texture=1.25,
        noise=(2.5, 4.5),
        blur=(0.35, 0.7),
        vignette=0.15,
    ),
)

LOOKS = {look.name: look for look in (SYNTHETIC, AMERICAN, EUROPEAN)}
