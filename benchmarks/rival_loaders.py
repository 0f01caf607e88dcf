"""How else batches could be made: what benchmarks/input_pipeline.py compares with."""

import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from data_pipelines.reading.label_spaces import LABEL_CLASSES

BGR_MEAN = np.array((104.00698793, 116.66876762, 122.67891434), dtype=np.float32)
BATCH = 2


def _files(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path], list[pathlib.Path]]:
    sources = sorted((folder / "gta5" / "images").glob("*.png"))
    targets = sorted((folder / "cityscapes" / "leftImg8bit" / "train").glob("*/*.png"))
    return sources, [folder / "gta5" / "labels" / p.name for p in sources], targets


def dataloader(folder: pathlib.Path, source_size, target_size, cores: int) -> Iterator[dict]:
    """Two DataLoaders side by side, as usual in such training loops."""
    from torch.utils.data import DataLoader

    sources, labels, targets = _files(folder)
    workers = max(1, cores // 2)
    options = {"batch_size": BATCH, "shuffle": True, "drop_last": True, "pin_memory": False}
    options |= {"num_workers": workers, "persistent_workers": True}
    source = _endless(DataLoader(_Pictures(sources, labels, source_size), **options))
    target = _endless(DataLoader(_Pictures(targets, None, target_size), **options))
    for (image, label), (picture, _) in zip(source, target, strict=False):
        yield {"source_image": image, "source_label": label, "target_image": picture}


def _endless(loader):
    while True:
        yield from loader


class _Pictures:
    """A map-style dataset: per picture, decode, resize, ids by masks, float32, BGR minus mean, channels first."""

    def __init__(self, images, labels, size):
        self.images, self.labels, self.size = images, labels, size
        self.ids = {row.label_id: row.train_id for row in LABEL_CLASSES if row.train_id != 255}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        image = Image.open(self.images[index]).convert("RGB").resize(self.size, Image.BICUBIC)
        image = np.asarray(image, np.float32)[:, :, ::-1] - BGR_MEAN
        image = image.transpose((2, 0, 1)).copy()
        if self.labels is None:
            return image, 0
        label = np.asarray(Image.open(self.labels[index]).resize(self.size, Image.NEAREST), np.float32)
        train_ids = 255 * np.ones(label.shape, dtype=np.float32)
        for label_id, train_id in self.ids.items():
            train_ids[label == label_id] = train_id
        return image, train_ids


def naive_tf(folder: pathlib.Path, source_size, target_size, cores: int) -> Iterator[dict]:
    """A tf.data pipeline as a tutorial would write it; its pixels differ from Pillow's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    sources, labels, targets = _files(folder)

    def resized(path, size, channels, method):
        picture = tf.io.decode_png(tf.io.read_file(path), channels=channels)
        return tf.image.resize(picture, (size[1], size[0]), method)

    def picture(path, size):
        return tf.cast(tf.clip_by_value(tf.round(resized(path, size, 3, "bicubic")), 0, 255), tf.uint8)

    ids = tf.constant([next((r.train_id for r in LABEL_CLASSES if r.label_id == i), 255) for i in range(256)], tf.uint8)

    def source(image, label):
        label = tf.gather(ids, tf.cast(resized(label, source_size, 1, "nearest"), tf.int32))
        return picture(image, source_size), label[..., 0]

    def stream(paths):
        return tf.data.Dataset.from_tensor_slices(paths).repeat().shuffle(1000)

    def as_text(paths):
        return list(map(str, paths))

    options = {"num_parallel_calls": cores}
    source_data = stream((as_text(sources), as_text(labels))).map(source, **options)
    target_data = stream(as_text(targets)).map(lambda path: picture(path, target_size), **options)
    both = tf.data.Dataset.zip(source_data, target_data).batch(BATCH).prefetch(4)
    for (image, label), target in both.as_numpy_iterator():
        yield {"source_image": image, "source_label": label, "target_image": target}
