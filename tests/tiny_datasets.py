"""Writes small datasets in the real layouts, and the data settings that read them."""

from pathlib import Path

import ml_collections
import numpy as np
from PIL import Image

from data_pipelines.reading import label_spaces

SIZE = (24, 16)  # width, height


def picture(seed, size=SIZE):
    """Random uint8 [H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def train_id_label(seed, size=SIZE):
    """Random uint8 [H, W] of train ids and 255."""
    values = np.array([*range(label_spaces.NUM_CLASSES), 255], np.uint8)
    return np.random.default_rng(seed).choice(values, (size[1], size[0]))


def save(path: Path, array, palette=False):
    """Saves an array as a picture, its folders included; with a palette, values become palette indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image.putpalette(label_spaces.PALETTE.ravel().tolist())
    image.save(path)
    return path


def write_cityscapes(root: Path, split="train", count=3, labelled=True, size=SIZE, seed=100):
    for i in range(count):
        city, stem = ("aachen", "bochum")[i % 2], f"_{i:06d}_000019"
        save(root / "leftImg8bit" / split / city / f"{city}{stem}_leftImg8bit.png", picture(seed + i, size))
        if labelled:
            ids = label_spaces.TRAIN_ID_TO_LABEL_ID[train_id_label(seed + i, size)]
            save(root / "gtFine" / split / city / f"{city}{stem}_gtFine_labelIds.png", ids)


def write_bdd100k(root: Path, split="train", count=3, size=SIZE, seed=200):
    for i in range(count):
        save(root / "seg" / "images" / split / f"{i:04d}.jpg", picture(seed + i, size))
        save(root / "seg" / "labels" / split / f"{i:04d}_train_id.png", train_id_label(seed + i, size))


def write_gta5(root: Path, count=3, sizes=(SIZE, (32, 16)), seed=300):
    for i in range(count):
        size = sizes[i % len(sizes)]
        save(root / "images" / f"{i + 1:05d}.png", picture(seed + i, size))
        ids = label_spaces.TRAIN_ID_TO_LABEL_ID[train_id_label(seed + i, size)]
        save(root / "labels" / f"{i + 1:05d}.png", ids, palette=True)


def write_pair(root: Path):
    """bdd100k and cityscapes under a root, with val splits; target pictures of training have no labels."""
    write_bdd100k(root / "bdd100k")
    write_bdd100k(root / "bdd100k", "val", 2, seed=250)
    write_cityscapes(root / "cityscapes", labelled=False)
    write_cityscapes(root / "cityscapes", "val", 3, seed=150)
    return root


def data_config(root, **overrides):
    """The fields of config.data that the data room reads."""
    config = ml_collections.ConfigDict(
        {
            "name": "bdd",
            "root": str(root),
            "cityscapes_dir": "",
            "gta5_dir": "",
            "bdd100k_dir": "",
            "target_dir": "",
            "source_list": "",
            "source_size": (20, 12),
            "target_size": (16, 8),
            "batch_size": 2,
            "loader": "numpy",
            "num_parallel_calls": 2,
            "prefetch": 2,
            "cache_mb": 16,
            "max_unreadable": 0,
            "mirror": False,
            "scale": (1.0, 1.0),
            "crop": (0, 0),
            "colour_jitter": (0.0, 0.0, 0.0, 0.0),
            "blur": (0.0, 0.0),
            "class_mix": 0.0,
            "rare_class_temperature": 0.0,
            "records_dir": "",
            "toy": {"source": "gta5", "seed": 0, "size": (64, 32), "num_train": 4, "num_val": 2},
        }
    )
    config.update(overrides)
    return config
