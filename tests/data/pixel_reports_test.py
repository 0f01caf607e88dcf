"""What doctor, quick look, prepare, records and fingerprints say of files that are not read as plain pictures are."""

import re

import handmade_pictures as handmade
import numpy as np
import pytest
import tiny_datasets as tiny
from dataset_faults import file
from PIL import Image
from prepared_sets import run

from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import list_examples
from data_pipelines.doctor import auditing, quick
from data_pipelines.doctor.__main__ import define_flags as doctor_flags
from data_pipelines.doctor.__main__ import run as doctor_run
from data_pipelines.domains import open_domains
from data_pipelines.feeding import protocol_pictures
from data_pipelines.feeding.input_pipeline import train_batches
from data_pipelines.reading import label_spaces, loading
from data_pipelines.reading.reading import Reader

WIDE = np.random.default_rng(0).integers(0, 2**12, (16, 24, 3)).astype(np.uint16)


@pytest.fixture
def root(tmp_path):
    """bdd100k, cityscapes with unlabelled training pictures, gta5, and a flat folder."""
    tiny.write_pair(tmp_path / "root")
    tiny.write_gta5(tmp_path / "root" / "gta5", sizes=[tiny.SIZE])
    for i in range(3):
        tiny.save(tmp_path / "root" / "mine" / f"{i}.png", tiny.picture(i))
    return tmp_path / "root"


def tag(path, orientation=6):
    """Gives a picture an EXIF orientation."""
    with Image.open(path) as picture:
        picture.load()
    options = {"quality": 95} if path.suffix == ".jpg" else {}
    picture.save(path, exif=handmade.exif(orientation), **options)
    return path


def findings(dataset, folder, check=None, **options):
    found = auditing.audit(dataset, folder, **options).findings
    return [finding for finding in found if finding.check == check or (check is None and finding.check != "count")]


def warned(root, **options):
    config = tiny.data_config(root, **{"name": "camvid", **options})
    return quick.warn_or_raise(config, open_domains(config))


def doctor(dataset, folder, *more):
    from data_pipelines.doctor.command_line import main

    arguments = [f"--dataset={dataset}", f"--source={folder}", f"--output={folder.parent / 'out'}", *more]
    return main(["doctor", *arguments], doctor_flags, doctor_run, "")


# Orientation


def test_labelled_pictures_with_an_orientation_are_one_warning_that_names_them(root):
    for index in (0, 2):
        tag(file(root, "bdd100k", "image", index=index))
    (finding,) = findings("bdd100k", root / "bdd100k")
    assert (finding.severity, finding.check, finding.split, finding.count) == ("warning", "pixels", "train", 2)
    assert finding.message == "2 pictures with labels and an EXIF orientation: 0000.jpg, 0002.jpg"
    (line,) = warned(root)
    assert line.startswith("warning: source train: 2 pictures with labels and an EXIF orientation: 0000.jpg, 0002.jpg;")


def test_gta5_is_looked_at_beyond_the_sample(root, monkeypatch):
    """Its headers were read for the sizes, which says nothing of orientations."""
    monkeypatch.setattr(quick, "SAMPLE", 1)
    monkeypatch.setattr(quick, "_RELEASED", ())
    for index in range(3):
        tag(file(root, "gta5", "image", index=index))
    (line,) = warned(root, name="gta5")
    assert "source train: 3 pictures with labels and an EXIF orientation" in line


def test_unlabelled_pictures_are_turned_for_doctor_training_and_prepare(root, capsys):
    tag(root / "mine" / "1.png")
    made = auditing.audit("flat_folder", root / "mine")
    assert made.findings == [] and made.outcomes["train"]["pixels"].summary == "RGB, 1 turned upright"
    assert made.outcomes["train"]["sizes"].summary == "24x16 (2), 16x24 (1)"
    expected = loading.resize(np.rot90(tiny.picture(1), -1), (16, 8), "bicubic")
    assert warned(root, target_dir=str(root / "mine")) == []
    folders = tiny.data_config(root, name="camvid", target_dir=str(root / "mine"))
    assert run("--dataset=flat_folder", f"--source={root / 'mine'}", "--size=16x8", "--num_workers=1") == 0
    for split, records in ((list_examples("flat_folder", root / "mine", "train", labelled=False), False),
                           (open_domains(folders).target_train, True)):  # fmt: skip
        reader = Reader(split, (16, 8), (16, 8), labelled=False)
        assert bool(reader.records) is records
        np.testing.assert_array_equal(reader.load(1).image, expected)
    (batch,) = (next(train_batches(folders, open_domains(folders), seed=0, start_step=0)) for _ in range(1))
    assert batch["target_image"].shape == (2, 8, 16, 3)


def test_protocols_group_pictures_as_they_are_read(root):
    tag(root / "mine" / "1.png")
    split = list_examples("flat_folder", root / "mine", "train", labelled=False)
    found = list(protocol_pictures.batches(split, views=[((16, 8), "bicubic")], batch_size=3))
    assert [batch["size"] for batch in found] == [(16, 24), (24, 16), (16, 24)]
    np.testing.assert_array_equal(found[1]["pictures"][0], np.rot90(tiny.picture(1), -1))


def test_labels_that_are_there_and_not_asked_for_keep_the_stored_pixels(root):
    """A labelled split that is read without its labels, as the target of its own upper bound is."""
    image = tag(file(root, "bdd100k", "image"))
    split = list_examples("bdd100k", root / "bdd100k", "train")
    stored = np.asarray(Image.open(image).convert("RGB"))
    read = [Reader(split, tiny.SIZE, tiny.SIZE, labelled=labelled).load(0).image for labelled in (True, False)]
    np.testing.assert_array_equal(read[0], stored)
    np.testing.assert_array_equal(read[1], stored)


def test_tfds_examples_of_a_test_split_are_upright(root):
    pytest.importorskip("tensorflow_datasets")
    from data_pipelines.tfds_builders import pairs

    path = tag(root / "mine" / "1.png")
    for label, expected in ((None, np.rot90(tiny.picture(1), -1)), (root / "label.png", tiny.picture(1))):
        tiny.save(root / "label.png", tiny.train_id_label(0))
        pair = pairs.ExampleFiles("cityscapes", "x", "x.png", path, label, label_spaces.TRAIN_IDS.name)
        made = pairs.make(pair).features["image"]
        (root / "made.png").write_bytes(made)
        np.testing.assert_array_equal(np.asarray(Image.open(root / "made.png")), expected)
        assert (made == path.read_bytes()) is (label is not None)


# Bit depth


@pytest.mark.parametrize("name", ["mine", "cityscapes"])
def test_wide_pictures_are_told_before_step_0_wherever_they_are(root, monkeypatch, capsys, name):
    monkeypatch.setattr(quick, "SAMPLE", 1)
    paths = sorted((root / name).rglob("*.png" if name == "mine" else "train/*/*_leftImg8bit.png"))
    expected = paths[0].name
    for path in paths:
        path.write_bytes(handmade.png(WIDE))
    options = {"target_dir": str(root / "mine")} if name == "mine" else {}
    message = rf"target train: 3 files cannot be read: .*{expected}: more than 8 bits per channel \(mode RGB;16B\)"
    with pytest.raises(DataError, match=message):
        warned(root, **options)
    assert warned(root, bit_depth=12, **options) == []
    with pytest.raises(DataError, match="its values are .* but 11 bits hold 0 to 2047"):
        warned(root, bit_depth=11, **options)
    dataset = {"mine": "flat_folder"}.get(name, name)
    assert doctor(dataset, root / name) == 1 and "(mode RGB;16B)" in capsys.readouterr().out
    size = ("--size=16x8", "--num_workers=1", "--splits=train")
    assert run(f"--dataset={dataset}", f"--source={root / name}", *size) == 2
    assert "more than 8 bits per channel (mode RGB;16B)" in capsys.readouterr().err
    assert not (root / "prepared").exists() or not list((root / "prepared").glob("*train*"))
    assert run(f"--dataset={dataset}", f"--source={root / name}", *size, "--bit_depth=12") == 0
    config = tiny.data_config(root, name="camvid", bit_depth=12, **options)
    split = open_domains(config).target_train
    reader = Reader(split, (16, 8), (16, 8), labelled=False)
    assert reader.records
    scaled = np.rint(WIDE * (255 / 4095)).astype(np.uint8)
    np.testing.assert_array_equal(reader.load(0).image, loading.resize(scaled, (16, 8), "bicubic"))
    np.testing.assert_array_equal(Reader(split, (8, 8), None, labelled=False).load(0).image,
                                  loading.resize(scaled, (8, 8), "bicubic"))  # fmt: skip


def test_the_doctor_takes_wide_pictures_that_say_their_depth(root, capsys):
    for path in (root / "mine").iterdir():
        path.write_bytes(handmade.png(WIDE))
    assert doctor("flat_folder", root / "mine", "--bit_depth=12") == 0
    assert "RGB;16B" in capsys.readouterr().out
    assert doctor("flat_folder", root / "mine", "--bit_depth=8") == 2
    assert "--bit_depth=8: expected 0, or the 9 to 16 bits" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"data\.bit_depth=8: expected 0, or the 9 to 16 bits"):
        open_domains(tiny.data_config(root, bit_depth=8))


def test_a_wide_picture_ends_training_and_is_not_left_out(root):
    config = tiny.data_config(root, name="gta5", max_unreadable=9, batch_size=3)
    domains = open_domains(config)
    file(root, "gta5", "image").write_bytes(handmade.png(WIDE))
    with pytest.raises(DataError, match=r"00001\.png: more than 8 bits per channel .* or save it with 8 bits$"):
        next(train_batches(config, domains, seed=0, start_step=0))


# Transparency and animations


def test_transparent_pixels_and_frames_are_warnings(root):
    alpha = np.dstack([tiny.picture(0), np.full((16, 24), 255, np.uint8)])
    tiny.save(root / "mine" / "0.png", alpha)
    assert findings("flat_folder", root / "mine") == []
    alpha[0, 0, 3] = 0
    tiny.save(root / "mine" / "0.png", alpha)
    more = [Image.fromarray(tiny.picture(8))]
    Image.fromarray(tiny.picture(1)).save(root / "mine" / "1.png", save_all=True, append_images=more)
    told = [(finding.severity, finding.message) for finding in findings("flat_folder", root / "mine")]
    assert told == [
        ("warning", "1 picture with transparent pixels: 0.png"),
        ("warning", "1 picture of several frames or pages: 1.png"),
    ]


# Labels


def lossy(path):
    with Image.open(path) as label:
        label.load()
    Image.fromarray(np.asarray(label)).save(path, "JPEG")


@pytest.mark.parametrize("beyond_the_sample", [False, True])
@pytest.mark.parametrize("dataset", ["gta5", "bdd100k"])
def test_lossy_labels_are_errors_for_doctor_quick_look_and_prepare(
    root, monkeypatch, capsys, dataset, beyond_the_sample
):
    monkeypatch.setattr(quick, "_RELEASED", ())
    if beyond_the_sample:
        monkeypatch.setattr(quick, "SAMPLE", 0)
    for index in (0, 1):
        lossy(file(root, dataset, "label", index=index))
    wrong = r"2 of . labels hold lossily compressed pixels, expected .*: this label is compressed lossily \(JPEG"
    (finding, *_) = findings(dataset, root / dataset, "label values")
    assert finding.severity == "error" and finding.count == 2
    with pytest.raises(DataError, match=f"source train: {wrong}"):
        warned(root, name={"gta5": "gta5", "bdd100k": "camvid"}[dataset])
    sets = ("--size=16x8", "--num_workers=1", "--splits=train")
    assert run(f"--dataset={dataset}", f"--source={root / dataset}", *sets) == 2
    assert "compressed lossily (JPEG" in capsys.readouterr().err and not (root / "prepared").exists()


def relabel(root, change):
    """Gives all labels of Cityscapes val other label ids, made from train ids."""
    for path in sorted((root / "cityscapes" / "gtFine" / "val").rglob("*_labelIds.png")):
        train_ids = label_spaces.LABEL_ID_TO_TRAIN_ID[np.asarray(Image.open(path))]
        tiny.save(path, change(train_ids).astype(np.uint8))


def street(ids):
    return np.random.default_rng(0).choice([0, 1, 2, 8, 10, 13], ids.shape, p=[0.3, 0.1, 0.2, 0.2, 0.1, 0.1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda ids: np.where(street(ids) < 2, street(ids) + 7, 29),
            r"^6\d% of the pixels are void in 3 labels decoded: aachen",
        ),
        (lambda ids: np.where(street(ids) > 1, street(ids) + 20, 29), r"^4\d% of the pixels are void in 3 labels"),
        (lambda ids: np.where(street(ids) == 13, 5, 26), "^each of 3 labels holds one class and else void: car$"),
    ],
    ids=["mostly void", "half void", "one class"],
)
def test_ids_of_another_space_that_are_in_the_table_are_warned_of(root, change, message):
    relabel(root, change)
    (finding,) = findings("cityscapes", root / "cityscapes", "void")
    assert finding.severity == "warning" and re.search(message, finding.message), finding.message
    assert any(re.search(message.strip("^$"), line) for line in warned(root))


def test_train_ids_plus_one_are_told_once(root):
    """These are recognised as train ids: an error, and no warning besides."""
    relabel(root, lambda ids: street(ids) + 1)
    (finding,) = findings("cityscapes", root / "cityscapes", "label values")
    assert finding.severity == "error" and findings("cityscapes", root / "cityscapes", "void") == []
    relabel(root, lambda ids: np.where(ids == 255, 0, ids + 1))  # 1..19 and 0: all are label ids
    told = findings("cityscapes", root / "cityscapes", "label values") + findings(
        "cityscapes", root / "cityscapes", "void"
    )
    assert len(told) == 1


def test_usual_void_is_said_and_not_warned_of(root):
    relabel(root, lambda ids: np.where(np.arange(ids.size).reshape(ids.shape) % 3, street(ids) % 3 + 20, 0))
    made = auditing.audit("cityscapes", root / "cityscapes")
    assert "33%" in made.outcomes["val"]["void"].summary and not findings("cityscapes", root / "cityscapes", "void")
    assert made.outcomes["train"]["void"].summary == "no labels"


# Sizes


def test_an_instance_file_of_another_size_names_both_files_and_sizes(root):
    label = file(root, "cityscapes", "label", "val")
    instances = label.with_name(label.name.replace("labelIds", "instanceIds"))
    for path in (root / "cityscapes" / "gtFine" / "val").rglob("*_labelIds.png"):
        tiny.save(path.with_name(path.name.replace("labelIds", "instanceIds")), np.zeros((16, 24), np.int32))
    tiny.save(instances, np.zeros((15, 24), np.int32))
    split = list_examples("cityscapes", root / "cityscapes", "val")
    message = rf"{instances.name}: these instances are 24x15 .*but .*{label.name} is 24x16; restore"
    with pytest.raises(DataError, match=message):
        list(protocol_pictures.batches(split, views=[], label_sizes=(None,), batch_size=3, instances=True))
    tiny.save(instances, np.zeros((16, 24, 3), np.uint8))
    with pytest.raises(DataError, match=f"{instances.name}: expected one whole number per pixel"):
        list(protocol_pictures.batches(split, views=[], label_sizes=(None,), batch_size=3, instances=True))


def test_a_label_of_another_size_stops_prepare_before_anything_is_written(root, capsys):
    label = file(root, "bdd100k", "label", index=2)
    tiny.save(label, tiny.train_id_label(0, (24, 15)))
    assert run("--dataset=bdd100k", f"--source={root / 'bdd100k'}", "--size=16x8", "--num_workers=1") == 2
    assert "0002_train_id.png: this label is 24x15 (width x height) but" in capsys.readouterr().err
    assert not (root / "prepared").exists()
