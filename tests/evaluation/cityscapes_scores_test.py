"""Every score against cityscapesScripts' own evaluation, bit for bit."""

import numpy as np
import protocol_examples
import pytest
import tiny_datasets
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as reference
from cityscapesscripts.helpers.labels import trainId2label

from dakd_jax.evaluation import metrics
from dakd_jax.evaluation.cityscapes_scores import Groups, Objects, scores
from data_pipelines.datasets import cityscapes
from data_pipelines.reading import label_spaces

GROUPS = Groups(label_spaces.CITYSCAPES_CLASSES, label_spaces.CATEGORIES, label_spaces.MEAN_INSTANCE_SIZES)


def judged(folder, pictures, instances=True):
    """What cityscapesScripts says of [(label ids, instance ids, predicted train ids)]."""
    reference.args.evalInstLevelScore, reference.args.quiet, reference.args.JSONOutput = instances, True, False
    files = []
    for i, (label_ids, instance_ids, prediction) in enumerate(pictures):
        truth = tiny_datasets.save(folder / f"bonn_{i:06d}_000019_gtFine_labelIds.png", label_ids)
        tiny_datasets.save(folder / f"bonn_{i:06d}_000019_gtFine_instanceIds.png", instance_ids)
        made = tiny_datasets.save(folder / f"{i}.png", label_spaces.TRAIN_ID_TO_LABEL_ID[prediction])
        files.append((str(made), str(truth)))
    return reference.evaluateImgLists(*zip(*files, strict=True), reference.args)


def counted(pictures):
    """(confusion int64 [19, 19], InstanceCounts) of the same by this project."""
    confusion, counts = np.zeros((19, 19), np.int64), GROUPS.counts()
    for label_ids, instance_ids, prediction in pictures:
        label = label_spaces.LABEL_ID_TO_TRAIN_ID[label_ids]
        confusion += np.asarray(metrics.confusion_matrix(label[None], prediction[None], num_classes=19))
        counts.add(Objects(cityscapes.counted_instances(instance_ids)), prediction, GROUPS)
    return confusion, counts


def made(count, classes=range(19)):
    """Pictures whose predictions are right in about half of the blocks."""
    pictures = []
    for seed in range(count):
        label_ids = protocol_examples.labels(seed)
        rng = np.random.default_rng(100 + seed)
        guess = rng.choice(list(classes), label_ids.shape).astype(np.uint8)
        truth = label_spaces.LABEL_ID_TO_TRAIN_ID[label_ids]
        prediction = np.where((rng.random(label_ids.shape) < 0.5) & (truth < 19), truth, guess)
        pictures.append((label_ids, protocol_examples.instance_ids(label_ids, seed), prediction.astype(np.uint8)))
    return pictures


def named(told, names):
    return np.array([told[name] for name in names])


@pytest.mark.parametrize(
    "pictures", [made(3), made(1, classes=(0, 13)), made(2, classes=(2,))], ids=["3", "2 classes", "1 class"]
)
def test_all_scores_are_those_of_cityscapesscripts(tmp_path, pictures):
    told, (confusion, counts) = judged(tmp_path, pictures), counted(pictures)
    found = scores(confusion, counts, GROUPS)
    for mine, theirs, names in (
        ("class_iou", "classScores", GROUPS.class_names),
        ("class_iiou", "classInstScores", GROUPS.class_names),
        ("category_iou", "categoryScores", GROUPS.names),
        ("category_iiou", "categoryInstScores", GROUPS.names),
    ):
        np.testing.assert_array_equal(getattr(found, mine), named(told[theirs], names), err_msg=mine)
    assert found.means == {
        "class_iou": told["averageScoreClasses"],
        "class_iiou": told["averageScoreInstClasses"],
        "category_iou": told["averageScoreCategories"],
        "category_iiou": told["averageScoreInstCategories"],
    }
    assert metrics.scores(confusion).miou == pytest.approx(told["averageScoreClasses"], rel=1e-15)
    assert np.isnan(found.class_iiou[:11]).all() and 0 < found.means["class_iiou"] < 1


def test_without_instances_their_scores_are_empty(tmp_path):
    pictures = made(2)
    told = judged(tmp_path, pictures, instances=False)
    found = scores(counted(pictures)[0], None, GROUPS)
    assert found.means["category_iou"] == told["averageScoreCategories"]
    assert all(np.isnan(found.means[name]) for name in ("class_iiou", "category_iiou"))


def test_a_picture_without_any_instance_counts_nothing():
    counts = GROUPS.counts()
    counts.add(Objects(np.full((4, 4), -1, np.int32)), np.zeros((4, 4), np.uint8), GROUPS)
    assert not counts.classes.any() and not counts.categories.any()


def test_the_tables_are_those_of_cityscapesscripts():
    rows = [trainId2label[i] for i in range(19)]
    assert tuple(row.category for row in rows) == label_spaces.CATEGORIES
    sizes = {row.name: reference.args.avgClassSize[row.name] for row in rows if row.hasInstances}
    assert dict(label_spaces.MEAN_INSTANCE_SIZES) == sizes


def test_instances_are_read_by_class_and_number():
    pixels = np.array([[26, 26000, 26001, 24002], [29000, 7, 33999, 0]], np.int32)
    expected = [[-1, 13000, 13001, 11002], [-1, -1, 18999, -1]]
    for dtype in (np.int32, np.uint16):
        np.testing.assert_array_equal(cityscapes.counted_instances(pixels.astype(dtype)), expected)
