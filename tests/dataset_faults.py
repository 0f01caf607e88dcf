"""Faults that the doctor must find, each done to one of the tiny datasets."""

import numpy as np
import tiny_datasets as tiny
from PIL import Image

from data_pipelines.reading import label_spaces


def file(root, dataset, kind, split="train", index=0):
    """A picture or a label of a tiny dataset."""
    patterns = {
        ("cityscapes", "image"): f"leftImg8bit/{split}/*/*.png",
        ("cityscapes", "label"): f"gtFine/{split}/*/*_labelIds.png",
        ("gta5", "image"): "images/*",
        ("gta5", "label"): "labels/*",
        ("bdd100k", "image"): f"seg/images/{split}/*",
        ("bdd100k", "label"): f"seg/labels/{split}/*",
    }
    return sorted((root / dataset).glob(patterns[dataset, kind]))[index]


def rewrite(path, change):
    """Puts change(pixels) in place of a label's pixels."""
    tiny.save(path, np.ascontiguousarray(change(np.asarray(Image.open(path))), np.uint8))


def to_train_ids(label_ids):
    return label_spaces.LABEL_ID_TO_TRAIN_ID[label_ids]


def street(label):
    """Train ids in the proportions of a street: road, building, vegetation, sky, cars."""
    return np.random.default_rng(0).choice([0, 2, 8, 10, 13], label.shape, p=[0.4, 0.2, 0.2, 0.1, 0.1])


# One fault each: what is done, to which dataset, and the only finding that it makes.


def remove(kind, dataset, split="train"):
    return lambda root: file(root, dataset, kind, split, 1).unlink()


def cut(kind, dataset, split="train", content=None):
    def damage(root):
        path = file(root, dataset, kind, split, 1)
        path.write_bytes(path.read_bytes()[:-200] if content is None else content)

    return damage


def relabel(dataset, change, split="train", only=None):
    def damage(root):
        for index in range(3) if only is None else (only,):
            rewrite(file(root, dataset, "label", split, index), change)

    return damage


def copy_to_val(dataset):
    """The pixels of a training picture under another name and compression in val."""

    def damage(root):
        Image.open(file(root, dataset, "image")).save(file(root, dataset, "image", "val", 1), compress_level=1)

    return damage


def paint(kind, dataset, value, only):
    def damage(root):
        for index in only:
            rewrite(file(root, dataset, kind, "train", index), lambda pixels: np.full_like(pixels, value))

    return damage


def save_stray(name, shape=(16, 24)):
    return lambda root: tiny.save(root / name, np.zeros(shape, np.uint8))


def move(source, target):
    return lambda root: (root / source).rename(root / target)


FAULTS = {
    "picture without label": (
        remove("label", "bdd100k", "val"), "bdd100k", "error", "pairs", "val",
        r"^1 of 3 pictures without a label, expected 0001_train_id\.png$",
    ),
    "label without picture": (
        remove("image", "gta5"), "gta5", "error", "pairs", "train", r"^1 label file has no picture: 00002\.png$",
    ),
    "label ids without picture": (
        save_stray("cityscapes/gtFine/val/x/x_000000_000001_gtFine_labelIds.png"), "cityscapes", "error", "pairs",
        "val", "1 labelIds file has no picture: x_000000_000001_gtFine_labelIds.png",
    ),
    "coloured label without picture": (
        lambda root: [save_stray(f"bdd100k/seg/color_labels/val/{n}_train_color.png")(root) for n in
                      ("0000", "0001", "0002", "gone")],
        "bdd100k", "error", "pairs", "val", "1 colormap file has no picture: gone_train_color.png",
    ),
    "pictures without coloured labels": (
        save_stray("bdd100k/seg/color_labels/val/0000_train_color.png"), "bdd100k", "warning", "pairs", "val",
        r"2 pictures without a colormap file: 0001\.jpg, 0002\.jpg",
    ),
    "target without labels": (
        move("cityscapes/gtFine/train", "cityscapes/gtFine/else"), "cityscapes", "warning", "pairs", "train",
        "none of 3 pictures has a label: of use as an unlabelled target only",
    ),
    "scored split without labels": (
        move("cityscapes/gtFine/val", "cityscapes/gtFine/else"), "cityscapes", "error", "pairs", "val",
        "3 of 3 pictures without a label",
    ),
    "source without labels": (
        move("gta5/labels", "gta5/else"), "gta5", "error", "pairs", "train", "3 of 3 pictures without a label",
    ),
    "two pictures of one name": (
        lambda root: tiny.save(root / "gta5/images/00001.jpg", tiny.picture(9)), "gta5", "error", "pairs", "train",
        r"2 files stand for fewer pictures: 00001\.jpg, 00001\.png, in ",
    ),
    "picture cut off": (
        cut("image", "cityscapes", "val"), "cityscapes", "error", "readable", "val",
        r"aachen_000002.*leftImg8bit\.png: cannot be read as a picture",
    ),
    "label that is text": (
        cut("label", "bdd100k", content=b"text"), "bdd100k", "error", "readable", "train",
        r"0001_train_id\.png: cannot be read as a picture",
    ),
    "sizes in bdd100k": (
        relabel("bdd100k", lambda label: label[:-1], only=1), "bdd100k", "error", "sizes", "train",
        r"0001_train_id\.png: this label is 24x15 \(width x height\) but .*0001\.jpg is 24x16$",
    ),
    "sizes in gta5": (
        relabel("gta5", lambda label: label[:-1], only=1), "gta5", "error", "sizes", "train", "is 24x15",
    ),
    "label ids for train ids": (
        relabel("bdd100k", lambda label: label_spaces.TRAIN_ID_TO_LABEL_ID[label]), "bdd100k", "error",
        "label values", "train", r"^3 of 3 labels hold label ids, expected train ids .*first: .*0000_train_id\.png",
    ),
    "colours for train ids": (
        relabel("bdd100k", lambda label: label_spaces.colourise(label), "val"), "bdd100k", "error", "label values",
        "val", "^3 of 3 labels hold RGB colours of Cityscapes, expected train ids",
    ),
    "other colours": (
        relabel("gta5", lambda label: np.stack([label, label, label + 1], -1)), "gta5", "error", "label values",
        "train", "^3 of 3 labels hold unknown RGB colours, expected GTA5 label ids",
    ),
    "train ids with 19 as void": (
        relabel("bdd100k", lambda label: np.where(street(label) == 13, 19, street(label))), "bdd100k", "error",
        "label values", "train", "hold train ids with 19 as void",
    ),
    "19 as void in label ids": (
        relabel("cityscapes", lambda label: np.where(street(label) == 13, 19, street(label)), "val"), "cityscapes",
        "error", "label values", "val", "hold train ids with 19 as void, expected Cityscapes label ids",
    ),
    "train ids for label ids": (
        relabel("cityscapes", to_train_ids), "cityscapes", "error", "label values", "train",
        "^3 of 3 labels hold train ids, expected Cityscapes label ids: .*; they would be read as other classes$",
    ),
    "train ids in gta5": (
        relabel("gta5", lambda label: street(label)), "gta5", "error", "label values", "train", "3 of 3 labels hold",
    ),
    "train ids in a few": (
        relabel("gta5", lambda label: street(label), only=2), "gta5", "warning", "label values", "train",
        r"1 of 3 labels hold train ids, expected GTA5 label ids: 00003\.png",
    ),
    "values of something else": (
        relabel("cityscapes", lambda label: label + 100, "val"), "cityscapes", "error", "label values", "val",
        "hold unknown values, expected Cityscapes label ids",
    ),
    "a few unknown pixels": (
        relabel("gta5", lambda label: np.where(np.arange(label.size).reshape(label.shape) < 5, 99, label), only=0),
        "gta5", "warning", "label values", "train", r"^5 pixels in 1 label outside the label table: 00001\.png$",
    ),
    "a class never occurs": (
        relabel("bdd100k", lambda label: np.where(label == 16, 255, label)), "bdd100k", "warning", "classes", "train",
        "^never in a label: train$",
    ),
    "a grey picture": (
        paint("image", "cityscapes", 128, [1]), "cityscapes", "warning", "constant", "train",
        "^1 picture of a single colour: aachen_000002",
    ),
    "grey pictures": (
        paint("image", "bdd100k", 7, [0, 2]), "bdd100k", "error", "constant", "train", "2 pictures of a single colour",
    ),
    "a label of one class": (
        paint("label", "gta5", 26, [1]), "gta5", "warning", "constant", "train", "1 label of a single class",
    ),
    "a label of void": (
        relabel("gta5", lambda label: 29 + label % 2, only=1), "gta5", "warning", "constant", "train", "all void: 0000",
    ),
    "train picture in val": (
        copy_to_val("cityscapes"), "cityscapes", "error", "duplicates", "val",
        r"^1 picture also in train: aachen_000002.*; first: .*/val/.* = .*/train/aachen/aachen_000000",
    ),
}  # fmt: skip
