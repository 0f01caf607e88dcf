"""Predictions and scores against plain numpy, whatever the batches; what the named protocols do."""

import re
import shutil

import jax
import numpy as np
import pytest
import tiny_runs

from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import metrics, predict
from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.preprocessing import NORMALISERS
from dakd_jax.models.segmenter import Segmenter, log_probabilities
from dakd_jax.stages import weights
from dakd_jax.training.step import passes
from data_pipelines.feeding.feed import Feed

MODEL = Segmenter(arch="tiny", num_classes=19)
BGR_MEAN = np.array([104.00698793, 116.66876762, 122.67891434])


@pytest.fixture(autouse=True)
def quick():
    with tiny_runs.quick_compilation():
        yield


@pytest.fixture(scope="module")
def variables():
    """Weights whose predictions vary from pixel to pixel: a random trunk, heads of ordinary size."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if leaf.dtype.kind == "i":
            return np.zeros(leaf.shape, leaf.dtype)
        if "kernel" in name:
            return (rng.standard_normal(leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))).astype(leaf.dtype)
        start = 1.0 if name.endswith(("scale", "var")) else 0.0
        return (start + rng.uniform(0.0, 0.3, leaf.shape)).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, segmenter_module.blank_segmenter(MODEL))


def pictures(count, height=32, width=64, seed=0):
    """Smooth random uint8 [count, height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, height // 8 + 1, width // 8 + 1, 3))
    return np.repeat(np.repeat(coarse, 8, 1), 8, 2)[:, :height, :width].astype(np.uint8)


def aligned(line_in, line_out):
    """Positions of `line_out` samples on `line_in` ones, corners on corners."""
    return np.arange(line_out) * (line_in - 1) / max(line_out - 1, 1)


def half_pixel(line_in, line_out):
    return np.clip((np.arange(line_out) + 0.5) * line_in / line_out - 0.5, 0, line_in - 1)


def interpolate(x, axis, positions):
    low = np.clip(np.floor(positions).astype(int), 0, x.shape[axis] - 1)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    share = (positions - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share


def plain_prediction(variables, images, size, *, statistics="running", normaliser="bgr_minus_mean"):
    """(classes [B, h, w], how far the winner is ahead) by numpy on the network's coarse logits, picture by picture."""
    classes, leads = [], []
    for image in images:
        x = image[..., ::-1] - BGR_MEAN if normaliser == "bgr_minus_mean" else image / 255
        how = {"train": statistics == "picture", "mutable": ["batch_stats"], "method": "heads"}
        heads, _ = MODEL.apply(variables, np.float32(x)[None], **how)
        logits = np.asarray(heads.main, np.float64)[0]
        for axis in (0, 1):
            logits = interpolate(logits, axis, aligned(logits.shape[axis], 8 * logits.shape[axis]))
        logits = logits[: image.shape[0], : image.shape[1]]
        top = logits.max(-1, keepdims=True)
        logp = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
        for axis in (0, 1):
            logp = interpolate(logp, axis, half_pixel(logp.shape[axis], size[axis]))
        classes.append(logp.argmax(-1))
        ranked = np.sort(logp, -1)
        leads.append(ranked[..., -1] - ranked[..., -2])
    return np.stack(classes), np.stack(leads)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(32, 64, (32, 64)), (32, 64, (77, 101)), (60, 100, (60, 100)), (60, 100, (45, 51))],
    ids=str,
)
@pytest.mark.parametrize(
    ("statistics", "normaliser"),
    [("running", "bgr_minus_mean"), ("picture", "bgr_minus_mean"), ("picture", "rgb_unit")],
)
def test_predict_is_the_plain_computation(variables, height, width, size, statistics, normaliser):
    images = pictures(2, height, width)
    how = {"statistics": statistics, "normaliser": normaliser}
    found = np.asarray(predict.predict(variables, images, model=MODEL, size=size, **how))
    expected, lead = plain_prediction(variables, images, size, **how)
    assert found.shape == (2, *size) and found.dtype == np.uint8
    clear = lead > 1e-3
    assert clear.mean() > 0.9 and len(np.unique(expected)) > 3
    np.testing.assert_array_equal(found[clear], expected[clear])


def test_a_network_brings_its_own_normaliser(variables):
    images, own = pictures(1, 32, 64), MODEL.clone(normaliser="rgb_mean_std")
    x = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    heads, _ = MODEL.apply(variables, np.float32(x), train=False, mutable=["batch_stats"], method="heads")
    in_training = passes.outputs_of(own, variables, images, "running")[0].log_probs
    np.testing.assert_allclose(in_training["main"], log_probabilities(heads.main, (32, 64), 8), rtol=1e-4, atol=1e-4)
    found, forced = (
        np.asarray(predict.predict(variables, images, model=model, size=(32, 64), normaliser=normaliser))
        for model, normaliser in ((own, ""), (MODEL, "rgb_mean_std"))
    )
    np.testing.assert_array_equal(found, forced)
    assert (found == np.argmax(in_training["main"], axis=-1)).mean() > 0.99


def batches(images, labels, batch_size):
    for first in range(0, len(images), batch_size):
        image, label = images[first : first + batch_size], labels[first : first + batch_size]
        padding = batch_size - len(image)
        grow = [(0, padding)] + [(0, 0)] * 3
        yield {
            "image": np.pad(image, grow),
            # Padding that would count, were it not masked.
            "label": np.pad(label, grow[:3], constant_values=3),
            "mask": np.arange(batch_size) < batch_size - padding,
            "names": tuple(f"p{first + i}" for i in range(len(image))) + ("",) * padding,
        }


@pytest.mark.parametrize("name", ["native", "native_picture_statistics"])
def test_each_picture_counts_once_whatever_the_batches(variables, name):
    rules = predict.protocol(name)
    images = pictures(5)
    labels = np.random.default_rng(1).choice(np.array([*range(19), 255], np.uint8), (5, 48, 64))
    expected = np.zeros((19, 19), np.int64)
    single = {}
    for i in range(5):
        prediction = np.asarray(
            predict.predict(variables, images[i : i + 1], model=MODEL, size=(48, 64), statistics=rules.statistics)
        )[0]
        single[f"p{i}"] = prediction
        counted = labels[i] != 255
        np.add.at(expected, (labels[i][counted], prediction[counted]), 1)
    for batch_size in (1, 2, 4):
        seen = []
        confusion, kept = predict.evaluate(
            MODEL,
            variables,
            batches(images, labels, batch_size),
            rules,
            keep=frozenset({"p1", "p4"}),
            on_batch=seen.append,
        )
        np.testing.assert_array_equal(confusion, expected)
        assert confusion.dtype == np.int64 and sum(seen) == 5
        assert set(kept) == {"p1", "p4"}
        for picture, prediction in kept.items():
            np.testing.assert_array_equal(prediction, single[picture])


def test_statistics_of_a_picture_do_not_depend_on_its_company(variables):
    images = pictures(3)
    how = {"model": MODEL, "size": (32, 64), "statistics": "picture"}
    together = np.asarray(predict.predict(variables, images, **how))
    mixed = np.asarray(predict.predict(variables, np.stack([images[2], 255 - images[1], images[0]]), **how))
    np.testing.assert_array_equal(mixed[[2, 0]], together[[0, 2]])
    running = np.asarray(predict.predict(variables, images, model=MODEL, size=(32, 64)))
    assert (running != together).mean() > 0.05


def test_protocols_differ_as_documented():
    native, picture, released = (predict.protocol(n) for n in predict.PROTOCOLS)
    assert native == predict.Protocol("", "bicubic", None, None, "running")
    assert picture == predict.Protocol("", "bicubic", None, None, "picture")
    assert released == predict.Protocol("rgb_unit", "bilinear", (1024, 512), (1024, 512), "picture")
    with pytest.raises(UserError, match="'mine': expected one of native, native_picture_statistics, released"):
        predict.protocol("mine")


def test_inputs_of_the_two_normalisers():
    pixel = np.array([[[[10, 20, 200]]]], np.uint8)
    np.testing.assert_allclose(NORMALISERS["bgr_minus_mean"](pixel)[0, 0, 0], [200, 20, 10] - BGR_MEAN, rtol=1e-6)
    expected = (np.array([10, 20, 200]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(NORMALISERS["rgb_mean_std"](pixel)[0, 0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(NORMALISERS["rgb_unit"](pixel)[0, 0, 0], np.array([10, 20, 200]) / 255, rtol=1e-6)


# --mode=evaluate


def scores_line(text):
    return re.search(r"mIoU +([\d.]+) +of present classes +([\d.]+) +pixel accuracy +([\d.]+)", text).groups()


def chain_score(toy_city, folder):
    """The scores that training stored."""
    with np.load(next(folder.glob("evaluation-native-*.npz"))) as stored:
        scores = metrics.scores(stored["confusion"])
    return tuple(f"{100 * x:.2f}" for x in (scores.miou, scores.miou_present, scores.pixel_accuracy))


@pytest.mark.parametrize("batch_size", [2, 3])
def test_evaluation_of_a_folder_and_of_a_file_give_the_score_of_training(chain, toy_city, tmp_path, batch_size):
    workdir, printed = chain
    folder = tiny_runs.stage_folder(workdir, "case_d")
    shutil.copy(folder / weights.FILE, tmp_path / "mine.pth")
    expected = chain_score(toy_city, folder)
    row = re.search(r"\(d\) on target, from \(c\) +([\d.]+) +([\d.]+) +([\d.]+)", printed).groups()
    assert row == expected
    for path in (folder, tmp_path / "mine.pth"):
        chosen = tiny_runs.config(toy_city, **{"eval.checkpoint": str(path), "eval.batch_size": batch_size})
        assert scores_line(tiny_runs.run(chosen, tmp_path / "none", "evaluate")) == expected
    assert not (tmp_path / "none").exists()


def test_evaluation_of_telling_weights_is_the_plain_score(variables, toy_city, tmp_path):
    weights.save(tmp_path / "x.pth", variables)
    chosen = tiny_runs.config(toy_city, **{"eval.checkpoint": str(tmp_path / "x.pth"), "eval.network": "teacher"})
    line = scores_line(tiny_runs.run(chosen, tmp_path, "evaluate"))
    confusion, unclear = np.zeros((19, 19), np.int64), 0
    feed = Feed(chosen.data)
    for batch in feed.eval_batches(image_size=tiny_runs.SIZE, label_size=None, resample="bicubic", batch_size=1):
        prediction, lead = plain_prediction(variables, batch["image"], batch["label"].shape[1:])
        counted = batch["label"] != 255
        np.add.at(confusion, (batch["label"][counted], prediction[counted]), 1)
        unclear += int((lead <= 1e-3).sum())
    expected = metrics.scores(confusion)
    slack = 100 * unclear / confusion.sum() + 0.006
    assert float(line[2]) == pytest.approx(100 * expected.pixel_accuracy, abs=slack)
    assert float(line[0]) == pytest.approx(100 * expected.miou, abs=1 + slack)


def test_released_protocol_on_the_command_line(toy_city, chain, tmp_path):
    """512x1024 pictures whatever the training size was: another number, and it says so."""
    path = tiny_runs.stage_folder(chain[0], "student")
    chosen = tiny_runs.config(
        toy_city, **{"eval.checkpoint": str(path), "eval.protocol": "released", "eval.batch_size": 1}
    )
    said = " ".join(tiny_runs.run(chosen, tmp_path, "evaluate").split())
    assert "protocol 'released'" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "--mode=evaluate needs --config.eval.checkpoint=PATH"),
        ({"eval.checkpoint": "nowhere.pth"}, "no checkpoint at nowhere.pth"),
        ({"eval.network": "both", "eval.checkpoint": "x"}, "expected 'student' or 'teacher'"),
        ({"eval.protocol": "mine", "eval.checkpoint": "x"}, "expected one of native"),
    ],
    ids=str,
)
def test_mistakes_of_evaluation(toy_city, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        tiny_runs.run(tiny_runs.config(toy_city, **changes), tmp_path, "evaluate")
