"""Counts, rates, objects by size and error maps, against closed forms and loops over pixels."""

import itertools

import numpy as np
import pytest
from attribution_examples import C, attribution, picture, slow_objects

from dakd_jax.studies.attribution import counting, objects, rates
from dakd_jax.studies.kit import error_maps


def counted(label, teacher, reference, case, confidence=None):
    """Counts of a case on one row of pixels."""
    label, teacher, reference, case = (np.array([row], np.uint8) for row in (label, teacher, reference, case))
    sure = np.full(label.shape, 0.5) if confidence is None else np.array([confidence])
    return counting.count(counting.truth(label, teacher, sure, reference, C), case, C)


def test_each_fate_of_a_pixel():
    """One pixel for each way in which label 0 can come out, and one that is void."""
    fates = {  # teacher, reference, case
        "kept": (0, 0, 0),
        "repaired": (0, 1, 0),
        "repaired alone": (2, 1, 0),
        "both wrong": (2, 1, 1),
        "both wrong as the teacher": (2, 1, 2),
        "inherited": (2, 0, 2),
        "broken otherwise": (2, 0, 1),
        "broken against the teacher": (0, 0, 1),
        "kept against the teacher": (2, 0, 0),
        "not learnt": (0, 1, 1),
    }
    teacher, reference, case = zip(*fates.values(), strict=True)
    counts = counted([0] * 10 + [255], (*teacher, 0), (*reference, 0), (*case, 1))
    assert counts.confusion[0].tolist() == [4, 4, 2, 0, 0] and counts.confusion.sum() == 10
    changed = {name: (int(s.part[0]), int(s.whole[0])) for name, s in rates.transfer(counts).items()}
    assert changed == {"repaired": (1, 2), "repaired_alone": (1, 3), "inherited": (1, 3), "broken": (3, 5)}
    agrees = {name: (int(s.part[0]), int(s.whole[0])) for name, s in rates.agreement(counts).items()}
    assert agrees == {"all": (4, 10), "teacher_right": (2, 4), "teacher_wrong": (2, 6)}
    flow = {name: (int(s.part[0]), int(s.whole[0])) for name, s in rates.flow(counts).items()}
    expected = {"repaired": (1, 10), "repaired_alone": (1, 10), "inherited": (1, 10), "broken_otherwise": (2, 10)}
    assert flow == expected
    assert np.isnan(rates.transfer(counts)["repaired"].value[1:]).all()


def test_counts_of_random_pictures_equal_a_loop():
    label, sure, predictions = picture(3)
    truth = counting.truth(label, predictions["teacher"], sure, predictions["student"], C)
    found = counting.count(truth, predictions["case_a"], C)
    confusion, outcomes = np.zeros((C, C), int), np.zeros((C, 2, 2, 3), int)
    quasi, confidence = np.zeros((C, 10, 2, 2), int), np.zeros((C, 10))
    for at in np.ndindex(label.shape):
        if label[at] == 255:
            continue
        t, r, s = (int(predictions[name][at]) for name in ("teacher", "student", "case_a"))
        own = int(label[at])
        kind = 0 if s == own else 1 if s == t else 2
        confusion[own, s] += 1
        outcomes[own, int(r == own), int(t == own), kind] += 1
        b = min(int(float(sure[at]) * 10), 9)
        quasi[t, b, int(t == own), int(s == t)] += 1
        confidence[t, b] += sure[at]
    np.testing.assert_array_equal(found.confusion, confusion)
    np.testing.assert_array_equal(found.outcomes, outcomes)
    np.testing.assert_array_equal(found.quasi, quasi)
    np.testing.assert_array_equal(counting.quasi_counts(truth, predictions["case_a"], C), quasi)
    np.testing.assert_allclose(counting.confidence_sums(truth, sure, C), confidence, rtol=1e-6)


def test_repaired_minus_broken_is_the_change_of_accuracy():
    networks = attribution().networks
    for name in ("teacher", "case_a", "case_d"):
        flow = rates.flow(networks[name])
        gain = sum(flow[key].part for key in ("repaired", "repaired_alone"))
        gain = gain - flow["inherited"].part - flow["broken_otherwise"].part
        expected = np.diag(networks[name].confusion) - np.diag(networks["student"].confusion)
        np.testing.assert_array_equal(gain, expected)
    reference = networks["student"]
    assert not any(np.any(share.part) for share in rates.transfer(reference).values())
    assert rates.agreement(networks["teacher"])["all"].total().value == 1


def test_confidence_bins_are_closed_below():
    assert counting.confidence_bin(np.array([0, 0.0999, 0.1, 0.55, 0.9, 1.0])).tolist() == [0, 0, 1, 5, 9, 9]


def test_quasi_labels_by_class_and_confidence():
    # Teacher says 1 five times: sure and right twice (the case follows once), unsure and wrong three times.
    counts = counted([1, 1, 0, 2, 3], [1] * 5, [0] * 5, [1, 0, 1, 2, 0], [0.95, 0.95, 0.15, 0.15, 0.15])
    right, same = rates.precision(counts.quasi), rates.quasi_agreement(counts.quasi)
    assert (right.part[1, 9], right.whole[1, 9], right.part[1, 1], right.whole[1, 1]) == (2, 2, 0, 3)
    assert (same.part[1, 9], same.part[1, 1]) == (1, 1) and right.whole.sum() == 5
    other = rates.precision_where_disagreeing(counts.quasi)
    assert (other.part[1, 9], other.whole[1, 9], other.part[1, 1], other.whole[1, 1]) == (1, 1, 0, 2)
    sums = np.zeros((C, 10))
    sums[1, 9], sums[1, 1] = 1.9, 0.45
    assert rates.calibration_error(counts.quasi, sums) == pytest.approx((0.1 + 0.45) / 5)


def test_most_confused_pairs_are_shares_of_the_label():
    counts = counted([0] * 10 + [1] * 4, [0] * 14, [0] * 14, [0] * 7 + [1, 1, 2] + [0, 0, 1, 1])
    pairs = [(one.label, one.prediction, float(one.share.value)) for one in rates.most_confused(counts, 2)]
    assert pairs == [(1, 0, 0.5), (0, 1, 0.2)]
    assert len(rates.most_confused(counts, 99)) == 3
    assert np.isnan(rates.confusion_of(counts, 4, 0).share.value)


def test_sizes_have_the_documented_bounds():
    shares = np.array([0, 0.99e-4, 1e-4, 0.99e-3, 1e-3, 0.99e-2, 1e-2, 1])
    assert objects.size_index(shares).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(objects.SIZES) == len(objects.SIZE_EDGES) + 1


@pytest.mark.parametrize("with_instances", [False, True])
def test_objects_and_recall_equal_a_slow_flood(with_instances, monkeypatch):
    monkeypatch.setattr(objects, "SIZE_EDGES", (0.01, 0.03, 0.06))  # so that small pictures have all sizes
    label, _, predictions = picture(1, (20, 24))
    instances = np.random.default_rng(5).integers(-1, 4, label.shape) if with_instances else None
    if with_instances:
        instances[label > 2] = -1  # classes 3 and 4 have none
    found = objects.find_objects(label, C, instances)
    slow = slow_objects(label, instances)
    where = list(zip(*np.nonzero(label < C), strict=True))
    mine = {}
    for pixel, number in zip(where, found.of_pixel, strict=True):
        mine.setdefault(int(number), []).append((int(pixel[0]), int(pixel[1])))
    assert sorted((int(found.classes[n]), sorted(p)) for n, p in mine.items()) == sorted(slow)
    assert len(found.areas) == len(slow) and (found.areas > 0).all()

    said = predictions["case_a"]
    pixels, hits = np.zeros((C, 4, 2), int), np.zeros((C, 4, 2), int)
    for c, members in slow:
        share = len(members) / label.size
        size = sum(share >= edge for edge in (0.01, 0.03, 0.06))
        right = sum(said[at] == c for at in members)
        pixels[c, size] += (len(members), right)
        hits[c, size] += (1, int(right >= len(members) / 2))
    for got, expected in zip(objects.recall_counts(found, (said == label)[label < C], C), (pixels, hits), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert (hits[..., 0].sum(axis=0) > 0).all()  # every size occurs


def test_nothing_labelled_is_nothing_counted():
    counts = counted([255, 255], [0, 1], [0, 1], [1, 1])
    assert not any(array.any() for array in counts.arrays())
    assert np.isnan(rates.calibration_error(counts.quasi, np.zeros((C, 10))))


def test_error_map_colours_each_outcome():
    label = np.array([[1, 1, 1, 1, 255, 19]])
    reference, case = np.array([[0, 1, 0, 1, 1, 19]]), np.array([[1, 0, 2, 1, 1, 19]])
    found = error_maps.error_map(label, reference, case)
    names = ["repaired", "broken", "both wrong", "both right", "not labelled", "not labelled"]
    colours = {colour.name: colour.rgb for colour in error_maps.LEGEND}
    assert found.dtype == np.uint8 and found[0].tolist() == [list(colours[name]) for name in names]
    with pytest.raises(ValueError, match="one shape"):
        error_maps.error_map(label, reference[:, :3], case)


# Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(rgb, matrix):
    """CIE L*a*b* (D65) of an sRGB colour as someone with a deficiency sees it."""
    value = np.array(rgb) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(matrix) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ seen / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colour_blind_people_can_tell_the_error_maps_colours_apart(deficiency):
    seen = {colour.name: lab(colour.rgb, DEFICIENCIES[deficiency]) for colour in error_maps.LEGEND}
    distances = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in itertools.combinations(seen, 2)}
    assert min(distances.values()) > 25, min(distances, key=distances.get)
