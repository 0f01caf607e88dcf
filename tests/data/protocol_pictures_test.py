"""Pictures for many protocols: the bytes of eval_batches, each file decoded once."""

import shutil
from collections import Counter

import numpy as np
import protocol_examples
import pytest
import tiny_datasets as tiny

from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import cityscapes, list_examples
from data_pipelines.feeding import protocol_pictures
from data_pipelines.feeding.feed import Feed
from data_pipelines.feeding.input_pipeline import eval_batches
from data_pipelines.reading import loading

VIEWS = [((16, 8), "bicubic"), ((40, 24), "bilinear"), (tiny.SIZE, "bicubic")]
LABEL_SIZES = (None, (16, 8))


@pytest.fixture
def val(tmp_path):
    """Five pictures, the second of another size."""
    tiny.write_cityscapes(tmp_path, "val", 5)
    name = "gtFine/val/aachen/aachen_000002_000019_gtFine_labelIds.png"
    tiny.save(tmp_path / name, np.full((10, 12), 7, np.uint8))
    tiny.save(tmp_path / "leftImg8bit/val/aachen/aachen_000002_000019_leftImg8bit.png", tiny.picture(9, (12, 10)))
    return list_examples("cityscapes", tmp_path, "val")


def by_name(batches, part):
    return {name: part(batch, i) for batch in batches for i, name in enumerate(batch["names"]) if name}


def test_views_and_labels_are_those_of_evaluation(val):
    found = list(protocol_pictures.batches(val, views=VIEWS, label_sizes=LABEL_SIZES, batch_size=2))
    assert [len(batch["names"]) for batch in found] == [1, 1, 2, 1]
    assert [batch["size"] for batch in found] == [(16, 24), (10, 12), (16, 24), (16, 24)]
    for size, resample in VIEWS:
        expected = eval_batches(val, image_size=size, resample=resample, batch_size=1)
        expected = by_name(expected, lambda batch, i: batch["image"][i])
        mine = by_name(found, lambda batch, i, view=(size, resample): batch["views"][view][i])
        assert list(mine) == list(expected)
        for name, image in expected.items():
            np.testing.assert_array_equal(mine[name], image)
    for label_size in LABEL_SIZES:
        expected = eval_batches(val, image_size=(8, 8), label_size=label_size, batch_size=1)
        expected = by_name(expected, lambda batch, i: batch["label"][i])
        for name, label in by_name(found, lambda batch, i, size=label_size: batch["labels"][size][i]).items():
            np.testing.assert_array_equal(label, expected[name])
    assert all(not batch["views"][VIEWS[0]][len(batch["names"]) :].any() for batch in found)


def test_each_file_is_decoded_once(val, monkeypatch):
    protocol_examples.write_val(val.root.with_name("with"), count=3)
    val = list_examples("cityscapes", val.root.with_name("with"), "val")
    seen, decode = Counter(), loading.decode

    def counting(path, *arguments, **keywords):
        seen[path] += 1
        return decode(path, *arguments, **keywords)

    monkeypatch.setattr(loading, "decode", counting)
    how = {"views": VIEWS, "label_sizes": LABEL_SIZES, "batch_size": 2, "instances": True}
    (first, _) = protocol_pictures.batches(val, **how)
    assert seen == dict.fromkeys([*val.files, *protocol_pictures.instance_files(val)], 1)
    expected = protocol_examples.instance_ids(protocol_examples.labels(1), 1)
    np.testing.assert_array_equal(first["instances"][1], cityscapes.counted_instances(expected))


def test_pictures_without_labels_and_those_that_are_there(val):
    shutil.rmtree(val.root / "gtFine")
    val = list_examples("cityscapes", val.root, "val", labelled=False)
    names = tuple(example.name for example in val.examples)
    rest = protocol_pictures.batches(val, views=VIEWS[:1], batch_size=9, skip=frozenset(names[:2]))
    assert [batch["names"] for batch in rest] == [names[2:]]
    with pytest.raises(DataError, match="opened without labels"):
        next(protocol_pictures.batches(val, views=VIEWS, label_sizes=(None,), batch_size=1))


def test_instances_are_all_there_or_not_scored(tmp_path):
    protocol_examples.write_val(tmp_path / "cityscapes", count=3)
    feed = Feed(tiny.data_config(tmp_path))
    assert feed.instances_problem() == ""
    before = feed.protocol_fingerprint()
    path = next((tmp_path / "cityscapes").rglob("bonn_000001*_instanceIds.png"))
    tiny.save(path, np.zeros((48, 72), np.int32))
    assert feed.protocol_fingerprint() != before
    path.unlink()
    assert feed.instances_problem() == (
        "1 of 3 pictures have no *_instanceIds.png, the first gtFine/val/bonn/bonn_000001_000019_gtFine_instanceIds.png"
    )
    assert next(feed.protocol_batches(views=[], label_sizes=(None,), batch_size=3))["instances"] == [None] * 3


def test_mistakes_name_the_file(val, tmp_path):
    label = val.examples[0].label
    tiny.save(label, np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=f"{label.name}: this label is 4x4 .*but .*24x16"):
        list(protocol_pictures.batches(val, views=[], label_sizes=(None,), batch_size=5))
    val.root.rename(tmp_path.with_name("elsewhere"))
    with pytest.raises(DataError, match="no folder .*prepared records are not enough"):
        next(protocol_pictures.batches(val, views=[], batch_size=1))


def test_the_other_splits_of_the_target(tmp_path):
    tiny.write_cityscapes(tmp_path / "cityscapes", "test", 2, labelled=False)
    feed = Feed(tiny.data_config(tmp_path))
    assert len(feed.target_pictures("test")) == 2 and not feed.target_pictures("test").labelled
    with pytest.raises(DataError, match="no folder .*leftImg8bit/val"):
        feed.target_pictures("val")
