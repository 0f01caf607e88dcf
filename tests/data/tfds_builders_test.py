"""The tfds builders under tfds' own test case, and what they give against the project's readers."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tfds_fixtures as fixtures
import tiny_datasets as tiny
from tfds_fixtures import builders, prepare, read

from data_pipelines import datasets
from data_pipelines.datasets import base, bdd100k
from data_pipelines.datasets.toy_streets import LOOKS, ToyCity, ensure
from data_pipelines.reading import label_spaces, loading
from data_pipelines.tfds_builders.toy_streets import toy_streets_dataset_builder as toy

CITY = ToyCity(seed=3, size=(64, 32), num_train=3, num_val=2)
EUROPE = toy.Config(name="small_european", look="european", city=CITY)


class OnFilesMadeHere:
    """Before tfds.testing.DatasetBuilderTestCase: writes the files of the case."""

    @classmethod
    def setUpClass(cls):
        cls.EXAMPLE_DIR = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.EXAMPLE_DIR)
        (cls.EXAMPLE_DIR / "readme.txt").touch()
        with tempfile.TemporaryDirectory() as folder:
            cls.write(cls.EXAMPLE_DIR, Path(folder))
        super().setUpClass()

    @staticmethod
    def write(manual_dir, elsewhere):
        """Nothing."""


class Gta5FoldersTest(OnFilesMadeHere, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS, SPLITS = builders.Gta5, {"train": 5}

    @staticmethod
    def write(manual_dir, elsewhere):
        fixtures.gta5_folders(manual_dir)


class Gta5ArchivesTest(OnFilesMadeHere, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS, SPLITS = builders.Gta5, {"train": 5}

    @staticmethod
    def write(manual_dir, elsewhere):
        fixtures.gta5_folders(elsewhere)
        fixtures.gta5_archives(elsewhere, manual_dir)


class Bdd100kFolders2018Test(OnFilesMadeHere, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS, BUILDER_CONFIG_NAMES_TO_TEST = builders.Bdd100kSeg, ["seg_2018"]
    SPLITS = {"train": 3, "validation": 2, "test": 2}

    @staticmethod
    def write(manual_dir, elsewhere):
        fixtures.bdd100k_2018_folders(manual_dir / "bdd100k")
        fixtures.bdd100k_2020_folders(manual_dir / "bdd100k")


class Bdd100kArchives2020Test(OnFilesMadeHere, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS, BUILDER_CONFIG_NAMES_TO_TEST = builders.Bdd100kSeg, ["seg_2020"]
    SPLITS = {"train": 2, "validation": 1, "test": 1}

    @staticmethod
    def write(manual_dir, elsewhere):
        fixtures.bdd100k_2018_folders(elsewhere)
        fixtures.bdd100k_2020_folders(elsewhere)
        fixtures.bdd100k_archives(elsewhere, manual_dir)


class CityscapesArchivesTest(OnFilesMadeHere, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS, SPLITS = builders.CityscapesSeg, {"train": 3, "validation": 2, "test": 1}

    @staticmethod
    def write(manual_dir, elsewhere):
        fixtures.cityscapes_folders(elsewhere)
        fixtures.cityscapes_archives(elsewhere, manual_dir)


class ToyEuropeTest(OnFilesMadeHere, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS, SPLITS = builders.ToyStreets, {"train": 3, "validation": 2}
    BUILDER_CONFIG_NAMES_TO_TEST = [EUROPE]


def assert_as_the_reader(builder, split, examples, image_key="image"):
    """The labels of a prepared split are those that training reads, and its pictures the very files."""
    found = read(builder, split, encoded=[image_key])
    assert found.keys() == {example.name for example in examples}
    for example in examples:
        loaded = loading.load_example(example, loading.picture_size(example.image), None)
        label = loaded.label if example.label else np.full(loaded.image.shape[:2], 255, np.uint8)
        np.testing.assert_array_equal(found[example.name]["label"][..., 0], label)
        assert found[example.name][image_key] == example.image.read_bytes()


@pytest.mark.parametrize("form", ["folders", "archives"])
def test_gta5_is_what_the_reader_reads(tmp_path, form):
    fixtures.gta5_folders(tmp_path / "gta5")
    manual_dir = tmp_path
    if form == "archives":
        manual_dir = tmp_path / "archives"
        fixtures.gta5_archives(tmp_path / "gta5", manual_dir / "gta5")
    builder = prepare(builders.Gta5, manual_dir, tmp_path / "data")
    split = datasets.list_examples("gta5", tmp_path / "gta5", "train")
    assert split.notes[1] == "gta5: 1 pair left out: image and label sizes differ"
    assert_as_the_reader(builder, "train", split.examples)
    assert builder.info.metadata["train"] == {"left_out": 1, "unknown_pixels": 0}
    assert read(builder, "train")["00002"]["file_name"] == b"images/00002.png"


@pytest.mark.parametrize("release", bdd100k.RELEASES, ids=["seg_2018", "seg_2020"])
@pytest.mark.parametrize("form", ["folders", "archives"])
def test_each_config_of_bdd100k_reads_its_release(tmp_path, release, form, request):
    root = tmp_path / "bdd100k"
    fixtures.bdd100k_2018_folders(root)
    fixtures.bdd100k_2020_folders(root)
    manual_dir = tmp_path
    if form == "archives":
        manual_dir = tmp_path / "archives"
        fixtures.bdd100k_archives(root, manual_dir)
    config = request.node.callspec.id.split("-")[-1]
    builder = prepare(builders.Bdd100kSeg, manual_dir, tmp_path / "data", config=config)
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        examples = base.examples_of("bdd100k", bdd100k.on_disk(root, split, [release]), split != "test")
        assert_as_the_reader(builder, name, examples)


@pytest.mark.parametrize("form", ["folders", "archives"])
def test_cityscapes_gives_train_ids_and_label_ids(tmp_path, form):
    root = tmp_path / "cityscapes"
    fixtures.cityscapes_folders(root)
    label = root / "gtFine" / "train" / "bochum" / "bochum_000001_000019_gtFine_labelIds.png"
    ids = tiny.train_id_label(101)
    tiny.save(label.with_name(label.name.replace("labelIds", "labelTrainIds")), ids)
    label.unlink()  # only the train ids are there: the label ids follow from them
    manual_dir = tmp_path
    if form == "archives":
        manual_dir = tmp_path / "archives"
        fixtures.cityscapes_archives(root, manual_dir)
    builder = prepare(builders.CityscapesSeg, manual_dir, tmp_path / "data")
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        examples = datasets.list_examples("cityscapes", root, split, labelled=split != "test").examples
        assert_as_the_reader(builder, name, examples, "image_left")
        for example in read(builder, name).values():
            label_ids = example["segmentation_label"]
            train_ids = label_spaces.LABEL_ID_TO_TRAIN_ID[label_ids]
            np.testing.assert_array_equal(train_ids, example["label"])
    kept = read(builder, "train", encoded=["segmentation_label"])["aachen_000000_000019"]["segmentation_label"]
    assert kept == (root / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png").read_bytes()


def test_cityscapes_is_that_of_tfds_and_more(tmp_path):
    root, manual_dir = tmp_path / "root", tmp_path / "archives"
    for i, split in enumerate(("train", "val", "test")):
        stem, flat = f"{split}/aachen/aachen_00000{i}_000019", np.full((1024, 2048), 7 + i, np.uint8)
        tiny.save(root / f"leftImg8bit/{stem}_leftImg8bit.png", np.dstack([flat, flat + 1, flat + 2]))
        tiny.save(root / f"gtFine/{stem}_gtFine_labelIds.png", flat)
    fixtures.cityscapes_archives(root, manual_dir, rubbish=False)
    ours = prepare(builders.CityscapesSeg, manual_dir, tmp_path / "data")
    theirs = prepare(tfds.builder_cls("cityscapes"), manual_dir, tmp_path / "data", config="semantic_segmentation")
    assert ours.info.features["segmentation_label"].names[26] == "car"
    for split in ("train", "validation", "test"):
        found = read(ours, split)
        for example in found.values():
            del example["label"], example["file_name"]
        fixtures.assert_same(found, read(theirs, split))


def test_the_toy_city_has_the_files_of_the_city_on_disk(tmp_path):
    root = ensure(tmp_path / "city", CITY, workers=1)
    for look in LOOKS.values():
        config = toy.Config(name=f"small_{look.name}", look=look.name, city=CITY)
        builder = prepare(builders.ToyStreets, None, tmp_path / "data", config=config)
        names = {"train": "train"} if look.dataset == "gta5" else {"train": "train", "val": "validation"}
        assert set(builder.info.splits) == set(names.values())
        for split, name in names.items():
            examples = datasets.list_examples(look.dataset, root / look.dataset, split).examples
            assert_as_the_reader(builder, name, examples)


@pytest.mark.parametrize("builder_class", fixtures.ALL)
def test_what_tfds_shows_of_a_builder(builder_class, tmp_path):
    info = builder_class(data_dir=tmp_path).info
    assert info.features["label"].names == list(label_spaces.CITYSCAPES_CLASSES)
    assert info.description and info.homepage and info.redistribution_info.license
    assert bool(info.citation) == bool(builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS)  # the toy city is of this project
    assert str(builder_class.VERSION) in builder_class.RELEASE_NOTES
    assert info.supervised_keys[1] == "label" and len(builder_class.get_metadata().tags) == 3
    assert tfds.builder_cls(builder_class.name) is builder_class


def test_load_by_name_and_without_this_code(tmp_path):
    fixtures.gta5_folders(tmp_path / "m" / "gta5")
    download_config = tfds.download.DownloadConfig(manual_dir=tmp_path / "m")
    image, label = next(
        iter(
            tfds.load(
                "gta5",
                split="train",
                data_dir=tmp_path,
                as_supervised=True,
                download_and_prepare_kwargs={"download_config": download_config},
            )
        )
    )
    assert image.shape[:2] == label.shape[:2] and (image.shape[2], label.shape[2]) == (3, 1)
    stored = tfds.builder_from_directory(tmp_path / "gta5" / "1.0.0").info
    assert stored.features["label"].names[13] == "car" and stored.metadata["train"]["left_out"] == 1
