"""Readers of the on-disk layouts: what they find, what they leave out, what they refuse."""

import numpy as np
import pytest
import tiny_datasets as tiny

from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import list_examples
from data_pipelines.reading import label_spaces, loading


def names(split):
    return [example.name for example in split.examples]


def test_cityscapes_goes_city_by_city(tmp_path):
    tiny.write_cityscapes(tmp_path)
    split = list_examples("cityscapes", tmp_path, "train")
    assert names(split) == ["aachen_000000_000019", "aachen_000002_000019", "bochum_000001_000019"]
    assert split.notes == ("cityscapes: 3 train pictures (labelled)",)
    loaded = loading.load_example(split.examples[0], tiny.SIZE, None)
    np.testing.assert_array_equal(loaded.image, tiny.picture(100))
    np.testing.assert_array_equal(loaded.label, tiny.train_id_label(100))


def test_cityscapes_reads_train_id_files_where_there_are_no_label_ids(tmp_path):
    tiny.write_cityscapes(tmp_path, count=1)
    ids = next(tmp_path.rglob("*_labelIds.png"))
    train_ids = ids.with_name(ids.name.replace("labelIds", "labelTrainIds"))
    tiny.save(train_ids, tiny.train_id_label(7))
    assert list_examples("cityscapes", tmp_path, "train").examples[0].label == ids
    ids.unlink()
    example = list_examples("cityscapes", tmp_path, "train").examples[0]
    np.testing.assert_array_equal(loading.load_example(example, (8, 8), None).label, tiny.train_id_label(7))


def test_unlabelled_splits_need_and_use_no_labels(tmp_path):
    tiny.write_cityscapes(tmp_path, labelled=False)
    split = list_examples("cityscapes", tmp_path, "train", labelled=False)
    assert [example.label for example in split.examples] == [None] * 3
    with pytest.raises(DataError, match=r"aachen_000000_000019_leftImg8bit\.png has no label.*and 2 more"):
        list_examples("cityscapes", tmp_path, "train")
    tiny.write_cityscapes(tmp_path)
    assert list_examples("cityscapes", tmp_path, "train", labelled=False).examples[0].label is None


def test_bdd100k_reads_both_releases_the_same(tmp_path):
    tiny.write_bdd100k(tmp_path / "old")
    for i in range(3):
        image, label = tmp_path / f"new/images/10k/train/{i:04d}.jpg", "new/labels/sem_seg/masks/train"
        tiny.save(image, tiny.picture(200 + i))
        tiny.save(tmp_path / label / f"{i:04d}.png", tiny.train_id_label(200 + i))
    old, new = (list_examples("bdd100k", tmp_path / release, "train") for release in ("old", "new"))
    assert old.notes == ("bdd100k: 3 train pictures (seg release)",)
    assert new.notes == ("bdd100k: 3 train pictures (10k release)",)
    assert names(old) == names(new) == ["0000", "0001", "0002"]
    for a, b in zip(old.examples, new.examples, strict=True):
        pair = [loading.load_example(e, tiny.SIZE, None) for e in (a, b)]
        np.testing.assert_array_equal(pair[0].image, pair[1].image)
        np.testing.assert_array_equal(pair[0].label, pair[1].label)


def test_gta5_takes_pictures_of_any_size_and_leaves_out_pairs_that_do_not_fit(tmp_path):
    tiny.write_gta5(tmp_path, 4)
    tiny.save(tmp_path / "labels" / "00002.png", np.zeros((9, 9), np.uint8))
    split = list_examples("gta5", tmp_path, "train")
    assert names(split) == ["00001", "00003", "00004"]
    assert split.notes[1] == "gta5: 1 pair left out: image and label sizes differ"
    assert {loading.picture_size(e.image) for e in split.examples} == {(24, 16), (32, 16)}
    with pytest.raises(DataError, match=r"empty \(gta5: 1 pair left out"):
        (tmp_path / "list.txt").write_text("00002.png\n")
        list_examples("gta5", tmp_path, "train", list_file=tmp_path / "list.txt")


@pytest.mark.parametrize("style", ["{}", "{}.png", "images/{}.png", "  {}.png"])
def test_a_list_file_restricts_the_set(tmp_path, style):
    tiny.write_gta5(tmp_path)
    lines = ["# my subset", "", style.format("00003"), style.format("00001"), style.format("00003")]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    split = list_examples("gta5", tmp_path, "train", list_file=tmp_path / "list.txt")
    assert names(split) == ["00001", "00003"]
    assert split.notes == ("gta5: 2 train pictures (labelled, restricted by list.txt)",)


def test_wrong_list_files(tmp_path):
    tiny.write_gta5(tmp_path)
    with pytest.raises(DataError, match=r"cannot read the list file .*none\.txt"):
        list_examples("gta5", tmp_path, "train", list_file=tmp_path / "none.txt")
    (tmp_path / "list.txt").write_text("00001\n00009\n")
    with pytest.raises(DataError, match=r"names 1 pictures that are not there, first '00009'"):
        list_examples("gta5", tmp_path, "train", list_file=tmp_path / "list.txt")


def test_flat_folder_in_natural_order(tmp_path):
    for name in ("frame10.png", "frame2.jpg", "Frame1.JPEG", "b.webp"):
        tiny.save(tmp_path / name, tiny.picture(0))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    split = list_examples("flat_folder", tmp_path, "train", labelled=False)
    assert names(split) == ["b.webp", "Frame1.JPEG", "frame2.jpg", "frame10.png"]
    with pytest.raises(DataError, match="pictures without labels"):
        list_examples("flat_folder", tmp_path, "train")


@pytest.mark.parametrize("dataset", ["cityscapes", "gta5", "bdd100k", "flat_folder"])
def test_missing_folders_and_empty_splits_name_the_folder(tmp_path, dataset):
    with pytest.raises(DataError, match=rf"{dataset}: no folder {tmp_path / 'gone'}.*; (unpack|set)"):
        list_examples(dataset, tmp_path / "gone", "train", labelled=False)
    for folder in ("leftImg8bit/train", "images", "seg/images/train"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=rf"{dataset}: the split is empty \(no usable.*{tmp_path}"):
        list_examples(dataset, tmp_path, "train", labelled=False)


def test_unknown_names_list_the_known_ones(tmp_path):
    with pytest.raises(DataError, match="unknown dataset 'kitti'; known are bdd100k, cityscapes, flat_folder, gta5"):
        list_examples("kitti", tmp_path, "train")
    with pytest.raises(DataError, match="gta5 has no split 'val'; it has train"):
        list_examples("gta5", tmp_path, "val")


def test_real_cityscapes_label_ids_and_train_ids_agree(camvid_dir):
    split = list_examples("cityscapes", camvid_dir / "cityscapes", "val")
    assert len(split) == 31
    for example in split.examples:
        assert example.encoding is label_spaces.LABEL_IDS
        train_ids = example.label.with_name(example.label.name.replace("labelIds", "labelTrainIds"))
        by_ids, _ = loading.load_label(example.label, example.encoding)
        directly, _ = loading.load_label(train_ids, label_spaces.TRAIN_IDS)
        np.testing.assert_array_equal(by_ids, directly)


def test_real_gta5_labels_agree_with_the_same_frames_in_bdd100k_layout(camvid_dir):
    gta5 = list_examples("gta5", camvid_dir / "gta5_layout_sample", "train")
    bdd100k = list_examples("bdd100k", camvid_dir / "bdd100k", "train")
    assert (len(gta5), len(bdd100k)) == (11, 405)
    assert len(list_examples("bdd100k", camvid_dir / "bdd100k", "val")) == 26
    labels = {loading.load_label(e.label, e.encoding)[0].tobytes() for e in bdd100k.examples}
    for example in gta5.examples:
        label, unknown_pixels = loading.load_label(example.label, example.encoding)
        assert label.tobytes() in labels and unknown_pixels == 0


def test_the_new_bdd100k_layout_as_released(camvid_dir):
    root = camvid_dir.parent / "bdd100k_2020_layout_placeholder"
    assert names(list_examples("bdd100k", root, "val")) == [
        "7d06fefd-f7be05a6",
        "7d128593-0ccfea4c",
        "7d15b18b-1e0d6e3f",
    ]
    assert list_examples("bdd100k", root, "train").notes == ("bdd100k: 3 train pictures (10k release)",)
