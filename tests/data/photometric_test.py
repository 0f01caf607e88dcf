"""Colour jitter and blur against closed forms."""

import colorsys

import numpy as np
import pytest
from scipy import ndimage

from data_pipelines.augmentation.photometric import colour_jitter, gaussian_blur

OFF = (0.0, 0.0, 0.0, 0.0)


def noise(seed=0, size=(40, 50)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def only(which, strength):
    return tuple(strength if i == which else 0.0 for i in range(4))


def factors(which, strength, changed_over_image):
    """The factor of many draws, measured."""
    return [
        changed_over_image(colour_jitter(IMAGE, only(which, strength), np.random.default_rng(s))) for s in range(60)
    ]


IMAGE = np.full((8, 8, 3), (100, 60, 20), np.uint8)
IMAGE[:, 4:] = (20, 60, 100)
GREY = round(0.299 * 100 + 0.587 * 60 + 0.114 * 20)


def test_off_changes_nothing():
    np.testing.assert_array_equal(colour_jitter(noise(), OFF, np.random.default_rng(0)), noise())
    assert gaussian_blur(noise(), 0.0) is not None
    np.testing.assert_array_equal(gaussian_blur(noise(), 0.0), noise())


def test_brightness_multiplies_by_factors_from_the_whole_range():
    found = np.array(factors(0, 0.5, lambda changed: changed[0, 0, 0] / 100))
    assert 0.5 <= found.min() < 0.6 and 1.4 < found.max() <= 1.5
    assert abs(found.mean() - 1.0) < 0.1


def test_a_strength_above_one_never_goes_below_black():
    found = np.array(factors(0, 2.0, lambda changed: changed[0, 0, 0] / 100))
    assert 0.0 <= found.min() < 0.2 and found.max() > 2.0


def test_contrast_pulls_towards_the_mean_grey():
    mean = np.asarray(GREY + (0.299 * 20 + 0.587 * 60 + 0.114 * 100)) / 2
    for seed in range(20):
        changed = colour_jitter(IMAGE, only(1, 0.5), np.random.default_rng(seed)).astype(float)
        factor = (changed[0, 0, 0] - changed[0, 7, 0]) / 80
        assert 0.45 <= factor <= 1.55
        np.testing.assert_allclose(changed[0, 0], mean + factor * (IMAGE[0, 0].astype(float) - mean), atol=2)


def test_saturation_pulls_towards_the_pixels_own_grey():
    for seed in range(20):
        changed = colour_jitter(IMAGE, only(2, 0.5), np.random.default_rng(seed)).astype(float)
        factor = (changed[0, 0, 0] - changed[0, 0, 2]) / 80
        assert 0.45 <= factor <= 1.55
        np.testing.assert_allclose(changed[0, 0], GREY + factor * (IMAGE[0, 0].astype(float) - GREY), atol=2)


def test_hue_turns_the_colour_wheel_and_keeps_saturation_and_value():
    shifts = []
    for seed in range(40):
        changed = colour_jitter(IMAGE, only(3, 0.25), np.random.default_rng(seed))
        before, after = (colorsys.rgb_to_hsv(*(x[0, 0] / 255)) for x in (IMAGE, changed))
        shifts.append((after[0] - before[0] + 0.5) % 1 - 0.5)
        np.testing.assert_allclose(after[1:], before[1:], atol=0.02)
    assert -0.26 <= min(shifts) < -0.15 and 0.15 < max(shifts) <= 0.26


def test_the_order_of_the_operations_varies():
    """Brightness then contrast differs from contrast then brightness where something is clipped."""
    bright = np.full((4, 4, 3), 200, np.uint8)
    bright[:2] = 30
    results = {colour_jitter(bright, (1.0, 1.0, 0.0, 0.0), np.random.default_rng(s)).tobytes() for s in range(30)}
    assert len(results) > 20


@pytest.mark.parametrize("sigma", [0.7, 1.5, 3.0])
def test_blur_is_near_the_gaussian(sigma):
    image = ndimage.gaussian_filter(noise(3).astype(float), (1, 1, 0)).astype(np.uint8)
    exact = np.stack([ndimage.gaussian_filter(image[..., c].astype(float), sigma) for c in range(3)], axis=-1)
    inside = np.s_[10:-10, 10:-10]
    assert np.abs(gaussian_blur(image, sigma)[inside] - exact[inside]).max() < 4
