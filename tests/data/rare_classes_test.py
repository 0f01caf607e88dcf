"""Rare-class sampling draws classes and pictures with the probabilities of DAFormer, purely from the position."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from data_pipelines.augmentation.example_order import ExampleOrder
from data_pipelines.augmentation.rare_classes import MIN_SHARE, RareClassOrder, class_probabilities
from data_pipelines.basics.errors import DataError

VOID = 19
DRAWS = 4000


def order(counts, *, seed=0, stream=0, temperature=0.1):
    return RareClassOrder(counts, seed=seed, stream=stream, temperature=temperature)


def counts_of(*pictures):
    """int64 [N, 20] from {class: pixels} of each picture."""
    counts = np.zeros((len(pictures), 20), np.int64)
    for row, picture in zip(counts, pictures, strict=True):
        row[list(picture)] = list(picture.values())
    return counts


def shares(made, num_pictures, draws=DRAWS):
    """How often each picture comes in the first draws."""
    drawn = [made.index(position) for position in range(draws)]
    return np.bincount(drawn, minlength=num_pictures) / draws


def assert_frequencies(got, expected, draws=DRAWS):
    expected = np.asarray(expected)
    tolerance = 4 * np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(got - expected) <= tolerance).all(), (got, expected)


# Void is the largest "class": it must count for nothing.
ONE_CLASS_EACH = counts_of({0: 700, VOID: 5000}, {0: 700}, {1: 400, VOID: 90}, {7: 150}, {18: 50}, {VOID: 9999})
FREQUENCY = np.array([1400, 400, 150, 50]) / 2000


@pytest.mark.parametrize("temperature", [0.05, 0.3, 2.0])
def test_pictures_come_as_often_as_the_closed_form_says(temperature):
    probability = softmax((1 - FREQUENCY) / temperature)
    expected = [probability[0] / 2, probability[0] / 2, *probability[1:], 0.0]
    assert_frequencies(shares(order(ONE_CLASS_EACH, temperature=temperature), 6), expected)


@settings(deadline=None)
@given(
    pixels=st.lists(st.integers(0, 10**9), min_size=19, max_size=19).filter(any),
    void=st.integers(0, 10**9),
    temperature=st.floats(1e-3, 1e3),
)
def test_class_probabilities_are_the_softmax_over_classes_that_occur(pixels, void, temperature):
    halves = [[p // 2 for p in pixels] + [void], [p - p // 2 for p in pixels] + [0]]
    got = class_probabilities(np.array(halves, np.int64), temperature)
    pixels = np.array(pixels)
    expected = np.zeros(19)
    expected[pixels > 0] = softmax((1 - pixels / pixels.sum())[pixels > 0] / temperature)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-15)
    assert not got[pixels == 0].any()


def test_pictures_of_several_classes_are_candidates_of_each():
    counts = counts_of({3: 600, 5: 400}, {3: 1000}, {3: 1000})
    of_3, of_5 = class_probabilities(counts, 0.2)[[3, 5]]
    assert_frequencies(shares(order(counts, temperature=0.2), 3), [of_3 / 3 + of_5, of_3 / 3, of_3 / 3])


def test_a_picture_shows_a_class_from_a_share_of_its_own_pixels_on():
    enough = round(MIN_SHARE * 1914 * 1052)
    assert enough == 3000
    gta5 = 1914 * 1052
    counts = counts_of(
        {0: gta5 - enough, 8: enough},
        {0: gta5 - enough + 1, 8: enough - 1},
        {0: 10_000 - 16, 8: 16},  # more than 0.15 % of a small picture
        {VOID: 10_000 - 14, 8: 14},  # void pixels count for the picture's size
    )
    got = shares(order(counts, temperature=1e-4), 4, draws=200)  # class 8 only
    assert (got[[0, 2]] > 0.3).all() and (got[[1, 3]] == 0).all()


def test_a_class_without_enough_pixels_anywhere_falls_back_to_any():
    counts = counts_of({0: 10**6, 8: 3}, {0: 10**6, 8: 1}, {0: 10**6})
    got = shares(order(counts, temperature=1e-4), 3, draws=200)
    assert (got[:2] > 0.3).all() and got[2] == 0


@given(
    seed=st.integers(0, 2**31),
    stream=st.integers(0, 3),
    positions=st.lists(st.integers(0, 10**15), min_size=1, max_size=5),
)
def test_an_index_depends_on_seed_stream_and_position_only(seed, stream, positions):
    used = order(ONE_CLASS_EACH, seed=seed, stream=stream, temperature=1.0)
    got = [used.index(position) for position in positions]
    fresh = [order(ONE_CLASS_EACH, seed=seed, stream=stream, temperature=1.0) for _ in positions]
    assert got == [one.index(position) for one, position in zip(fresh, positions, strict=True)]
    assert [used.index(position) for position in positions[::-1]] == got[::-1]


def test_seeds_and_streams_draw_differently():
    orders = [order(ONE_CLASS_EACH, seed=s, stream=t, temperature=1.0) for s in (0, 1) for t in (0, 1)]
    assert len({tuple(one.index(p) for p in range(50)) for one in orders}) == 4


def test_augmentation_numbers_are_those_of_the_usual_order():
    ours = order(ONE_CLASS_EACH, seed=3, stream=1).augmentation_rng(9).random(3)
    usual = ExampleOrder(6, seed=3, stream=1).augmentation_rng(9).random(3)
    np.testing.assert_array_equal(ours, usual)


def test_the_draws_never_change_between_releases():
    """A run resumed under a newer numpy must see the same pictures: these numbers may never change."""
    drawn = order(ONE_CLASS_EACH, temperature=1.0)
    assert [drawn.index(position) for position in range(10)] == [0, 4, 3, 2, 0, 4, 3, 3, 2, 3]


def test_one_class_draws_its_pictures_evenly():
    counts = counts_of({VOID: 50}, {4: 50}, {4: 10}, {4: 50, VOID: 1})
    assert_frequencies(shares(order(counts), 4), [0, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("temperature", [1e-6, 1e-300, 5e-324])
def test_a_tiny_temperature_draws_the_rarest_class_only(temperature):
    np.testing.assert_array_equal(np.flatnonzero(class_probabilities(ONE_CLASS_EACH, temperature)), [18])
    assert shares(order(ONE_CLASS_EACH, temperature=temperature), 6, draws=50)[4] == 1


@pytest.mark.parametrize("temperature", [1e9, float("inf")])
def test_a_huge_temperature_draws_the_classes_evenly(temperature):
    got = shares(order(ONE_CLASS_EACH, temperature=temperature), 6)
    assert_frequencies(got, [1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 4, 0])


@pytest.mark.parametrize(
    ("counts", "changes", "says"),
    [
        (counts_of({VOID: 9}, {VOID: 9}), {}, "2 labels has a labelled pixel.*rare_class_temperature=0"),
        (counts_of({}), {}, "labelled pixel"),
        (np.zeros((0, 20), np.int64), {}, "without pictures"),
        (ONE_CLASS_EACH, {"seed": -1}, "seed -1"),
        (ONE_CLASS_EACH, {"temperature": 0.0}, "rare_class_temperature=0.0"),
        (ONE_CLASS_EACH, {"temperature": -1.0}, "rare_class_temperature=-1.0"),
        (ONE_CLASS_EACH, {"temperature": float("nan")}, "rare_class_temperature=nan"),
    ],
)
def test_what_cannot_be_drawn_from_is_a_data_error(counts, changes, says):
    with pytest.raises(DataError, match=says):
        order(counts, **changes)
