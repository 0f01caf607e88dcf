"""Where and how each dataset keeps picture i, so that the readers of the real datasets can read the city."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.datasets.toy_streets.looks import LOOKS
from data_pipelines.datasets.toy_streets.render import Picture
from data_pipelines.reading.label_spaces import LABEL_CLASSES, TRAIN_ID_TO_LABEL_ID

CITIES = {"train": ("birkenstadt", "lindenhafen", "rosental"), "val": ("muehlbach",)}
EGO_VEHICLE = 1  # label id of what hides behind train id 255: the bonnet
_FAST_PNG = {"format": "PNG", "compress_level": 1}


def save_gta5(folder: Path, split: str, index: int, picture: Picture) -> None:
    """images/NNNNN.png and labels/NNNNN.png, a palette PNG whose values are label ids; numbers start at 1."""
    del split  # GTA5 has none
    name = f"{index + 1:05d}.png"
    _save(picture.image, folder / "images" / name)
    _save(label_ids(picture.label), folder / "labels" / name, palette=_palette())


def save_bdd100k(folder: Path, split: str, index: int, picture: Picture) -> None:
    """seg/images/SPLIT/*.jpg and seg/labels/SPLIT/*_train_id.png, which holds train ids and 255."""
    stem, quality = f"toy{split}-{index:05d}", LOOKS["american"].photo.jpeg_quality
    _save(picture.image, folder / "seg" / "images" / split / f"{stem}.jpg", quality=quality)
    _save(picture.label, folder / "seg" / "labels" / split / f"{stem}_train_id.png")


def save_cityscapes(folder: Path, split: str, index: int, picture: Picture) -> None:
    """leftImg8bit/SPLIT/CITY/*_leftImg8bit.png, gtFine/SPLIT/CITY/*_gtFine_{labelIds,labelTrainIds}.png."""
    city = CITIES[split][index % len(CITIES[split])]
    stem = f"{city}_{index:06d}_000019"
    _save(picture.image, folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
    for kind, label in (("labelIds", label_ids(picture.label)), ("labelTrainIds", picture.label)):
        _save(label, folder / "gtFine" / split / city / f"{stem}_gtFine_{kind}.png")


def label_ids(train_ids: np.ndarray) -> np.ndarray:
    """Train ids as Cityscapes label ids, uint8; 255 becomes "ego vehicle"."""
    return np.where(train_ids == 255, np.uint8(EGO_VEHICLE), TRAIN_ID_TO_LABEL_ID[train_ids])


def _palette() -> list[int]:
    """Colours of the label ids as Pillow wants them: 768 numbers."""
    palette = np.zeros((256, 3), np.uint8)
    for row in LABEL_CLASSES:
        palette[row.label_id] = row.colour
    return palette.ravel().tolist()


def _save(pixels: np.ndarray, path: Path, palette: list[int] | None = None, quality: int = 0) -> None:
    """As a JPEG of a quality or, for 0, as a PNG that is written fast."""
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(palette)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **({"format": "JPEG", "quality": quality} if quality else _FAST_PNG))


SAVERS: dict[str, Callable[[Path, str, int, Picture], None]] = {
    "gta5": save_gta5,
    "bdd100k": save_bdd100k,
    "cityscapes": save_cityscapes,
}
