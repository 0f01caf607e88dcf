"""Fingerprints and prepared sets change where a file is read otherwise than before, and nowhere else."""

import dataclasses

import handmade_pictures as handmade
import numpy as np
import pytest
import tiny_datasets as tiny
from pixel_reports_test import WIDE, lossy, root, tag
from prepared_sets import run

from data_pipelines.datasets import list_examples
from data_pipelines.doctor import auditing, quick
from data_pipelines.doctor.measuring import measuring
from data_pipelines.domains import open_domains
from data_pipelines.pictures import pixel_formats
from data_pipelines.reading import prepared_records

__all__ = ["root"]

# Computed by the version before pictures were turned or scaled: what is read as it was then keeps its finished stages.
GTA5_OF_THEN = "b30b592f9d0b449cdfe018e14105969959115c9188a822b952ca03df2bfaa1d0"
FLAT_OF_THEN = "be7479f47266d6a42d5648075a8d7115532616c04134b0fc58565313c086fe83"


@pytest.fixture
def plain(tmp_path):
    """Files whose bytes no version of a library changes."""
    pixels = np.arange(16 * 24 * 3).reshape(16, 24, 3).astype(np.uint8)
    for i in range(3):
        for name, content in (
            (f"gta5/images/{i:05d}.png", pixels + np.uint8(i)),
            (f"gta5/labels/{i:05d}.png", np.full((16, 24), 7 + i, np.uint8)),
            (f"mine/{i}.png", pixels + np.uint8(i)),
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(handmade.png(content))
    return tmp_path


def split_of(plain, dataset, bit_depth=0):
    where = {"flat_folder": "mine"}.get(dataset, dataset)
    split = list_examples(dataset, plain / where, "train", labelled=dataset == "gta5")
    return dataclasses.replace(split, bit_depth=bit_depth)


@pytest.mark.parametrize("bit_depth", [0, 12])
def test_ordinary_files_keep_their_fingerprint(plain, bit_depth):
    assert split_of(plain, "gta5", bit_depth).fingerprint == GTA5_OF_THEN
    assert split_of(plain, "flat_folder", bit_depth).fingerprint == FLAT_OF_THEN
    made = auditing.audit("gta5", plain / "gta5", bit_depth=bit_depth).fingerprints["train"]
    assert made["pictures and labels"] == GTA5_OF_THEN


def test_what_is_read_otherwise_changes_it_and_nothing_else_does(plain):
    def marks(dataset, bit_depth=0):
        return [sample[64:] for sample in split_of(plain, dataset, bit_depth).file_samples]

    tag(plain / "mine" / "1.png", 3)
    tag(plain / "gta5" / "images" / "00001.png", 3)
    assert marks("flat_folder") == ["", " turned 3", ""] and marks("gta5") == [""] * 6
    for path in (plain / "mine" / "2.png", plain / "gta5" / "images" / "00002.png"):
        path.write_bytes(handmade.png(WIDE))
    assert marks("flat_folder", 12) == ["", " turned 3", " 12 bit"] and marks("gta5", 12)[4:] == [" 12 bit", ""]
    assert marks("gta5")[4:] == [" refused", ""]
    lossy(plain / "gta5" / "labels" / "00000.png")
    assert marks("gta5", 12)[:2] == ["", " refused"]
    prints = {split_of(plain, "gta5", bits).fingerprint for bits in (0, 12, 16)}
    assert len(prints) == 3


@pytest.mark.parametrize("change", ["turned", "wide"])
def test_records_of_earlier_versions_are_stale_only_where_a_file_is_read_otherwise(root, monkeypatch, change):
    """A set that was prepared before says of its files what is said of ordinary ones."""
    path = root / "mine" / "1.png"
    path.write_bytes(handmade.png(WIDE)) if change == "wide" else tag(path)
    with monkeypatch.context() as then:
        then.setattr(pixel_formats, "mark", lambda path, start, **how: "")
        then.setattr(quick, "refuse_what_would_be_misread", lambda split: None)
        sets = ("--size=16x8", "--num_workers=1", "--bit_depth=12")
        assert run("--dataset=flat_folder", f"--source={root / 'mine'}", *sets) == 0
    config = tiny.data_config(root, name="camvid", target_dir=str(root / "mine"), bit_depth=12)
    opened = open_domains(config).target_train
    assert not opened.records and any("prepare them anew" in note for note in opened.notes)
    tiny.save(path, tiny.picture(1))
    assert run("--dataset=flat_folder", f"--source={root / 'mine'}", "--size=16x8", "--num_workers=1") == 0
    assert open_domains(config).target_train.records  # ordinary files: whatever bit_depth says
    with monkeypatch.context() as then:
        then.setattr(pixel_formats, "mark", lambda path, start, **how: "")
        (records,) = prepared_records.find(root / "prepared", "flat_folder", "train")
        assert records.holds(list_examples("flat_folder", root / "mine", "train", labelled=False))


def test_few_files_get_a_second_look_for_their_fingerprint(root, monkeypatch):
    """Of labelled pairs only those whose first bytes are of a wide picture, TIFF or a lossy label."""
    seen, header = [], pixel_formats.header
    monkeypatch.setattr(pixel_formats, "header", lambda path: seen.append(path.name) or header(path))
    split = list_examples("bdd100k", root / "bdd100k", "train")
    assert split.fingerprint and seen == []
    lossy(split.examples[1].label)
    assert split.file_samples and dataclasses.replace(split).fingerprint and seen == [split.examples[1].label.name]


def test_a_measured_header_says_what_training_reads(root):
    path = tag(root / "mine" / "1.png", 8)
    facts = measuring.measure(
        measuring.Job(list_examples("flat_folder", root / "mine", "train", labelled=False).examples[1], False)
    )
    assert facts.image.size == (16, 24) and facts.image.turned and facts.image.orientation == 8 and path.name == "1.png"
