"""Which pictures are shown, on planted confusions."""

import numpy as np
import pytest
import tiny_runs
from qualitative_examples import half_right

from dakd_jax.basics.errors import UserError
from dakd_jax.stages import settings
from dakd_jax.studies.pictures import selection

NAMES = tuple("abcdef")
CHANGES = np.array([0.1, -0.2, np.nan, 0.3, 0.1, 0.0])


def test_own_miou_averages_the_classes_of_the_picture():
    one_class = np.zeros((4, 4), np.int64)
    one_class[1] = (10, 80, 0, 10)  # sky only; road and train, which are not there, do not count as zeros
    found = selection.own_miou(np.stack([half_right(50), half_right(100), one_class, 0 * one_class]))
    np.testing.assert_allclose(found, [50 / 150, 1, 0.8, np.nan])


@pytest.mark.parametrize(
    ("how", "count", "expected"),
    [
        ("most_improved", 3, "dae"),  # of equal ones the first
        ("least_improved", 3, "bfa"),
        ("most_improved", 9, "daefb"),  # what has no label is never shown
        ("least_improved", 9, "bfaed"),
    ],
)
def test_selections_by_the_change(how, count, expected):
    assert selection.select(how, NAMES, CHANGES, count=count, seed=0) == tuple(expected)


def test_random_pictures_are_of_the_seed_and_a_larger_count_adds():
    def chosen(seed, count=5):
        return selection.select("random", NAMES, CHANGES, count=count, seed=seed)

    assert chosen(1) == chosen(1) and sorted(chosen(1)) == list("abdef")
    assert chosen(1, 2) == chosen(1)[:2]
    assert selection.select("random", NAMES, -CHANGES, count=5, seed=1) == chosen(1)  # scores do not matter
    firsts = [chosen(seed, 1)[0] for seed in range(300)]
    assert min(firsts.count(name) for name in "abdef") > 30  # 60 each are expected, 7 is their deviation


def test_pictures_by_name():
    assert selection.chosen(("e", "a", "e"), NAMES) == ("e", "a")
    many = [f"picture_{i}" for i in range(9)]
    with pytest.raises(UserError, match="target val has no picture 'picture_88'; the nearest is 'picture_8'"):
        selection.chosen(["picture_88"], many)
    with pytest.raises(UserError, match="names 9 pictures: one figure holds at most 8"):
        selection.chosen(many, many)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"figures.select": ("best",)}, "config.figures.select='best': expected one of most_improved, least_improved"),
        ({"figures.select": ()}, "select and pictures are empty"),
        ({"figures.count": 0}, "config.figures.count=0: expected 1 to 8"),
        ({"figures.count": 9}, "config.figures.count=9: expected 1 to 8"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    with pytest.raises(UserError, match=message):
        settings.check(tiny_runs.config("x", **changes))


def test_pictures_alone_are_enough():
    settings.check(tiny_runs.config("x", **{"figures.select": (), "figures.pictures": ("a",)}))
