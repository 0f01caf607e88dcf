"""Random operations keep a picture and its label aligned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from data_pipelines.augmentation import transforms
from data_pipelines.augmentation.transforms import Augmentation

BLOCK = 40


def blocks(seed):
    """A label of large one-class blocks, and the picture that is grey of 10 times the class."""
    classes = np.random.default_rng(seed).integers(0, 19, (4, 5)).astype(np.uint8)
    label = np.kron(classes, np.ones((BLOCK, BLOCK), np.uint8))
    return np.repeat(label[..., None] * 10, 3, axis=2), label


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    mirror=st.booleans(),
    scale=st.sampled_from([(1.0, 1.0), (0.4, 0.9), (0.5, 2.0), (1.1, 3.0)]),
    crop=st.sampled_from([(0, 0), (90, 70), (240, 60)]),
)
def test_picture_and_label_stay_aligned(seed, mirror, scale, crop):
    image, label = blocks(seed)
    rng = np.random.default_rng(seed)
    new_image, new_label = transforms.augment(image, label, Augmentation(mirror, scale, crop), rng)
    width, height = crop if crop != (0, 0) else (200, 160)
    assert new_image.shape == (height, width, 3) and new_label.shape == (height, width)
    assert new_image.dtype == new_label.dtype == np.uint8
    # Away from the edges of blocks bicubic has nothing to mix: the grey must be exactly that of the label.
    reach = 2 * 6 + 1
    smallest = ndimage.minimum_filter(new_label, reach, mode="constant", cval=255)  # the border counts as an edge
    largest = ndimage.maximum_filter(new_label, reach, mode="constant", cval=255)
    inside = (smallest == largest) & (new_label != 255)
    assert inside.any()
    np.testing.assert_array_equal(new_image[inside], np.repeat(new_label[inside, None] * 10, 3, axis=1))
    padding = new_label == 255
    np.testing.assert_array_equal(new_image[padding], np.tile(transforms.MEAN_COLOUR, (padding.sum(), 1)))
    assert padding.any() or scale[1] >= min(width / 200, height / 160)
    assert not padding.any() or scale[0] < max(width / 200, height / 160)


@given(seed=st.integers(0, 1000))
def test_the_picture_is_the_same_without_its_label(seed):
    image, label = blocks(seed)
    augmentation = Augmentation(True, (0.5, 2.0), (100, 90), (0.4, 0.4, 0.4, 0.1), (0.0, 2.0))
    with_label, _ = transforms.augment(image, label, augmentation, np.random.default_rng(seed))
    alone, none = transforms.augment(image, None, augmentation, np.random.default_rng(seed))
    np.testing.assert_array_equal(with_label, alone)
    assert none is None


def test_off_changes_nothing_and_each_switch_changes_something():
    image, label = blocks(0)
    rng = np.random.default_rng
    off = Augmentation()
    assert not off.active and Augmentation(mirror=True).active and Augmentation(scale=(0.5, 1.0)).active
    assert transforms.augment(image, label, off, rng(0)) == (image, label)
    flipped = [transforms.augment(image, label, Augmentation(mirror=True), rng(s))[0] for s in range(40)]
    share = np.mean([np.array_equal(f, image[:, ::-1]) for f in flipped])
    assert 0.2 < share < 0.8
    assert all(np.array_equal(f, image) or np.array_equal(f, image[:, ::-1]) for f in flipped)
    assert (transforms.augment(image, label, Augmentation(scale=(1.5, 1.5)), rng(0))[0] != image).any()


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("where", [(0.0, 0.0), (0.999, 0.999)])
def test_zoom_is_a_pillow_resize_then_a_window(factor, where):
    array = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    zoomed = transforms.zoom(array, factor, np.array(where), (24, 16), "bicubic", 7)
    size = (round(24 * factor), round(16 * factor))
    resized = np.asarray(Image.fromarray(array).resize(size, Image.Resampling.BICUBIC))
    first = where == (0.0, 0.0)
    if factor == 2.0:
        np.testing.assert_array_equal(zoomed, resized[:16, :24] if first else resized[-16:, -24:])
    else:
        expected = np.full_like(array, 7)
        expected[:8, :12] = resized if first else 7
        expected[8:, 12:] = 7 if first else resized
        np.testing.assert_array_equal(zoomed, expected)


@given(seed=st.integers(0, 1000))
def test_colours_and_blur_leave_the_label_and_the_place_alone(seed):
    image, label = blocks(seed)
    augmentation = Augmentation(colour_jitter=(0.5, 0.5, 0.5, 0.2), blur=(0.5, 2.0))
    changed, same = transforms.augment(image, label, augmentation, np.random.default_rng(seed))
    np.testing.assert_array_equal(same, label)
    assert changed.shape == image.shape and (changed != image).any()
    for one_class in np.unique(label):  # far from edges, one class still has one colour
        inside = ndimage.minimum_filter(label == one_class, 21)
        assert not inside.any() or np.ptp(changed[inside], axis=0).max() <= 1
