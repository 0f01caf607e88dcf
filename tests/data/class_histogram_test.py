"""The class histogram: pixels of every class in every label, counted once and then found."""

import numpy as np
import pytest
import tiny_datasets as tiny

from data_pipelines.basics import parallel
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import list_examples
from data_pipelines.reading import class_histogram, loading
from data_pipelines.reading.class_histogram import cache_file


@pytest.fixture
def split(tmp_path):
    """Three pictures in the GTA5 layout, of two sizes."""
    tiny.write_gta5(tmp_path / "gta5")
    return list_examples("gta5", tmp_path / "gta5", "train")


def expected(split):
    """int64 [N, 20] pixel by pixel."""
    labels = [loading.load_label(e.label, e.encoding)[0] for e in split.examples]
    values = [*range(19), 255]
    return np.array([[np.count_nonzero(label == value) for value in values] for label in labels])


def test_counts_are_of_native_pixels_in_the_split_s_order(split):
    histogram = class_histogram.class_histogram(split)
    assert histogram.names == ("00001", "00002", "00003")
    assert histogram.counts.dtype == np.int64
    np.testing.assert_array_equal(histogram.counts, expected(split))
    assert histogram.counts.sum(axis=1).tolist() == [24 * 16, 32 * 16, 24 * 16]


def test_everything_but_the_classes_is_void():
    label = np.array([[0, 0, 18], [19, 77, 255]], np.uint8)
    assert class_histogram.of_train_ids(label).tolist() == [2, *[0] * 17, 1, 3]


def test_a_second_time_reads_no_label_until_the_files_change(split, tmp_path, monkeypatch):
    first = class_histogram.class_histogram(split, tmp_path / "cache").counts
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [cache_file(split, tmp_path / "cache").name]
    with monkeypatch.context() as patch:
        patch.setattr(loading, "load_label", None)
        found = class_histogram.class_histogram(split, tmp_path / "cache")
        assert found.names == ("00001", "00002", "00003")
        np.testing.assert_array_equal(found.counts, first)
    changed = np.full((16, 24), 7, np.uint8)
    tiny.save(split.examples[0].label, changed, palette=True)
    again = class_histogram.class_histogram(list_examples("gta5", split.root, "train"), tmp_path / "cache").counts
    assert again[0].tolist() == [changed.size, *[0] * 19] and (again[1:] == first[1:]).all()


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "cut off"])
def test_a_damaged_cache_is_made_anew(split, tmp_path, content):
    class_histogram.class_histogram(split, tmp_path)
    file = cache_file(split, tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    np.testing.assert_array_equal(class_histogram.class_histogram(split, tmp_path).counts, expected(split))
    np.testing.assert_array_equal(np.load(file)["counts"], expected(split))


def test_processes_count_the_same_and_progress_is_told(split, monkeypatch):
    monkeypatch.setattr(parallel, "WORTH_A_POOL", 1)
    told = []
    counted = class_histogram.class_histogram(split, progress=lambda *p: told.append(p), num_workers=2)
    np.testing.assert_array_equal(counted.counts, expected(split))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_prepared_records_have_counted_already(split):
    class Records:
        def class_counts(self, names):
            return np.full((len(names), 20), 7)

    object.__setattr__(split, "records", (Records(),))
    assert (class_histogram.class_histogram(split).counts == 7).all()


def test_mistakes_are_one_line(split, tmp_path):
    unlabelled = list_examples("gta5", split.root, "train", labelled=False)
    with pytest.raises(DataError, match=r"gta5 train in .*: its classes are counted in labels, but 00001 has none"):
        class_histogram.class_histogram(unlabelled)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*file.*; make room, allow writing or choose another"):
        class_histogram.class_histogram(split, tmp_path / "file")
    split.examples[1].label.write_bytes(b"text")
    with pytest.raises(DataError, match=r"00002\.png: cannot be read as a picture"):
        class_histogram.class_histogram(split)
