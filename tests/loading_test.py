"""Decoding, label values and resizing, against the reference pipeline's numbers."""

import numpy as np
import pytest
import tiny_datasets as tiny

from data_pipelines.basics.errors import DataError
from data_pipelines.reading import label_spaces, loading
from data_pipelines.reading.examples import Example

MEAN_BGR = np.array((104.00698793, 116.66876762, 122.67891434), np.float32)


@pytest.mark.parametrize(
    ("key", "encoding", "palette"),
    [("gta", label_spaces.GTA5_IDS, True), ("city", label_spaces.LABEL_IDS, False)],
)
def test_reference_preprocessing_to_the_digit(golden_dir, tmp_path, key, encoding, palette):
    golden = np.load(golden_dir / "preprocess.npz")
    image = tiny.save(tmp_path / "image.png", golden["image_rgb_u8"])
    label = tiny.save(tmp_path / "label.png", golden["label_ids_u8"], palette)
    size = tuple(golden["crop_wh"].tolist())
    loaded = loading.load_example(Example("x", image, label, encoding), size, size)
    network_input = loaded.image[..., ::-1].astype(np.float32) - MEAN_BGR
    np.testing.assert_array_equal(network_input.transpose(2, 0, 1), golden[f"{key}_image"])
    np.testing.assert_array_equal(loaded.label, golden[f"{key}_label"])
    assert loaded.image.dtype == loaded.label.dtype == np.uint8


def test_sizes_and_resampling_of_picture_and_label(tmp_path):
    image = tiny.save(tmp_path / "i.png", tiny.picture(0))
    label = tiny.save(tmp_path / "l.png", tiny.train_id_label(0))
    example = Example("x", image, label)
    native = loading.load_example(example, tiny.SIZE, None)
    np.testing.assert_array_equal(native.image, tiny.picture(0))
    np.testing.assert_array_equal(native.label, tiny.train_id_label(0))
    bicubic, bilinear = (loading.load_example(example, (10, 6), (5, 3), r) for r in ("bicubic", "bilinear"))
    assert bicubic.image.shape == (6, 10, 3) and bicubic.label.shape == (3, 5)
    assert (bicubic.image != bilinear.image).any()
    np.testing.assert_array_equal(bicubic.label, bilinear.label)
    assert loading.picture_size(image) == tiny.SIZE


def test_grey_pictures_become_rgb_and_unlabelled_examples_have_no_label(tmp_path):
    image = tiny.save(tmp_path / "i.png", tiny.picture(0)[..., 0])
    loaded = loading.load_example(Example("x", image), tiny.SIZE, None)
    np.testing.assert_array_equal(loaded.image, np.repeat(tiny.picture(0)[..., :1], 3, axis=2))
    assert loaded.label is None


def test_gta5_ids_read_the_same_from_palette_plain_and_coloured_files(tmp_path):
    train_ids = tiny.train_id_label(1)
    ids = label_spaces.TRAIN_ID_TO_LABEL_ID[train_ids]
    files = [
        tiny.save(tmp_path / "palette.png", ids, palette=True),
        tiny.save(tmp_path / "plain.png", ids),
        tiny.save(tmp_path / "coloured.png", label_spaces.colourise(train_ids)),
    ]
    for file in files:
        label, unknown_pixels = loading.load_label(file, label_spaces.GTA5_IDS)
        np.testing.assert_array_equal(label, train_ids)
        assert unknown_pixels == 0


@pytest.mark.parametrize("coloured", [False, True])
def test_gta5_tolerates_five_percent_of_unknown_pixels_and_counts_them(tmp_path, coloured):
    label = np.full((10, 10), 7, np.uint8)  # road
    label.flat[:5] = 99
    if coloured:
        label = np.where((label == 99)[..., None], np.uint8(1), np.array([128, 64, 128], np.uint8))
    train_ids, unknown_pixels = loading.load_label(tiny.save(tmp_path / "l.png", label), label_spaces.GTA5_IDS)
    assert unknown_pixels == 5
    np.testing.assert_array_equal(train_ids.flat[:6], [255, 255, 255, 255, 255, 0])
    label[5, 5] = 99
    with pytest.raises(DataError, match=r"l\.png: values .*99.* are no GTA5 label ids \(6\.0% .*5% are tol"):
        loading.load_label(tiny.save(tmp_path / "l.png", label), label_spaces.GTA5_IDS)


@pytest.mark.parametrize(
    ("value", "encoding", "message"),
    [
        (26, label_spaces.TRAIN_IDS, r"l\.png: values 26 .* these look like labelIds"),
        (77, label_spaces.TRAIN_IDS, r"l\.png: values 77 are no train ids .* right label file"),
        (77, label_spaces.LABEL_IDS, r"l\.png: values 77 are no Cityscapes label ids \(0\.3%"),
    ],
)
def test_one_unknown_value_is_an_error_elsewhere(tmp_path, value, encoding, message):
    label = np.zeros((16, 24), np.uint8)
    label[3, 4] = value
    with pytest.raises(DataError, match=message):
        loading.load_label(tiny.save(tmp_path / "l.png", label), encoding)


def test_coloured_and_wide_labels_are_named(tmp_path):
    coloured = tiny.save(tmp_path / "c.png", tiny.picture(0))
    with pytest.raises(DataError, match=r"c\.png.* this is an RGB-coloured label; use the id file"):
        loading.load_label(coloured, label_spaces.TRAIN_IDS)
    wide = tiny.save(tmp_path / "w.png", np.zeros((4, 4), np.uint16))
    with pytest.raises(DataError, match=r"w\.png.* its pixels are uint16"):
        loading.load_label(wide, label_spaces.GTA5_IDS)


def test_sizes_that_differ_are_an_error_that_names_both_files(tmp_path):
    image = tiny.save(tmp_path / "i.png", tiny.picture(0))
    label = tiny.save(tmp_path / "l.png", tiny.train_id_label(0, (24, 15)))
    with pytest.raises(DataError, match=r"l\.png: this label is 24x15 .*i\.png is 24x16; restore"):
        loading.load_example(Example("x", image, label), (8, 8), (8, 8))


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "missing"])
def test_unreadable_files_are_one_line_errors(tmp_path, damage):
    path = tiny.save(tmp_path / "i.png", tiny.picture(0))
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"no picture", "truncated": whole[:300], "missing": b""}[damage])
    if damage == "missing":
        path.unlink()
    with pytest.raises(DataError, match=r"i\.png: cannot be read as a picture \(.+\); restore") as error:
        loading.load_example(Example("x", path), (8, 8), None)
    assert "\n" not in str(error.value)
