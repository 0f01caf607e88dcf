"""Folders and lists as people have them: what nobody meant is passed over, said, or refused, and by all alike."""

import numpy as np
import pytest
import tiny_datasets as tiny
from PIL import Image

from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import LAYOUTS, list_examples
from data_pipelines.doctor import auditing
from data_pipelines.domains import target_lacks_labels

WRITERS = {"cityscapes": tiny.write_cityscapes, "gta5": tiny.write_gta5, "bdd100k": tiny.write_bdd100k}
LABELLED = sorted(WRITERS)


def written(dataset, root):
    """The pictures of train, in order."""
    WRITERS[dataset](root)
    return [example.image for example in list_examples(dataset, root, "train").examples]


def errors(dataset, root, **how):
    """Check and message of what the doctor calls an error in train."""
    found = auditing.audit(dataset, root, **how).findings
    return [(f.check, f.message) for f in found if f.severity == "error" and f.split == "train"]


@pytest.mark.parametrize("dataset", LABELLED)
def test_what_macos_leaves_beside_the_files_is_passed_over(tmp_path, dataset):
    pictures = written(dataset, tmp_path)
    before = list_examples(dataset, tmp_path, "train")
    for file in [path for path in tmp_path.rglob("*") if path.is_file()]:
        (file.parent / f"._{file.name}").write_bytes(b"\0\5\x16\7")
        (file.parent / ".ipynb_checkpoints").mkdir(exist_ok=True)
        (file.parent / ".ipynb_checkpoints" / file.name).write_bytes(file.read_bytes())
    after = list_examples(dataset, tmp_path, "train")
    assert [example.image for example in after.examples] == pictures
    assert (after.notes, after.fingerprint) == (before.notes, before.fingerprint)
    assert not errors(dataset, tmp_path)


@pytest.mark.parametrize("dataset", LABELLED)
def test_extensions_in_any_case(tmp_path, dataset):
    pictures = written(dataset, tmp_path)
    examples = list_examples(dataset, tmp_path, "train").examples
    for place, file in enumerate(path for path in sorted(tmp_path.rglob("*")) if path.suffix in (".png", ".jpg")):
        file.rename(file.with_suffix([file.suffix.upper(), file.suffix.title()][place % 2]))
    found = list_examples(dataset, tmp_path, "train").examples
    assert [example.name for example in found] == [example.name for example in examples]
    assert [example.label.stem for example in found] == [example.label.stem for example in examples]
    assert len(found) == len(pictures) and not errors(dataset, tmp_path)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("dataset", LABELLED)
def test_two_files_of_one_picture_are_refused_by_all(tmp_path, dataset, labelled):
    picture = written(dataset, tmp_path)[0]
    if dataset == "cityscapes":
        other = picture.parent.parent / "backup" / picture.name
        other.parent.mkdir()
    else:
        other = picture.with_suffix(".webp")
    other.write_bytes(picture.read_bytes())
    with pytest.raises(DataError, match=f"{picture.name}.* are files of one picture; keep one") as refused:
        list_examples(dataset, tmp_path, "train", labelled=labelled)
    assert str(other) in str(refused.value)
    assert any("2 files stand for fewer pictures" in message for _, message in errors(dataset, tmp_path))


def test_an_empty_split_says_what_was_looked_for_and_what_lies_there(tmp_path):
    for picture in written("cityscapes", tmp_path):
        picture.rename(picture.with_suffix(".tif"))
    with pytest.raises(DataError) as refused:
        list_examples("cityscapes", tmp_path, "train")
    for part in ("leftImg8bit/train/CITY/*_leftImg8bit.png in ", "3 other pictures (3 .tif; the first aachen/"):
        assert part in str(refused.value)
    assert "left out" in dict(errors("cityscapes", tmp_path))


def test_what_is_left_out_is_counted_and_too_much_of_it_is_an_error_in_the_doctor(tmp_path):
    tiny.write_gta5(tmp_path, 40)
    (tmp_path / "images" / "more").mkdir()
    tiny.save(tmp_path / "images" / "more" / "a.png", tiny.picture(0))
    tiny.save(tmp_path / "images" / "b.tif", tiny.picture(0))
    (tmp_path / "images" / "readme.txt").touch()
    note = list_examples("gta5", tmp_path, "train").notes[-1]
    assert "2 other pictures (1 .tif, 1 .png; the first b.tif)" in note and "images/*.png" in note
    (finding,) = [f for f in auditing.audit("gta5", tmp_path).findings if f.check == "left out"]
    assert finding.severity == "warning" and finding.count == 2
    tiny.save(tmp_path / "images" / "more" / "c.JPG", tiny.picture(0))
    assert [check for check, _ in errors("gta5", tmp_path)] == ["left out"]


def test_few_pairs_of_different_sizes_are_a_warning_many_an_error(tmp_path):
    tiny.write_gta5(tmp_path, 40)
    for number, label in enumerate(sorted((tmp_path / "labels").iterdir())[:3], start=1):
        Image.open(label).resize((8, 8), Image.Resampling.NEAREST).save(label)
        severities = {f.severity for f in auditing.audit("gta5", tmp_path).findings if f.check == "sizes"}
        assert severities == {"warning" if number <= 2 else "error"}


def test_the_doctor_finds_an_error_wherever_training_cannot_open_a_split(tmp_path, monkeypatch):
    tiny.write_gta5(tmp_path)

    def refuse(examples):
        raise DataError("gta5: something that no check looks for; mend it")

    monkeypatch.setitem(LAYOUTS, "gta5", LAYOUTS["gta5"]._replace(screen=refuse))
    assert errors("gta5", tmp_path) == [("pairs", "training cannot open it: gta5: something that no check looks for")]


def test_a_folder_of_ones_own_takes_more_formats_and_the_folders_below_when_asked(tmp_path):
    for name in ("a.bmp", "b.TIF", "c.tiff", "d.WebP", "e.gif", "day/f.png", "day/night/g.JPEG", ".hid/h.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    flat = list_examples("flat_folder", tmp_path, "train", labelled=False)
    assert [example.name for example in flat.examples] == ["a.bmp", "b.TIF", "c.tiff", "d.WebP"]
    assert "3 other pictures" in flat.notes[-1] and "--config.data.target_recursive=True" in flat.notes[-1]
    deep = list_examples("flat_folder", tmp_path, "train", labelled=False, recursive=True)
    names = [example.name for example in deep.examples]
    assert names == ["a.bmp", "b.TIF", "c.tiff", "d.WebP", "day/f.png", "day/night/g.JPEG"]
    (tmp_path / "day" / "f.jpg").touch()
    with pytest.raises(DataError, match="are files of one picture"):
        list_examples("flat_folder", tmp_path, "train", labelled=False, recursive=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_as_people_have_them(tmp_path, encoding):
    tiny.write_gta5(tmp_path)
    lines = ["# of mine", "", "   ", r"C:\gta5\images\00003.png", "  # another", "gta5/images/00001.PNG\t", "00003"]
    (tmp_path / "list.txt").write_bytes("\r\n".join(lines).encode(encoding))
    split = list_examples("gta5", tmp_path, "train", list_file=tmp_path / "list.txt")
    assert [example.name for example in split.examples] == ["00001", "00003"]
    (tmp_path / "list.txt").write_bytes("images/00001.png labels/00003.png".encode(encoding))
    with pytest.raises(DataError, match="several files in a line"):
        list_examples("gta5", tmp_path, "train", list_file=tmp_path / "list.txt")
    (tmp_path / "list.txt").write_bytes("# none\r\n".encode(encoding))
    with pytest.raises(DataError, match="names no picture"):
        list_examples("gta5", tmp_path, "train", list_file=tmp_path / "list.txt")


def test_bitmaps_and_tiffs_are_read(tmp_path):
    pixels = tiny.picture(3)
    for name in ("a.bmp", "b.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
    from data_pipelines.reading import loading

    for example in list_examples("flat_folder", tmp_path, "train", labelled=False).examples:
        found = loading.load_example(example, pixels.shape[1::-1], None)
        np.testing.assert_array_equal(found.image, pixels)


def test_a_city_without_any_labels_is_no_error_and_one_with_some_is(tmp_path):
    tiny.write_cityscapes(tmp_path, labelled=False)
    tiny.write_cityscapes(tmp_path, "val", labelled=False, seed=150)
    found = {(f.severity, f.split, f.message) for f in auditing.audit("cityscapes", tmp_path).findings}
    assert not [one for one in found if one[0] == "error"]
    assert ("warning", "val", "none of 3 pictures has a label: there is nothing to score on") in found
    tiny.write_cityscapes(tmp_path)
    found = auditing.audit("cityscapes", tmp_path).findings
    assert [(f.check, f.split) for f in found if f.severity == "error"] == [("pairs", "val")]


def test_a_file_in_the_place_of_the_labels_is_named_and_no_sign_that_there_are_none(tmp_path):
    tiny.write_cityscapes(tmp_path / "cityscapes", labelled=False)
    (tmp_path / "cityscapes" / "gtFine").touch()
    with pytest.raises(DataError, match=r"has no label, expected .*gtFine is a file"):
        list_examples("cityscapes", tmp_path / "cityscapes", "train")
    assert not target_lacks_labels(tiny.data_config(tmp_path))
    (tmp_path / "cityscapes" / "gtFine").unlink()
    assert target_lacks_labels(tiny.data_config(tmp_path))
