"""The tfds builders on real files, on what is wrong with a download, on unusual pictures, and on Beam."""

import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tfds_fixtures as fixtures
import tiny_datasets as tiny
from conftest import SHARED
from PIL import Image
from tfds_fixtures import builders, prepare, read

from data_pipelines import datasets
from data_pipelines.basics.data_files import matching
from data_pipelines.basics.errors import DataError, MissingLabels
from data_pipelines.reading import label_spaces, loading
from data_pipelines.tfds_builders.archives import open_archives
from data_pipelines.tfds_builders.pairs import ExampleFiles


@pytest.fixture
def gta5(tmp_path):
    """Folder of two parts of GTA5 in archives."""
    fixtures.gta5_folders(tmp_path / "root")
    fixtures.gta5_archives(tmp_path / "root", tmp_path / "zips")
    return tmp_path / "zips"


def assert_refused(message, builder_class, manual_dir, error=DataError, **settings):
    with pytest.raises(error, match=message) as caught:
        prepare(builder_class, manual_dir, manual_dir.parent / "data", **settings)
    assert "\n" not in str(caught.value)
    assert not list((manual_dir.parent / "data").rglob("dataset_info.json"))


def test_nothing_there(tmp_path):
    tiny.save(tmp_path / "m" / "images" / "10k" / "train" / "a.jpg", tiny.picture(0))  # of another dataset
    message = (
        r"gta5: .*/m holds neither its extracted folders nor \?\?_images.zip and \?\?_labels.zip; put the download"
    )
    assert_refused(message, builders.Gta5, tmp_path / "m")


def test_a_kind_of_archive_is_missing(gta5):
    for path in gta5.glob("*_labels.zip"):
        path.unlink()
    assert_refused(r"gta5: .*/zips holds no \?\?_labels.zip beside 01_images.zip", builders.Gta5, gta5)


def test_a_download_that_broke_off(gta5):
    whole = (gta5 / "02_labels.zip").read_bytes()
    (gta5 / "02_labels.zip").write_bytes(whole[: len(whole) // 2])
    assert_refused(r"zips/02_labels.zip: not a whole zip archive \(.*\); download it again", builders.Gta5, gta5)


def test_archives_are_listed_as_their_folders(tmp_path):
    fixtures.cityscapes_folders(tmp_path)
    fixtures.pack(tmp_path, tmp_path / "a.zip", ["leftImg8bit/**/*"], "some/folder/")
    fixtures.pack(tmp_path, tmp_path / "b.zip", ["**/*.png"])  # the pictures once more
    folders = {folder: folder for folder in ("leftImg8bit/", "gtFine/")}
    tree = open_archives([tmp_path / "a.zip", tmp_path / "b.zip"], folders)
    for pattern in ("*", "*/*", "*/val/*", "*/*/*/*_leftImg8bit.png", "gtFine/*/bochum/*.png"):
        below = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob(pattern)} - {"a.zip", "b.zip"}
        listed = [path.relative_to(tree).as_posix() for path in matching(tree, pattern) if path.suffix != ".md5"]
        assert listed == sorted(below)
        for path in matching(tree, pattern):
            assert path.is_dir() == (tmp_path / path.relative_to(tree)).is_dir() == (not path.is_file())
    path = tree / "leftImg8bit" / "val" / "aachen" / "aachen_000000_000019_leftImg8bit.png"
    assert path.member.read_bytes() == (tmp_path / path.relative_to(tree)).read_bytes()
    assert not (path.parent / "b.png").is_file() and not (path / "c").is_dir() and not list((path / "c").iterdir())


def test_a_part_of_the_labels_is_missing(gta5):
    (gta5 / "02_labels.zip").unlink()
    message = r"02_images.zip/images/00004.png has no label, expected .*zips/\*.zip/labels/00004.png \(and 2 more\)"
    assert_refused(message, builders.Gta5, gta5, MissingLabels)


def test_archives_of_something_else(gta5):
    for path in gta5.glob("*.zip"):
        fixtures.pack(gta5.parent, path, ["none"])
    assert_refused("gta5: the archives in .*/zips hold no pictures", builders.Gta5, gta5)


def test_a_damaged_member(gta5):
    content = bytearray((gta5 / "01_images.zip").read_bytes())
    with zipfile.ZipFile(gta5 / "01_images.zip") as opened:
        start = opened.getinfo("images/00001.png").header_offset
    content[start + 100] ^= 0xFF  # well behind the header
    (gta5 / "01_images.zip").write_bytes(content)
    message = r"01_images.zip/images/00001.png: cannot be read \(.*\); download the archive again"
    assert_refused(message, builders.Gta5, gta5)


def test_a_damaged_picture(tmp_path):
    tiny.write_bdd100k(tmp_path / "m")
    path = tmp_path / "m" / "seg" / "images" / "train" / "0001.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    assert_refused(r"train/0001.jpg: cannot be read as a picture \(.*\); restore", builders.Bdd100kSeg, tmp_path / "m")


def test_labels_with_wrong_values_or_sizes(tmp_path):
    tiny.write_bdd100k(tmp_path / "m")
    label = tmp_path / "m" / "seg" / "labels" / "train" / "0001_train_id.png"
    tiny.save(label, np.full((16, 24), 26, np.uint8))
    assert_refused(r"0001_train_id.png: values 26 .*these look like labelIds", builders.Bdd100kSeg, tmp_path / "m")
    tiny.save(label, np.full((16, 20), 3, np.uint8))
    assert_refused(r"0001_train_id.png: this label is 20x16", builders.Bdd100kSeg, tmp_path / "m")


def test_only_a_test_split_may_be_without_labels(tmp_path):
    tiny.write_cityscapes(tmp_path / "m", labelled=False)
    assert_refused("cityscapes: .* has no label", builders.CityscapesSeg, tmp_path / "m", MissingLabels)


def test_an_archive_that_is_replaced_is_read_anew(gta5, tmp_path):
    before = prepare(builders.Gta5, gta5, tmp_path / "before")
    tiny.save(tmp_path / "root" / "images" / "00001.png", tiny.picture(77))
    fixtures.gta5_archives(tmp_path / "root", gta5)
    after = prepare(builders.Gta5, gta5, tmp_path / "after")
    np.testing.assert_array_equal(read(after, "train")["00001"]["image"], tiny.picture(77))
    assert read(before, "train")["00001"]["image"].shape == read(after, "train")["00001"]["image"].shape


def test_pictures_that_tensorflow_would_read_otherwise(tmp_path):
    """WebP, palettes and alpha become plain PNGs of the pixels that training reads."""
    tiny.write_bdd100k(tmp_path, count=4)
    folder = tmp_path / "seg" / "images" / "train"
    colours = tiny.picture(1)
    (folder / "0000.jpg").unlink()
    Image.fromarray(colours).save(folder / "0000.webp", lossless=True)
    for number, mode in ((1, "P"), (2, "RGBA"), (3, "L")):
        (folder / f"000{number}.jpg").unlink()
        Image.fromarray(colours).convert(mode).save(folder / f"000{number}.png")
    Image.fromarray(np.dstack([colours, colours[..., :1]])).save(folder / "0002.png")
    found = read(prepare(builders.Bdd100kSeg, tmp_path, tmp_path / "data"), "train")
    for example in datasets.list_examples("bdd100k", tmp_path, "train").examples:
        np.testing.assert_array_equal(found[example.name]["image"], loading.decode(example.image, to_rgb=True))


def test_unknown_pixels_are_counted(tmp_path):
    tiny.write_gta5(tmp_path, count=2, sizes=((24, 16),))
    label = label_spaces.TRAIN_ID_TO_LABEL_ID[tiny.train_id_label(0)]
    label[0, :3] = 77
    tiny.save(tmp_path / "labels" / "00002.png", label, palette=True)
    builder = prepare(builders.Gta5, tmp_path, tmp_path / "data")
    assert builder.info.metadata["train"] == {"left_out": 0, "unknown_pixels": 3}
    assert (read(builder, "train")["00002"]["label"][0, :3] == 255).all()


def test_what_goes_to_other_processes_is_small():
    """Beam runners limit the size of a pipeline, which holds all jobs: 25,000 of them for GTA5."""
    example = datasets.Example("00001", Path("/a/folder/gta5/images/00001.png"), None, label_spaces.GTA5_IDS)
    assert len(pickle.dumps(ExampleFiles.of("gta5", Path("/a/folder/gta5"), example))) < 400


def test_beam_that_is_not_installed(gta5, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    assert_refused("need apache-beam, which cannot be imported", builders.Gta5, gta5, beam_runner="DirectRunner")


def test_beam_gives_the_same_dataset(gta5, tmp_path):
    pytest.importorskip("apache_beam", reason="apache-beam is not installed")
    plain = prepare(builders.Gta5, gta5, tmp_path / "plain")
    on_beam = prepare(builders.Gta5, gta5, tmp_path / "beam", beam_runner="DirectRunner")
    assert on_beam.info.metadata["train"] == {"left_out": 1, "unknown_pixels": 0}
    assert list(read(plain, "train")) == list(read(on_beam, "train"))
    fixtures.assert_same(read(plain, "train"), read(on_beam, "train"))


@pytest.mark.parametrize(
    ("builder_class", "config", "folder", "splits"),
    [
        (builders.Gta5, None, "camvid_day_to_dusk/gta5_layout_sample", {"train": 11}),
        (builders.Bdd100kSeg, "seg_2018", "camvid_day_to_dusk/bdd100k", {"train": 6, "validation": 6}),
        (builders.Bdd100kSeg, "seg_2020", "bdd100k_2020_layout_placeholder", {"train": 3, "validation": 3}),
    ],
)
def test_real_files(tmp_path, builder_class, config, folder, splits):
    root = SHARED / "data" / folder
    if not root.is_dir():
        pytest.skip(f"no {root}")
    builder = prepare(builder_class, root, tmp_path, config=config, max_examples_per_split=max(splits.values()))
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == splits
    for split, name in (("train", "train"), ("val", "validation")):
        if name in splits:
            listed = datasets.list_examples(builder.LAYOUT, root, split).examples
            examples = {example.name: example for example in listed}
            for key, found in read(builder, name, encoded=["image"]).items():
                label, _ = loading.load_label(examples[key].label, examples[key].encoding)
                np.testing.assert_array_equal(found["label"][..., 0], label)
                assert found["image"] == examples[key].image.read_bytes()


def test_train_ids_survive_array_record(tmp_path):
    """The file format of random access, which reads without tensorflow."""
    fixtures.bdd100k_2018_folders(tmp_path)
    builder = builders.Bdd100kSeg(data_dir=tmp_path / "data", file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=tmp_path))
    source = builder.as_data_source(split="validation")
    labels = {example["image_id"].decode(): example["label"][..., 0] for example in (source[0], source[1])}
    for i in range(2):
        np.testing.assert_array_equal(labels[f"{i:04d}"], tiny.train_id_label(250 + i))
