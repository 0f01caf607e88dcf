"""metrics.py against the golden numbers, cityscapesScripts and a plain loop."""

import json
import math
import warnings

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis.extra import numpy as hnp
from PIL import Image

from dakd_jax.evaluation import metrics
from data_pipelines.reading import label_spaces

_confusion = jax.jit(metrics.confusion_matrix, static_argnames=("num_classes", "ignore_label"))


def _loop_confusion(labels, predictions, num_classes, ignore_label, mask):
    """The definition, one pixel at a time."""
    confusion = np.zeros((num_classes, num_classes), np.int64)
    for index in np.ndindex(labels.shape):
        label, prediction = int(labels[index]), int(predictions[index])
        if not mask[index[0]] or label == ignore_label:
            continue
        if 0 <= label < num_classes and 0 <= prediction < num_classes:
            confusion[label, prediction] += 1
    return confusion


def _loop_scores(confusion):
    """IoU of each class and the means from their definitions, without numpy."""
    size = len(confusion)
    iou, accuracy, present = [], [], []
    for c in range(size):
        right = int(confusion[c][c])
        labelled = sum(int(confusion[c][k]) for k in range(size))
        predicted = sum(int(confusion[k][c]) for k in range(size))
        union = labelled + predicted - right
        iou.append(right / union if union else math.nan)
        accuracy.append(right / labelled if labelled else math.nan)
        present.append(labelled > 0)

    def mean(values):
        return sum(values) / len(values) if values else math.nan

    return {
        "iou": iou,
        "class_accuracy": accuracy,
        "miou": mean([v for v in iou if not math.isnan(v)]),
        "miou_present": mean([v for v, p in zip(iou, present, strict=True) if p]),
        "mean_class_accuracy": mean([v for v, p in zip(accuracy, present, strict=True) if p]),
    }


@pytest.mark.parametrize("case", ["random", "absent_classes", "out_of_range"])
def test_golden_numbers(golden_dir, case):
    with np.load(golden_dir / "eval.npz") as stored:
        golden = {key.removeprefix(f"{case}/"): stored[key] for key in stored if key.startswith(f"{case}/")}
    confusion = np.asarray(_confusion(golden["label"], golden["pred"], num_classes=19))
    found = metrics.scores(confusion)
    np.testing.assert_array_equal(confusion, golden["hist"])
    np.testing.assert_array_equal(found.iou, golden["iou"])
    assert found.miou == golden["miou"]
    assert round(100 * found.miou, 2) == golden["miou_percent_round2"]
    assert found.pixel_accuracy == golden["overall_acc"]
    # The released code adds 1e-8 to the divisor, which turns our NaN of a class without labels into 0.
    labelled = confusion.sum(axis=1)
    np.testing.assert_array_equal(np.diag(confusion) / (labelled + 1e-8), golden["acc_per_class"])
    np.testing.assert_allclose(found.class_accuracy[labelled > 0], golden["acc_per_class"][labelled > 0], 1e-9)
    assert np.isnan(found.class_accuracy[labelled == 0]).all()


def _smooth_maps(seed, shape=(2, 24, 40)):
    """Label maps with void pixels and absent classes, and predictions that are partly right."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.r_[0:12, 13:16, 255], shape).astype(np.uint8)
    wrong = rng.integers(0, 18, shape).astype(np.uint8)
    keep = (rng.random(shape) < 0.6) & (labels != 255)
    return labels, np.where(keep, labels, wrong)


def test_agrees_with_cityscapes_scripts(tmp_path):
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    labels, predictions = _smooth_maps(seed=3)
    paths = {"gt": [], "pred": []}
    for index, pair in enumerate(zip(labels, predictions, strict=True)):
        for kind, train_ids in zip(paths, pair, strict=True):
            paths[kind].append(str(tmp_path / f"{kind}_{index}.png"))
            Image.fromarray(label_spaces.TRAIN_ID_TO_LABEL_ID[train_ids]).save(paths[kind][-1])
    args = official.CArgs()
    vars(args).update(vars(official.args), evalInstLevelScore=False, JSONOutput=False, quiet=True)
    theirs = official.evaluateImgLists(paths["pred"], paths["gt"], args)

    confusion = np.asarray(_confusion(labels, predictions, num_classes=19))
    ours = metrics.scores(confusion)
    ids = label_spaces.TRAIN_ID_TO_LABEL_ID[:19]
    np.testing.assert_array_equal(confusion, np.array(theirs["confMatrix"])[np.ix_(ids, ids)])
    iou = [theirs["classScores"][name] for name in label_spaces.CITYSCAPES_CLASSES]
    assert 0 < np.isnan(iou).sum() < 19  # the maps do exercise absent classes
    np.testing.assert_array_equal(ours.iou, iou)
    assert ours.miou == pytest.approx(theirs["averageScoreClasses"], rel=1e-15)  # only the order of adding


_SHAPE = (3, 4, 5)


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
    labels=hnp.arrays(np.uint8, _SHAPE, elements=st.sampled_from([0, 1, 2, 3, 4, 7, 255])),
    predictions=hnp.arrays(np.int32, _SHAPE, elements=st.integers(-2, 6)),
    mask=hnp.arrays(np.bool_, _SHAPE[:1]),
    ignore_label=st.sampled_from([255, 2]),
)
def test_agrees_with_a_plain_loop(labels, predictions, mask, ignore_label):
    found = _confusion(labels, predictions, num_classes=4, ignore_label=ignore_label, mask=mask)
    expected = _loop_confusion(labels, predictions, 4, ignore_label, mask)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    ours, theirs = metrics.scores(np.asarray(found)), _loop_scores(expected)
    for name, value in theirs.items():
        np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-14, err_msg=name)


def test_a_masked_picture_counts_as_if_it_were_not_there():
    labels, predictions = _smooth_maps(seed=5)
    masked = _confusion(labels, predictions, num_classes=19, mask=np.array([True, False]))
    np.testing.assert_array_equal(masked, _confusion(labels[:1], predictions[:1], num_classes=19))


def test_predicted_but_never_labelled_lowers_only_miou():
    found = metrics.scores(np.array([[6, 0, 2], [0, 0, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(found.iou, [0.75, np.nan, 0.0])
    np.testing.assert_array_equal(found.class_accuracy, [0.75, np.nan, np.nan])
    assert (found.miou, found.miou_present) == (0.375, 0.75)
    assert (found.pixel_accuracy, found.mean_class_accuracy) == (0.75, 0.75)


def test_an_empty_confusion_gives_nan_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.scores(np.zeros((3, 3), np.int64))
    assert np.isnan(found.iou).all() and np.isnan(found.class_accuracy).all()
    means = (found.miou, found.miou_present, found.pixel_accuracy, found.mean_class_accuracy)
    assert all(map(math.isnan, means))
    assert found.as_dict()["miou"] is None


def test_scores_survive_json():
    found = metrics.scores(np.array([[6, 1, 2], [1, 7, 0], [0, 0, 0]]))
    text = json.dumps(found.as_dict(), allow_nan=False)
    back = json.loads(text)
    for name, value in vars(found).items():
        np.testing.assert_array_equal(np.array(back[name], np.float64), value, err_msg=name)  # None is NaN


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 2, 2)])
def test_refuses_what_is_no_confusion_matrix(shape):
    with pytest.raises(ValueError, match=r"\[C, C\]"):
        metrics.scores(np.zeros(shape, np.int64))


def test_refuses_maps_of_different_size():
    with pytest.raises(ValueError, match="one shape"):
        metrics.confusion_matrix(np.zeros((1, 2, 2)), np.zeros((1, 2, 3)), num_classes=2)
