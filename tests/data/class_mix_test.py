"""Class-mix pastes whole classes of the source, half of them, at the right places."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.augmentation import class_mix
from data_pipelines.reading.loading import resize

VOID = 255


def rng(seed):
    return np.random.Generator(np.random.Philox(seed))


def scene(seed, size, classes):
    """A random picture uint8 [H, W, 3] and label uint8 [H, W] of blocks of some classes."""
    width, height = size
    draw = np.random.default_rng(seed)
    blocks = draw.choice(np.array(classes, np.uint8), (-(-height // 4), -(-width // 4)))
    label = np.kron(blocks, np.ones((4, 4), np.uint8))[:height, :width]
    return draw.integers(0, 256, (height, width, 3), dtype=np.uint8), label


def picture(seed, size):
    return scene(seed, size, [0])[0]


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
CLASSES = st.lists(st.sampled_from([*range(19), VOID]), min_size=1, max_size=20, unique=True)


def test_the_same_classes_are_pasted_at_another_size():
    (image, label), target = scene(0, (24, 16), range(8)), picture(1, (24, 16))
    mixed, target_label = class_mix.mix(image, label, target, rng(0))
    np.testing.assert_array_equal(class_mix.mix_alike(image, label, target, target_label), mixed)
    larger = [np.kron(array, np.ones((2, 2, 1), np.uint8)) for array in (image, label[..., None], target)]
    found = class_mix.mix_alike(larger[0], larger[1][..., 0], larger[2], target_label)
    np.testing.assert_array_equal(found, np.kron(mixed, np.ones((2, 2, 1), np.uint8)))
    nothing = np.full((16, 24), VOID, np.uint8)
    np.testing.assert_array_equal(class_mix.mix_alike(image, label, target, nothing), target)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), size=SIZES, target_size=st.none() | SIZES, classes=CLASSES)
def test_pasted_pixels_are_the_sources_and_the_rest_the_targets(seed, size, target_size, classes):
    target_size = target_size or size
    image, label = scene(seed, size, classes)
    target = picture(seed + 1, target_size)
    given_arrays = (image, label, target)
    before = [a.copy() for a in given_arrays]
    mixed, target_label = class_mix.mix(*given_arrays, rng(seed))
    assert all(np.array_equal(a, b) for a, b in zip(given_arrays, before, strict=True))
    assert not any(np.shares_memory(mixed, a) or np.shares_memory(target_label, a) for a in given_arrays)
    assert mixed.shape == target.shape and target_label.shape == target.shape[:2]
    assert mixed.dtype == target_label.dtype == np.uint8

    image, label = resize(image, target_size, "bicubic"), resize(label, target_size, "nearest")
    pasted = target_label != VOID
    np.testing.assert_array_equal(mixed[pasted], image[pasted])
    np.testing.assert_array_equal(mixed[~pasted], target[~pasted])
    np.testing.assert_array_equal(target_label[pasted], label[pasted])
    # Whole classes, half of those that are there, rounded up.
    chosen, present = np.unique(target_label[pasted]), np.unique(label[label != VOID])
    np.testing.assert_array_equal(pasted, np.isin(label, chosen))
    assert len(chosen) == (len(present) + 1) // 2


def test_the_same_numbers_give_the_same_mixture_and_others_another():
    image, label = scene(0, (32, 24), range(10))
    target = picture(1, (32, 24))
    first, again, other = (class_mix.mix(image, label, target, rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert (first[1] != other[1]).any()


def test_every_half_of_the_classes_is_as_likely_as_any_other():
    label = np.repeat(np.array([2, 7, VOID, 11, 18], np.uint8), 2)[None]
    image, target, draws = picture(0, (10, 1)), picture(1, (10, 1)), 3000
    halves = dict.fromkeys(itertools.combinations((2, 7, 11, 18), 2), 0)
    for seed in range(draws):
        target_label = class_mix.mix(image, label, target, rng(seed))[1]
        halves[tuple(np.unique(target_label[target_label != VOID]).tolist())] += 1
    share = 1 / len(halves)
    tolerance = 4 * np.sqrt(share * (1 - share) / draws)
    np.testing.assert_allclose(np.array(list(halves.values())) / draws, share, atol=tolerance)


def test_the_choice_never_changes_between_releases():
    """A run resumed under a newer numpy must see the same pictures: these classes may never change."""
    label = np.arange(9, dtype=np.uint8)[None]
    target_label = class_mix.mix(picture(0, (9, 1)), label, picture(1, (9, 1)), rng(0))[1]
    assert target_label.tolist() == [[0, 255, 255, 3, 255, 5, 255, 7, 8]]


@pytest.mark.parametrize("target_size", [(8, 8), (12, 5)])
def test_a_void_label_pastes_nothing(target_size):
    image, target = picture(0, (8, 8)), picture(1, target_size)
    mixed, target_label = class_mix.mix(image, np.full((8, 8), VOID, np.uint8), target, rng(0))
    np.testing.assert_array_equal(mixed, target)
    assert (target_label == VOID).all()


def test_a_class_that_vanishes_in_the_resize_is_not_chosen():
    label = np.full((16, 16), 3, np.uint8)
    label[0, 0] = 4  # one pixel, not under any centre of the 4x4 grid
    for seed in range(20):
        target_label = class_mix.mix(picture(0, (16, 16)), label, picture(1, (4, 4)), rng(seed))[1]
        assert (target_label == 3).all()


def test_mirrored_views_are_taken():
    image, label = scene(0, (20, 12), range(6))
    target = picture(1, (16, 16))
    views = class_mix.mix(image[:, ::-1], label[:, ::-1], target[:, ::-1], rng(0))
    copies = class_mix.mix(*(np.ascontiguousarray(a[:, ::-1]) for a in (image, label, target)), rng(0))
    assert all(np.array_equal(a, b) for a, b in zip(views, copies, strict=True))
