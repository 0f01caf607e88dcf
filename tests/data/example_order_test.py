"""Order and augmentation seeds are pure functions of their arguments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.augmentation.example_order import ExampleOrder
from data_pipelines.basics.errors import DataError


def indices(order, start, count):
    return [order.index(position) for position in range(start, start + count)]


@given(st.integers(1, 40), st.integers(0, 2**31), st.integers(0, 3), st.integers(0, 10**6))
def test_every_epoch_is_a_permutation_wherever_one_begins(num_examples, seed, stream, epoch):
    order = ExampleOrder(num_examples, seed=seed, stream=stream)
    got = indices(order, epoch * num_examples, num_examples)
    assert sorted(got) == list(range(num_examples))
    late = ExampleOrder(num_examples, seed=seed, stream=stream)
    middle = num_examples // 2
    assert indices(late, epoch * num_examples + middle, num_examples - middle) == got[middle:]


def test_positions_can_be_asked_in_any_order():
    forward = indices(ExampleOrder(7, seed=1, stream=0), 0, 50)
    order = ExampleOrder(7, seed=1, stream=0)
    assert [order.index(p) for p in reversed(range(50))] == forward[::-1]


def test_seeds_streams_and_epochs_are_shuffled_differently():
    orders = [ExampleOrder(50, seed=seed, stream=stream) for seed in (0, 1) for stream in (0, 1)]
    epochs = [tuple(indices(order, start, 50)) for order in orders for start in (0, 50)]
    assert len(set(epochs)) == 8


def test_augmentation_numbers_depend_on_seed_stream_and_position_only():
    def draw(seed, stream, position):
        return ExampleOrder(5, seed=seed, stream=stream).augmentation_rng(position).random(2).tolist()

    assert draw(3, 1, 9) == draw(3, 1, 9)
    different = [draw(3, 1, 9), draw(4, 1, 9), draw(3, 0, 9), draw(3, 1, 10)]
    assert len(np.unique(different, axis=0)) == 4


def test_the_first_order_never_changes_between_releases():
    """A run resumed under a newer numpy must see the same pictures: these numbers may never change."""
    assert indices(ExampleOrder(10, seed=0, stream=0), 0, 10) == [0, 8, 9, 3, 7, 5, 1, 2, 6, 4]


@pytest.mark.parametrize(("num_examples", "seed"), [(0, 0), (3, -1)])
def test_bad_arguments(num_examples, seed):
    with pytest.raises(DataError):
        ExampleOrder(num_examples, seed=seed, stream=0)
