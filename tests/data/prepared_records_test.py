"""Prepared records are read in place of the folders: the same pixels, or one clear error."""

import numpy as np
import pytest
import tiny_datasets as tiny
from input_pipeline_test import AUGMENTED, assert_equal, take
from prepared_sets import gta5, prepare_pair, run, write_domains

from data_pipelines.basics.errors import DataError
from data_pipelines.domains import open_domains
from data_pipelines.feeding.input_pipeline import eval_batches
from data_pipelines.reading import prepared_records


@pytest.fixture
def root(tmp_path):
    return write_domains(tmp_path)


def both_ways(root, tmp_path, **changes):
    """The config that reads files, and the one that reads records."""
    return gta5(root, records_dir=str(tmp_path / "none"), **changes), gta5(root, **changes)


@pytest.mark.parametrize("changes", [{}, AUGMENTED, {"loader": "tf"}], ids=["plain", "augmented", "tf"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_records_and_files_give_the_same_bits(root, tmp_path, changes, compression):
    prepare_pair(root, f"--compression={compression}", "--shard_mb=1")
    files, records = both_ways(root, tmp_path, **changes)
    domains = open_domains(records)
    assert "source train: reads prepared records gta5-train-20x12" in domains.notes
    assert "source train: gta5: 1 pair left out: image and label sizes differ" in domains.notes
    assert "source train: reads files, resized to 20x12" in open_domains(files).notes
    assert_equal(take(files, 5), take(records, 5))


def test_the_records_are_what_is_read(root, tmp_path):
    """The pixels come from the records: the files are not opened again."""
    prepare_pair(root)
    files, records = both_ways(root, tmp_path)
    expected, domains = take(files, 3), open_domains(records)
    for file in [*root.rglob("gta5/*/*.png"), *root.rglob("leftImg8bit/train/*/*.png")]:
        file.write_bytes(b"gone")
    assert_equal(take(records, 3, domains=domains), expected)


def test_evaluation_reads_native_labels_from_records(root, tmp_path):
    sizes = [(24, 16), (30, 20), (24, 16)]
    for i, size in enumerate(sizes):
        tiny.write_cityscapes(root / "cityscapes", "val", count=i + 1, size=size, seed=150)
    prepare_pair(root)
    files, records = (open_domains(config).target_val for config in both_ways(root, tmp_path))
    assert records.records and not files.records
    for label_size in (None, (16, 8)):  # the second is not what the records hold
        some, others = (
            list(eval_batches(split, image_size=(16, 8), batch_size=2, label_size=label_size))
            for split in (files, records)
        )
        assert len(some) == len(others)
        for a, b in zip(some, others, strict=True):
            assert a["names"] == b["names"]
            for key in ("image", "label", "mask"):
                np.testing.assert_array_equal(a[key], b[key])


def test_records_alone_are_enough_and_have_the_same_fingerprint(root, tmp_path):
    prepare_pair(root)
    (root / "list.txt").write_text("00002\n00005.png\n")
    config = gta5(root)
    listed = gta5(root, source_list=str(root / "list.txt"))
    everything, some = take(config, 4), take(listed, 4)
    roles = ("source_train", "target_train", "target_val")
    prints = [open_domains(c).fingerprint(*roles) for c in (config, listed)]
    for dataset in ("gta5", "cityscapes"):
        (root / dataset).rename(tmp_path / f"{dataset}_away")
    notes = open_domains(config).notes
    assert "source train: gta5: 4 train pictures (labelled), of prepared records alone: there is no folder" in notes
    assert_equal(take(config, 4), everything)
    assert_equal(take(listed, 4), some)
    assert [open_domains(c).fingerprint(*roles) for c in (config, listed)] == prints
    batches = list(eval_batches(open_domains(config).target_val, image_size=(16, 8), batch_size=2))
    assert sum(batch["mask"].sum() for batch in batches) == 3
    with pytest.raises(DataError, match="these records hold no labels"):
        open_domains(config, target_labels=True)


def test_records_of_other_files_are_not_read(root, tmp_path):
    prepare_pair(root)
    tiny.save(root / "gta5" / "images" / "00001.png", tiny.picture(999))
    files, records = both_ways(root, tmp_path)
    notes = open_domains(records).notes
    assert any("prepared records gta5-train-20x12 are of other files; prepare them anew" in note for note in notes)
    assert_equal(take(files, 3), take(records, 3))
    prepare_pair(root)
    assert "source train: reads prepared records gta5-train-20x12" in open_domains(records).notes
    assert_equal(take(files, 3), take(records, 3))


def test_labels_of_the_target_may_come_later(root, tmp_path):
    """Records without labels serve the unlabelled stream and are passed over by the supervised one."""
    prepare_pair(root)
    tiny.write_cityscapes(root / "cityscapes", count=4)
    files, records = both_ways(root, tmp_path)
    supervised = [open_domains(c, target_labels=True) for c in (files, records)]
    some, others = (take(c, 3, domains=d, source="target") for c, d in zip((files, records), supervised, strict=True))
    assert_equal(some, others)


@pytest.mark.parametrize("place", ["middle", "end", "missing"])
def test_a_damaged_shard_is_named(root, tmp_path, place):
    prepare_pair(root)
    shard = root / "prepared" / "gta5-train-20x12" / "shard-00000-of-00001.array_record"
    content, pixels = shard.read_bytes(), take(gta5(root), 1)[0]["source_image"][0].tobytes()
    damaged = {"middle": content.replace(pixels, pixels[::-1]), "end": content[: len(content) // 2]}
    if place == "missing":
        shard.unlink()
    else:
        assert damaged[place] != content
        shard.write_bytes(damaged[place])
    domains = open_domains(gta5(root))
    said = {"middle": "damaged", "end": "damaged", "missing": r"cannot be read \(No such file"}
    with pytest.raises(DataError, match=rf"shard-00000-of-00001\.array_record: {said[place]} .*prepare anew") as error:
        take(gta5(root), 8, domains=domains)
    assert "\n" not in str(error.value)


def test_a_damaged_description_is_named(root):
    prepare_pair(root)
    description = root / "prepared" / "gta5-train-20x12" / "set.json"
    description.write_text(description.read_text()[:-40])
    with pytest.raises(DataError, match=r"set\.json: no description of prepared records .*prepare anew"):
        open_domains(gta5(root))


def test_records_of_the_users_own_pictures_are_read(root, tmp_path):
    for i in range(3):
        tiny.save(tmp_path / "mine" / f"{i}.png", tiny.picture(i))
    output = f"--output={root / 'prepared'}"
    assert run("--dataset=flat_folder", f"--source={tmp_path / 'mine'}", "--size=16x8", output, "--num_workers=1") == 0
    config = gta5(root, target_dir=str(tmp_path / "mine"))
    assert "target train: reads prepared records flat_folder-train-16x8" in open_domains(config).notes
    files = gta5(root, target_dir=str(tmp_path / "mine"), records_dir=str(tmp_path / "none"))
    assert_equal(take(files, 3), take(config, 3))


def test_records_alone_of_another_size_are_an_error_before_any_work(root, tmp_path):
    prepare_pair(root)
    for dataset in ("gta5", "cityscapes"):
        (root / dataset).rename(tmp_path / f"{dataset}_away")
    with pytest.raises(DataError, match=r"no folder .*gta5, and its prepared records \(gta5-train-20x12\) do not hold"):
        open_domains(gta5(root, source_size=(40, 24)))
    val = open_domains(gta5(root)).target_val
    with pytest.raises(DataError, match=r"do not hold val at 16x8, resized by bilinear; .*eval.protocol"):
        eval_batches(val, image_size=(16, 8), batch_size=2, resample="bilinear")


WRONG = {"plain": {}, "augmented": AUGMENTED, "class-mix": {"class_mix": 1.0}, "rare": {"rare_class_temperature": 0.1}}


@pytest.fixture
def wrong_root(root, monkeypatch):
    """Sets that another program has written, with bytes in the labels that are no train ids: checksums find nothing."""
    pack = prepared_records.pack

    def with_wrong_labels(loaded):
        if loaded.label is not None:
            label = loaded.label.copy()
            label[0, 0], label[1, 1], label[2, 2] = 19, 254, 255
            loaded = loaded._replace(label=label)
        return pack(loaded)

    monkeypatch.setattr(prepared_records, "pack", with_wrong_labels)
    prepare_pair(root)
    return root


@pytest.mark.parametrize("loader", ["numpy", "tf"])
@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_labels_of_no_class_are_refused_and_never_left_out(wrong_root, loader, changes):
    if loader == "tf":
        pytest.importorskip("tensorflow", reason="the tf.data loader needs tensorflow")
    with pytest.raises(
        DataError, match=r"shard-.*array_record: the label of 0000\d holds 19, 254, expected .*"
    ) as error:
        take(gta5(wrong_root, loader=loader, max_unreadable=99, **changes), 1)
    assert "expected train ids 0..18 and 255; delete" in str(error.value) and "\n" not in str(error.value)


def test_labels_of_no_class_are_refused_in_evaluations_and_passed_over_where_none_is_read(wrong_root):
    domains = open_domains(gta5(wrong_root))
    with pytest.raises(DataError, match="holds 19, 254"):
        list(eval_batches(domains.target_val, image_size=(16, 8), batch_size=2))
    (records,) = domains.source_train.records
    assert records.load("00001", labelled=False).label is None


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_damaged_class_counts_are_named(root, damage):
    prepare_pair(root)
    path = root / "prepared" / "gta5-train-20x12" / "class_counts.npy"
    path.write_bytes(path.read_bytes()[:40]) if damage == "cut" else path.unlink()
    with pytest.raises(DataError, match=r"class_counts\.npy: (damaged|cannot be read) .*prepare anew"):
        take(gta5(root, rare_class_temperature=0.1), 1)
