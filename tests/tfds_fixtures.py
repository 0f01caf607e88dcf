"""Small datasets for the tfds builders, as folders and as the archives in which they are downloaded."""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
import tiny_datasets as tiny

import data_pipelines.tfds_builders as builders
from data_pipelines.reading import label_spaces


def gta5_folders(root: Path):
    """Four pairs in palette labels of two sizes, then one in colours, one of two sizes: five can be used."""
    tiny.write_gta5(root, count=4)
    tiny.save(root / "images" / "00005.png", tiny.picture(5))
    tiny.save(root / "labels" / "00005.png", label_spaces.colourise(tiny.train_id_label(5)))
    tiny.save(root / "images" / "00006.png", tiny.picture(6))
    tiny.save(root / "labels" / "00006.png", tiny.train_id_label(6, (24, 15)))


def bdd100k_2018_folders(root: Path):
    """3 train, 2 val, 2 test without labels."""
    tiny.write_bdd100k(root)
    tiny.write_bdd100k(root, "val", 2, seed=250)
    for i in range(2):
        tiny.save(root / "seg" / "images" / "test" / f"{i:04d}.jpg", tiny.picture(270 + i))


def bdd100k_2020_folders(root: Path):
    """2 train, 1 val, 1 test without labels; other pictures than those of 2018."""
    for split, count, seed in (("train", 2, 500), ("val", 1, 550)):
        for i in range(count):
            tiny.save(root / "images" / "10k" / split / f"{i:04d}.jpg", tiny.picture(seed + i))
            tiny.save(root / "labels" / "sem_seg" / "masks" / split / f"{i:04d}.png", tiny.train_id_label(seed + i))
    tiny.save(root / "images" / "10k" / "test" / "0000.jpg", tiny.picture(570))


def cityscapes_folders(root: Path):
    """3 train, 2 val, 1 test without labels; the first val label is a palette picture."""
    tiny.write_cityscapes(root)
    tiny.write_cityscapes(root, "val", 2, seed=150)
    tiny.write_cityscapes(root, "test", 1, labelled=False, seed=170)
    first = root / "gtFine" / "val" / "aachen" / "aachen_000000_000019_gtFine_labelIds.png"
    tiny.save(first, label_spaces.TRAIN_ID_TO_LABEL_ID[tiny.train_id_label(150)], palette=True)


def pack(root: Path, archive: Path, patterns, prefix="", rubbish=True) -> Path:
    """Zips what matches below a folder, under a prefix, perhaps with the rubbish that archives have."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in sorted({file for pattern in patterns for file in root.glob(pattern) if file.is_file()}):
            name = prefix + file.relative_to(root).as_posix()
            if rubbish:
                opened.writestr(f"__MACOSX/{name}", "not a picture")
                opened.writestr(f"{name}.md5", "not a picture")
            opened.write(file, name)
    return archive


def gta5_archives(root: Path, target: Path):
    """Two of the ten parts."""
    for part, names in (("01", "0000[1-3].png"), ("02", "0000[4-6].png")):
        for kind in ("images", "labels"):
            pack(root, target / f"{part}_{kind}.zip", [f"{kind}/{names}"])


def bdd100k_archives(root: Path, target: Path):
    """Both releases; the pictures of 2020 in one archive for each split, those of val without some folders above."""
    pack(root, target / "bdd100k_seg.zip", ["seg/**/*"], "bdd100k/")
    pack(root, target / "10k_images_train.zip", ["images/10k/train/*"], "bdd100k/")
    pack(root / "images", target / "10k_images_val.zip", ["10k/val/*"])
    pack(root, target / "10k_images_test.zip", ["images/10k/test/*"], "bdd100k/")
    pack(root, target / "bdd100k_sem_seg_labels_trainval.zip", ["labels/**/*"], "bdd100k/")


def cityscapes_archives(root: Path, target: Path, rubbish=True):
    """The two of the download page."""
    pack(root, target / "leftImg8bit_trainvaltest.zip", ["leftImg8bit/**/*"], rubbish=rubbish)
    pack(root, target / "gtFine_trainvaltest.zip", ["gtFine/**/*"], rubbish=rubbish)


def prepare(builder_class, manual_dir: Path, data_dir: Path, **settings):
    """A builder that has prepared its dataset; `config` goes to it, the rest to the DownloadConfig."""
    builder = builder_class(data_dir=data_dir, config=settings.pop("config", None))
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, **settings))
    return builder


def read(builder, split, encoded=()):
    """Examples of a split by name, as numpy; the `encoded` features as the bytes that are kept."""
    decoders = {key: tfds.decode.SkipDecoding() for key in encoded}
    examples = tfds.as_numpy(builder.as_dataset(split=split, decoders=decoders))
    return {example["image_id"].decode(): example for example in examples}


def assert_same(examples, others):
    """The same examples, to the bit."""
    assert examples.keys() == others.keys()
    for name, example in examples.items():
        assert example.keys() == others[name].keys()
        for key, value in example.items():
            np.testing.assert_array_equal(value, others[name][key])


ALL = (builders.Gta5, builders.Bdd100kSeg, builders.CityscapesSeg, builders.ToyStreets)
