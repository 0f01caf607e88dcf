"""The doctor finds every fault in the files of a dataset, and nothing in a sound one."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_datasets as tiny
from dataset_faults import FAULTS, cut, file, rewrite, to_train_ids
from PIL import Image

from data_pipelines.basics import parallel
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import LAYOUTS, list_examples
from data_pipelines.doctor import auditing, fingerprints
from data_pipelines.doctor.measuring import label_kinds
from data_pipelines.reading import class_histogram, label_spaces, loading

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path):
    """Sound datasets in all layouts, larger than a header."""
    tiny.write_cityscapes(tmp_path / "cityscapes")
    tiny.write_cityscapes(tmp_path / "cityscapes", "val", seed=150)
    tiny.write_gta5(tmp_path / "gta5", sizes=[tiny.SIZE])
    tiny.write_bdd100k(tmp_path / "bdd100k")
    tiny.write_bdd100k(tmp_path / "bdd100k", "val", seed=250)
    for i in range(3):
        tiny.save(tmp_path / "flat_folder" / f"{i}.jpg", tiny.picture(i))
    return tmp_path


def findings(dataset, root, **options):
    """Of an audit, without those on the number of pictures."""
    found = auditing.audit(dataset, root / dataset, **options).findings
    return [finding for finding in found if finding.check != "count"]


def summary(dataset, root, check, split="train"):
    return auditing.audit(dataset, root / dataset).outcomes[split][check].summary


@pytest.mark.parametrize("dataset", ["cityscapes", "gta5", "bdd100k", "flat_folder"])
def test_nothing_is_wrong_with_sound_datasets(root, dataset):
    assert findings(dataset, root) == findings(dataset, root, quick=True) == []


def test_counts_are_compared_with_the_released_ones_as_a_warning(root, monkeypatch):
    (train, val) = auditing.audit("cityscapes", root / "cityscapes").findings
    assert (train.severity, train.message) == ("warning", "3 pictures; as released, cityscapes train has 2,975")
    assert val.message == "3 pictures; as released, cityscapes val has 500" and "subset" in val.advice
    for official in ({}, {"train": 3, "val": 3}):
        monkeypatch.setitem(LAYOUTS, "cityscapes", LAYOUTS["cityscapes"]._replace(official_counts=official))
        assert auditing.audit("cityscapes", root / "cityscapes").findings == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_nothing_else(root, fault):
    damage, dataset, severity, check, split, message = FAULTS[fault]
    damage(root)
    found = findings(dataset, root)
    if check == "label values":  # labels that are read wrongly lack classes
        found = [finding for finding in found if finding.check != "classes"]
    (finding,) = found
    assert (finding.severity, finding.check, finding.split) == (severity, check, split)
    assert re.search(message, finding.message), finding.message
    assert finding.advice and "\n" not in finding.message + finding.advice


def test_a_release_of_gta5_in_colours_is_fine_and_said(root):
    assert summary("gta5", root, "label values") == "label ids"
    for index in range(3):
        rewrite(file(root, "gta5", "label", index=index), lambda ids: label_spaces.colourise(to_train_ids(ids)))
    assert findings("gta5", root) == []
    assert summary("gta5", root, "label values") == "RGB colours of Cityscapes"


def test_what_is_there_is_said(root):
    outcomes = auditing.audit("cityscapes", root / "cityscapes").outcomes
    said = {check: outcome.summary for check, outcome in outcomes["val"].items()}
    assert said == {
        "count": "3 of 500",
        "left out": "none",
        "pairs": "3 labels",
        "readable": "6 files",
        "pixels": "RGB",
        "sizes": "24x16",
        "label values": "label ids",
        "classes": "19 of 19",
        "void": "6% of the pixels",
        "constant": "none",
        "duplicates": "none in train",
    }
    tiny.write_gta5(root / "sizes", 5, sizes=[(24, 16), (32, 16)])
    assert auditing.audit("gta5", root / "sizes").outcomes["train"]["sizes"].summary == "24x16 (3), 32x16 (2)"


def test_all_gaps_are_listed_not_only_the_first(root):
    for index in (2, 0):
        file(root, "bdd100k", "label", index=index).unlink()
    (finding,) = findings("bdd100k", root)
    assert [path.name for path in finding.files] == ["0000_train_id.png", "0002_train_id.png"]
    assert finding.count == 2


def test_the_placeholder_data_has_a_colormap_without_its_picture(camvid_dir):
    found = auditing.audit("bdd100k", camvid_dir.parent / "bdd100k_2020_layout_placeholder").findings
    pairs = [finding for finding in found if finding.check == "pairs"]
    assert [(f.severity, f.split, [path.name for path in f.files]) for f in pairs] == [
        ("error", "val", ["7d2f7975-e0c1c5a7.png"]),
        ("warning", "val", ["7d06fefd-f7be05a6.jpg"]),
    ]


def test_an_empty_split_is_an_error(root):
    for path in (root / "bdd100k" / "seg" / "images" / "val").iterdir():
        path.unlink()
    (first, *_) = auditing.audit("bdd100k", root / "bdd100k").findings
    assert (first.severity, first.check, first.split, first.message) == ("error", "count", "val", "no pictures")


def test_unreadable_pictures_are_no_duplicates_of_each_other(root):
    for split in ("train", "val"):
        file(root, "bdd100k", "image", split).write_bytes(b"")
    for quick in (False, True):
        assert [f.check for f in findings("bdd100k", root, quick=quick)] == ["readable", "readable"]


def test_a_missing_split_is_a_warning_and_a_missing_dataset_a_mistake(root):
    shutil.rmtree(root / "bdd100k" / "seg" / "images" / "val")
    last = auditing.audit("bdd100k", root / "bdd100k").findings[-1]
    assert (last.severity, last.split) == ("warning", "val") and "there is no val split in" in last.message
    with pytest.raises(DataError, match=r"cityscapes: no folder .*bdd100k/leftImg8bit/train; unpack"):
        auditing.audit("cityscapes", root / "bdd100k")


def test_a_test_split_is_looked_at_without_its_labels(root):
    tiny.write_cityscapes(root / "cityscapes", "test", labelled=False, seed=190)
    assert findings("cityscapes", root) == []
    Image.open(file(root, "cityscapes", "image")).save(file(root, "cityscapes", "image", "test"))
    (finding,) = findings("cityscapes", root)
    assert (finding.check, finding.split) == ("duplicates", "test") and "also in train and val" in finding.message


def test_quick_reads_every_header_but_decodes_a_sample(root, monkeypatch):
    monkeypatch.setattr(auditing, "QUICK_SAMPLE", 2)
    facts = auditing.audit("gta5", root / "gta5", quick=True).splits["train"].facts
    (left_out,) = (index for index, one in enumerate(facts) if not one.decoded)
    path = file(root, "gta5", "image", index=left_out)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])  # its header is fine
    assert findings("gta5", root, quick=True) == [] and len(findings("gta5", root)) == 1
    path.write_bytes(b"")
    assert [f.check for f in findings("gta5", root, quick=True)] == ["readable"]
    path.write_bytes(whole)
    cut("image", "gta5")(root) if left_out != 1 else cut("label", "gta5")(root)
    monkeypatch.setattr(auditing, "QUICK_SAMPLE", 3)
    assert [f.check for f in findings("gta5", root, quick=True)] == ["readable"]


def test_quick_compares_files_not_pixels(root, monkeypatch):
    monkeypatch.setattr(auditing, "QUICK_SAMPLE", 1)
    shutil.copy(file(root, "bdd100k", "image"), file(root, "bdd100k", "image", "val", 1))
    assert [f.check for f in findings("bdd100k", root, quick=True)] == ["duplicates"]


def test_processes_see_the_same(root, monkeypatch):
    file(root, "gta5", "label").unlink()
    alone = auditing.audit("gta5", root / "gta5")
    monkeypatch.setattr(parallel, "WORTH_A_POOL", 1)
    told = []
    together = auditing.audit("gta5", root / "gta5", num_workers=2, progress=lambda *p: told.append(p))
    assert together.findings == alone.findings and told[-1] == (3, 3)
    assert list(together.splits["train"].contents) == list(alone.splits["train"].contents)


def test_fingerprints_are_those_of_the_splits_that_training_opens(root):
    prints = auditing.audit("cityscapes", root / "cityscapes").fingerprints["train"]
    for labelled, what in ((True, "pictures and labels"), (False, "pictures")):
        opened = list_examples("cityscapes", root / "cityscapes", "train", labelled=labelled)
        assert prints[what] == opened.fingerprint
    file(root, "cityscapes", "label").unlink()
    made = auditing.audit("cityscapes", root / "cityscapes")
    assert "train" not in made.fingerprints
    row = fingerprints.rows(made.fingerprints, made.splits)["fingerprint"]
    assert row == {"train": fingerprints.NONE, "val": made.fingerprints["val"]["pictures and labels"]}


# The command


def doctor(root, dataset, *more):
    """(exit code, stdout, stderr) of the command itself, in its own process."""
    ended = subprocess.run(
        [sys.executable, "-m", "data_pipelines.doctor", f"--dataset={dataset}", f"--source={root / dataset}",
         f"--output={root / 'out'}", *more],
        cwd=PROJECT, capture_output=True, text=True,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


def test_the_command_on_sound_data(root):
    code, out, err = doctor(root, "bdd100k", "--quick")
    assert (code, err) == (0, "")
    assert f"bdd100k in {root / 'bdd100k'}: all headers read, up to 32 pairs of each split decoded" in out
    opened = list_examples("bdd100k", root / "bdd100k", "train")
    assert re.search(r"label values +train ids +train ids", out) and opened.fingerprint[:16] in out
    assert "Nothing is wrong: no errors, 2 warnings." in out
    found = json.loads((root / "out" / "findings.json").read_text())
    assert found["ok"] and found["splits"]["train"]["fingerprints"]["pictures and labels"] == opened.fingerprint
    # What it counted is what rare-class sampling looks for.
    counted = class_histogram.cache_file(opened, root / "out")
    np.testing.assert_array_equal(np.load(counted)["counts"], class_histogram.class_histogram(opened).counts)


def test_the_command_on_wrong_data(root):
    cut("image", "gta5")(root)
    code, out, err = doctor(root, "gta5")
    assert (code, err) == (1, "")
    assert re.search(r"error: train: .*00002\.png: cannot be read", out) and "  -> restore the file" in out
    assert "Something is wrong: 1 error, 1 warning." in out
    (error, _) = json.loads((root / "out" / "findings.json").read_text())["findings"]
    assert (error["severity"], error["check"], error["files"]) == (
        "error", "readable", [str(root / "gta5/images/00002.png")],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--source=nowhere"], "gta5: no folder nowhere/images; unpack the GTA5 parts into nowhere"),
        (["--dataset=kitti"], "--dataset=kitti: value should be one of <bdd100k.cityscapes.flat_folder.gta5>"),
        (["--output=/dev/null/x"], "cannot write /dev/null/x: .*; make room, allow writing or choose another"),
    ],
)
def test_mistakes_of_use_are_one_line(root, more, message):
    code, _, err = doctor(root, "gta5", *more)
    assert code == 2 and len(err.splitlines()) == 1 and re.match(f"error: .*{message}", err), err


# Real labels


def test_real_labels_are_recognised(camvid_dir):
    for kind, expected in (("labelIds", "label ids"), ("labelTrainIds", "train ids")):
        for path in (camvid_dir / "cityscapes").rglob(f"*_{kind}.png"):
            assert label_kinds.of_pixels(loading.decode(path)) == expected, path
