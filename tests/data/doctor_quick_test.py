"""The look that run.py takes before step 0: what it stops at, what it only mentions, what it leaves alone."""

import shutil

import numpy as np
import pytest
import tiny_datasets as tiny
from PIL import Image

from data_pipelines.basics.errors import DataError
from data_pipelines.doctor import quick
from data_pipelines.doctor.measuring import measuring
from data_pipelines.domains import open_domains


@pytest.fixture
def root(tmp_path):
    return tiny.write_pair(tmp_path / "root")


def warnings(root, **options):
    return audit(tiny.data_config(root, **{"name": "camvid", **options}))


def audit(config, **needs):
    return quick.warn_or_raise(config, open_domains(config, **needs))


def first(root, pattern):
    return sorted(root.glob(pattern))[0]


def test_sound_data_are_passed_in_silence(root, tmp_path):
    assert warnings(root) == []
    assert audit(tiny.data_config(tmp_path / "toy", name="toy")) == []


def test_numbers_of_pictures_are_told_of_whole_releases_only(root):
    told = warnings(root, name="bdd")
    assert [line.split(":")[1].strip() for line in told] == ["source train", "target train", "target val", "source val"]
    assert told[0] == (
        "warning: source train: 3 pictures; as released, bdd100k train has 7,000; "
        "fine for a subset; else unpack the rest of the archives"
    )
    (root / "list.txt").write_text("0001\n")
    told = warnings(root, name="bdd", source_list=str(root / "list.txt"))
    assert not any("source train" in line for line in told) and len(told) == 3


@pytest.mark.parametrize(
    ("pattern", "change", "message"),
    [
        (
            "bdd100k/seg/images/val/*",
            None,
            r"^source val: .*0000\.jpg: cannot be read as a picture .*; restore the file",
        ),
        ("cityscapes/leftImg8bit/train/*/*", None, "^target train: .*leftImg8bit.png: cannot be read"),
        ("bdd100k/seg/labels/train/*", lambda ids: ids[:-1], r"^source train: .*24x15 .*24x16; restore the pair or"),
        ("bdd100k/seg/labels/train/*", lambda ids: ids + 15, r"^source train: .*0000_train_id\.png: values 19, 20"),
        ("cityscapes/gtFine/val/*/*", lambda ids: ids + 90, "^target val: .*are no Cityscapes label ids"),
    ],
)
def test_what_training_would_stop_at_is_an_error(root, pattern, change, message):
    path = first(root, pattern)
    if change:
        tiny.save(path, change(np.asarray(Image.open(path))))
    else:
        path.write_bytes(path.read_bytes()[:-100] if path.suffix == ".png" else b"")
    with pytest.raises(DataError, match=message) as caught:
        warnings(root)
    assert "\n" not in str(caught.value)


def test_what_it_would_learn_wrongly_is_an_error(root):
    rng = np.random.default_rng(0)
    for path in (root / "cityscapes" / "gtFine" / "val").rglob("*.png"):
        tiny.save(path, rng.choice(np.uint8([0, 2, 8, 10, 13]), (16, 24)))
    with pytest.raises(DataError, match=r"^target val: 3 of 3 labels hold train ids, expected Cityscapes label ids"):
        warnings(root)


def test_what_may_be_meant_is_a_warning(root):
    source, target = root / "bdd100k/seg", root / "cityscapes/leftImg8bit"
    shutil.copy(first(target, "train/*/*"), first(target, "val/*/*"))
    for path in (source / "labels/train").iterdir():
        tiny.save(path, np.full((16, 24), 13, np.uint8))
    told = warnings(root)
    assert len(told) == 2 and all(line.startswith("warning: ") for line in told)
    assert "source train: 3 labels of a single class" in told[0]
    assert "target val: 1 picture also in train" in told[1]


def test_splits_that_cannot_be_used_anyway_are_passed_over(root):
    first(root, "cityscapes/gtFine/val/*/*").unlink()
    assert warnings(root) == []
    assert not any("target val" in line for line in warnings(root, name="bdd"))


def test_labels_of_the_target_are_looked_at_where_they_are_used(root):
    tiny.write_cityscapes(root / "cityscapes")
    tiny.save(first(root, "cityscapes/gtFine/train/*/*"), np.full((16, 24), 99, np.uint8))
    assert warnings(root) == []
    with pytest.raises(DataError, match="target train: .*values 99 are no Cityscapes label ids"):
        audit(tiny.data_config(root, name="camvid"), target_labels=True)


def looked_at(monkeypatch, config, domains):
    """(headers read, pairs decoded)."""
    jobs, measure = [], measuring.measure
    monkeypatch.setattr(measuring, "measure", lambda job: jobs.append(job[1]) or measure(job))
    assert quick.warn_or_raise(config, domains) == []
    return jobs.count(False), jobs.count(True)


def test_a_few_are_decoded_and_of_the_rest_the_headers_are_read(root, monkeypatch):
    monkeypatch.setattr(quick, "SAMPLE", 2)
    config = tiny.data_config(root, name="camvid")
    assert looked_at(monkeypatch, config, open_domains(config)) == (3, 8)


def test_headers_were_read_for_gta5_and_for_records_but_a_few_pairs_are_decoded_all_the_same(root, monkeypatch):
    monkeypatch.setattr(quick, "SAMPLE", 2)
    tiny.write_gta5(root / "gta5")
    config = tiny.data_config(root, name="gta5", source_list=str(root / "list.txt"))
    (root / "list.txt").write_text("00001\n00002\n00003\n")
    monkeypatch.setattr(quick, "_RELEASED", ())
    domains = open_domains(config)
    for split in (domains.target_train, domains.target_val):
        object.__setattr__(split, "records", ("a set",))
    # Records prove that the files can be decoded, not that their labels are of the right kind.
    assert looked_at(monkeypatch, config, domains) == (0, 2 * 3)


def test_run_py_tells_warnings_and_stops_at_errors(tmp_path):
    tiny_runs = pytest.importorskip("tiny_runs")
    from data_pipelines.feeding.feed import Feed

    city = tmp_path / "city"
    chosen = tiny_runs.config(city, goal=("student",))
    assert Feed(chosen.data).domains and "warning:" not in tiny_runs.run(chosen, tmp_path / "w", mode="plan")
    chosen.data.name = "bdd"
    text = tiny_runs.run(chosen, tmp_path / "w", mode="plan")
    assert "\ndata: warning: source train: 6 pictures; as released, bdd100k train has 7,000;" in text
    tiny.save(first(city, "bdd100k/seg/labels/train/*"), np.zeros((9, 9), np.uint8))
    with pytest.raises(DataError, match="source train: .*this label is 9x9"):
        tiny_runs.run(chosen, tmp_path / "w", mode="plan")
