"""The class table against the official one of the Cityscapes scripts."""

import numpy as np
import pytest

from data_pipelines.reading import label_spaces


@pytest.fixture(scope="module")
def official():
    labels = pytest.importorskip("cityscapesscripts.helpers.labels", reason="cityscapesscripts is a test extra")
    return labels.labels


def test_classes_and_palette_are_the_official_ones(official):
    evaluated = sorted((row for row in official if 0 <= row.trainId < 255), key=lambda row: row.trainId)
    assert tuple(row.name for row in evaluated) == label_spaces.CITYSCAPES_CLASSES
    np.testing.assert_array_equal(label_spaces.PALETTE, [row.color for row in evaluated])
    assert label_spaces.PALETTE.dtype == np.uint8


def test_id_tables_are_the_official_ones(official):
    expected = np.full(256, 255)
    for row in official:
        if row.id >= 0:
            expected[row.id] = row.trainId
    np.testing.assert_array_equal(label_spaces.LABEL_ID_TO_TRAIN_ID, expected)
    known = {row.id % 256 for row in official} | {34}  # GTA5 numbers the license plate 34
    assert set(np.flatnonzero(label_spaces.LABEL_IDS.known)) == known


def test_id_tables_are_inverse_on_the_classes():
    train_ids = np.arange(label_spaces.NUM_CLASSES)
    round_trip = label_spaces.LABEL_ID_TO_TRAIN_ID[label_spaces.TRAIN_ID_TO_LABEL_ID[train_ids]]
    np.testing.assert_array_equal(round_trip, train_ids)
    assert label_spaces.TRAIN_ID_TO_LABEL_ID[255] == 0


def test_colours_of_every_official_class_decode_to_its_train_id(official):
    ambiguous = {"polegroup", "license plate"}  # share the colours of pole and car
    rows = [row for row in official if row.name not in ambiguous]
    colours = np.array([[row.color for row in rows]], np.uint8)
    train_ids, known = label_spaces.train_ids_from_colours(colours)
    np.testing.assert_array_equal(train_ids[0], [row.trainId for row in rows])
    assert known.all()


def test_unknown_colours_are_255_and_not_known():
    colours = np.array([[[128, 64, 129], [255, 255, 255], [128, 64, 128]]], np.uint8)
    train_ids, known = label_spaces.train_ids_from_colours(colours)
    np.testing.assert_array_equal(train_ids, [[255, 255, 0]])
    np.testing.assert_array_equal(known, [[False, False, True]])


def test_colourise_is_undone_by_decoding():
    train_ids = np.array([[0, 18, 255, 13]], np.uint8)
    np.testing.assert_array_equal(label_spaces.train_ids_from_colours(label_spaces.colourise(train_ids))[0], train_ids)


def test_every_encoding_gives_train_ids_and_void_alone():
    allowed = [*range(label_spaces.NUM_CLASSES), label_spaces.IGNORE_LABEL]
    for encoding in (label_spaces.LABEL_IDS, label_spaces.TRAIN_IDS, label_spaces.GTA5_IDS):
        assert np.isin(encoding.to_train_id, allowed).all()
    every_colour = np.stack(np.meshgrid(*[np.arange(0, 256, 5, np.uint8)] * 3), axis=-1)
    assert np.isin(label_spaces.train_ids_from_colours(every_colour)[0], allowed).all()


@pytest.mark.parametrize("value", range(256))
def test_what_is_no_train_id_is_found(value):
    labels = np.full((4, 6), 18, np.uint8)
    labels[0, 0], labels[3, 5] = 255, value
    assert label_spaces.no_train_ids(labels) == ([value] if 19 <= value < 255 else [])
    assert label_spaces.no_train_ids(labels[:0]) == []


@pytest.mark.parametrize("value", [19, 34, 254])
def test_a_table_to_another_space_is_refused(value):
    """What it gave would count in the loss's mean as a pixel that is right."""
    table = label_spaces.LABEL_ID_TO_TRAIN_ID.copy()
    table[3] = value
    with pytest.raises(ValueError, match=r"mine: expected a table of 256 bytes, each a train id 0\.\.18 or 255"):
        label_spaces.LabelEncoding("mine", table, np.ones(256, bool))
