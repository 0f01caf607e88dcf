"""Each picture is predicted and counted as itself, on networks that say what is painted."""

import types

import numpy as np
import pytest

from dakd_jax.evaluation import predict
from dakd_jax.studies.pictures import predicting

C = 4
RULES = predict.Protocol("rgb_unit", statistics="picture")
NETWORKS = {name: (types.SimpleNamespace(num_classes=C), {"shift": shift}) for name, shift in (("one", 0), ("two", 1))}


@pytest.fixture(autouse=True)
def painted(monkeypatch):
    """A prediction is the image's red, shifted by a network's weight."""

    def painted(variables, images, *, model, size, normaliser, statistics):
        assert images.shape[1:3] == size and (normaliser, statistics) == (RULES.normaliser, RULES.statistics)
        return (images[..., 0] + np.asarray(variables["shift"], np.uint8)) % C

    for module in (predict, predicting):
        monkeypatch.setattr(module, "predict", painted)


def picture(number, shape=(5, 7)):
    rng = np.random.default_rng(number)
    label = rng.choice([0, 1, 2, 3, 255], shape).astype(np.uint8)
    return f"picture {number}", rng.integers(0, C, (*shape, 3)).astype(np.uint8), label


def test_a_pass_counts_every_picture_by_itself():
    """Three pictures in batches of two, the last place is padding."""
    made = [picture(number) for number in range(3)]
    batches, told = [], []
    for rows in ((0, 1), (2, 0)):
        names, images, labels = zip(*(made[row] for row in rows), strict=True)
        mask = np.array([True, rows != (2, 0)])
        batches.append({"names": names, "image": np.stack(images), "label": np.stack(labels), "mask": mask})
    found = predict.count_pictures(NETWORKS, batches, RULES, keep=frozenset({"picture 2"}), on_batch=told.append)
    names, counted, kept = found
    assert kept.keys() == {"picture 2"} and kept["picture 2"].keys() == NETWORKS.keys()
    for network, shift in (("one", 0), ("two", 1)):
        np.testing.assert_array_equal(kept["picture 2"][network], (made[2][1][..., 0] + shift) % C)
    assert names == ("picture 0", "picture 1", "picture 2") and told == [2, 1]
    for network, shift in (("one", 0), ("two", 1)):
        assert counted[network].shape == (3, C, C) and counted[network].dtype == np.int64
        for found, (_, image, label) in zip(counted[network], made, strict=True):
            expected = np.zeros((C, C), np.int64)
            for pixel in np.ndindex(label.shape):
                if label[pixel] < C:
                    expected[label[pixel], (image[pixel][0] + shift) % C] += 1
            np.testing.assert_array_equal(found, expected)


def test_pictures_are_predicted_as_themselves_in_order():
    """Five pictures of two shapes of label, in batches of two."""
    made = [picture(number) for number in range(3)] + [picture(number, (4, 6)) for number in (3, 4)]
    found = predicting.predict_pictures(NETWORKS, made, RULES, batch_size=2)
    assert [one.name for one in found] == [name for name, _, _ in made]
    for one, (_, image, label) in zip(found, made, strict=True):
        assert one.image is image and one.label is label
        np.testing.assert_array_equal(one.predictions["one"], image[..., 0] % C)
        np.testing.assert_array_equal(one.predictions["two"], (image[..., 0] + 1) % C)
