"""The matrix: what averages, against plain numpy; what is counted, against evaluate.py; --mode=protocols."""

import dataclasses
import json
import math
import pathlib
import re

import numpy as np
import protocol_examples
import pytest
import tiny_runs
from flax import linen as nn
from hypothesis import given, strategies
from PIL import Image

from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import metrics, predict, protocols
from dakd_jax.evaluation.protocol_predictions import Predictor
from dakd_jax.models import preprocessing
from dakd_jax.models.segmenter import Heads
from dakd_jax.stages import settings, weights
from data_pipelines.feeding.feed import Feed

COLOURS = np.random.default_rng(3).normal(0, 6, (3, 5)).astype(np.float32)


class Sampler(nn.Module):
    """A network that looks at the top left pixel of each 8x8 block: another one in a mirror image."""

    num_classes: int = 5

    @nn.compact
    def __call__(self, images, *, train, normaliser="", dtype=np.float32):
        x = preprocessing.rgb_unit(images, dtype)
        main = (x[:, ::8, ::8] - 0.5) @ COLOURS
        return Heads(main, main, {}, main_stride=8, auxiliary_stride=8)


def interpolate(x, axis, positions):
    low = np.clip(np.floor(positions).astype(int), 0, x.shape[axis] - 1)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    share = (positions - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share


def plain_log_probabilities(image, size):
    """[h, w, 3] to float64 [height, width, 5] as the Sampler is evaluated: x8 with aligned corners, then to `size`."""
    x = (np.float64(image) / 255)[::8, ::8] @ np.float64(COLOURS) - 0.5 * np.float64(COLOURS).sum(0)
    for axis in (0, 1):
        n = x.shape[axis]
        x = interpolate(x, axis, np.arange(8 * n) * (n - 1) / (8 * n - 1))
    x = x[: image.shape[0], : image.shape[1]]
    x = x - np.log(np.exp(x).sum(-1, keepdims=True))
    for axis in (0, 1):
        n, line = x.shape[axis], size[axis]
        x = interpolate(x, axis, np.clip((np.arange(line) + 0.5) * n / line - 0.5, 0, n - 1))
    return x


def shares(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def batch_of(pictures, predictor):
    """As the data layer makes it, with one place that is empty."""

    def view(size, resample):
        images = [np.asarray(Image.fromarray(p).resize(size, getattr(Image, resample.upper()))) for p in pictures]
        return np.stack([*images, np.zeros_like(images[0])])

    views = {wanted: view(*wanted) for wanted in predictor.views}
    return {"names": tuple("abc"[: len(pictures)]), "size": pictures[0].shape[:2], "pictures": pictures, "views": views}


def agree(found, sums):
    """Wherever the winner is clear."""
    ranked = np.sort(sums, -1)
    clear = ranked[..., -1] - ranked[..., -2] > 1e-4
    assert found.dtype == np.uint8 and found.shape == sums.shape[:2] and clear.mean() > 0.97
    np.testing.assert_array_equal(found[clear], sums.argmax(-1)[clear])
    assert len(np.unique(found)) > 2


@pytest.fixture(scope="module")
def pictures():
    """Two pictures of 70x50, larger than the training size of 40x24 and no multiple of it."""
    return [np.random.default_rng(seed).integers(0, 256, (50, 70, 3), np.uint8) for seed in (0, 1)]


TRAINING = (40, 24)
SCALES = (0.75, 1.0, 1.25)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("mirror", [(1.0, False), (1.0, True)]),
        ("multi_scale", [(s, False) for s in SCALES]),
        ("multi_scale_mirror", [(s, m) for s in SCALES for m in (False, True)]),
    ],
)
def test_averages_of_scales_and_mirrors_are_the_plain_computation(pictures, name, inputs):
    predictor = Predictor({name: protocols.matrix(SCALES)[name]}, TRAINING)
    ((_, found),) = predictor.predictions(Sampler(), {}, batch_of(pictures, predictor))
    sizes = {0.75: (30, 18), 1.0: (40, 24), 1.25: (50, 30)}
    for picture, prediction in zip(pictures, found, strict=True):
        sums = np.zeros((50, 70, 5))
        for scale, mirrored in inputs:
            image = np.asarray(Image.fromarray(picture).resize(sizes[scale], Image.BICUBIC))
            # The map is mirrored back at the input's size here, after resizing there.
            one = plain_log_probabilities(image[:, ::-1] if mirrored else image, (50, 70))
            sums += shares(one[:, ::-1] if mirrored else one)
        agree(prediction, sums)


@pytest.mark.parametrize("training", [TRAINING, (80, 24), (80, 64)], ids=str)
def test_sliding_windows_are_the_plain_computation(pictures, training):
    predictor = Predictor({"sliding_window": protocols.matrix(SCALES)["sliding_window"]}, training)
    ((_, found),) = predictor.predictions(Sampler(), {}, batch_of(pictures[:1], predictor))
    width, height = min(training[0], 70), min(training[1], 50)
    tops = {24: (0, 13, 26), 50: (0,)}[height]
    lefts = {40: (0, 15, 30), 70: (0,)}[width]
    sums, visits = np.zeros((50, 70, 5)), np.zeros((50, 70, 1))
    for top in tops:
        for left in lefts:
            place = np.s_[top : top + height, left : left + width]
            sums[place] += shares(plain_log_probabilities(pictures[0][place], (height, width)))
            visits[place] += 1
    agree(found[0], sums / visits)


@given(strategies.integers(8, 4000), strategies.integers(8, 3000))
def test_windows_cover_a_side_and_overlap_by_a_third(length, window):
    starts = protocols.window_starts(length, window)
    assert starts[0] == 0 and starts[-1] + window >= length and len(set(starts)) == len(starts)
    assert length <= window or starts[-1] + window == length
    gaps = np.diff(starts)
    assert all(gaps <= math.floor(window * 2 / 3) + 1)
    # One window fewer would overlap by less.
    assert len(starts) < 3 or (length - window) / (len(starts) - 2) > window * 2 / 3 - 1e-9


def test_a_mean_of_one_is_the_plain_protocol(pictures):
    rows = protocols.matrix((1.0,))
    predictor = Predictor({name: rows[name] for name in ("native", "multi_scale")}, TRAINING)
    (_, native), (_, averaged) = predictor.predictions(Sampler(), {}, batch_of(pictures, predictor))
    np.testing.assert_array_equal(native, averaged)


def test_scales_have_to_be_numbers():
    for scales in ((), (0.0,), (1.0, "2"), (math.inf,)):
        with pytest.raises(UserError, match=r"config.eval.scales=.*expected numbers > 0"):
            protocols.matrix(scales)


def test_the_released_sizes():
    rows = protocols.matrix((1.0,))
    assert {name: row.rules for name, row in rows.items() if name in predict.PROTOCOLS} == predict.PROTOCOLS
    assert rows["small_labels"].rules == predict.Protocol(label_size=(1024, 512))
    assert rows["released_running"].rules == predict.Protocol("rgb_unit", "bilinear", (1024, 512), (1024, 512))
    assert [name for name, row in rows.items() if row.label_size] == ["small_labels", "released", "released_running"]
    assert all(protocols.at_native_size(row).label_size is None for row in rows.values())


def test_every_protocol_is_documented():
    text = (pathlib.Path(__file__).parents[2] / "docs" / "protocols.md").read_text()
    for name in protocols.matrix((1.0,)):
        assert f"`{name}`" in text, name


# --mode=protocols


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """(config, workdir, folders of the stages, text) of the command on two finished networks.

    The sizes of the released script are made small here: a picture of 1024x512 takes seconds.
    """
    released = dataclasses.replace(predict.PROTOCOLS["released"], image_size=(96, 56), label_size=(48, 40))
    root = protocol_examples.write_pair(tmp_path_factory.mktemp("protocols"), count=2)
    chosen, workdir = protocol_examples.config(root), root / "work"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(predict.PROTOCOLS, "released", released)
        patch.setattr(protocols, "SMALL", (48, 40))
        folders = protocol_examples.finish(chosen, workdir)
        tiny_runs.plain_report(chosen, workdir)
        yield chosen, workdir, folders, tiny_runs.run(chosen, workdir, "protocols")


def results(workdir):
    """{network: {protocol: scores}} of the page's JSON."""
    return json.loads((workdir / "protocols_tiny" / "protocols.json").read_text())["networks"]


def test_named_protocols_equal_the_evaluation(scored):
    chosen, workdir, folders, _ = scored
    feed, model = Feed(chosen.data), settings.segmenter(chosen.student, 19)
    for network, folder in folders.items():
        variables = weights.load(folder, model)
        (kept,) = folder.glob("protocols-*.npz")
        for name, rules in predict.PROTOCOLS.items():
            batches = feed.eval_batches(
                image_size=rules.image_size or tiny_runs.SIZE,
                label_size=rules.label_size,
                resample=rules.resample,
                batch_size=2,
            )
            with tiny_runs.quick_compilation():
                confusion, _ = predict.evaluate(model, variables, batches, rules)
            np.testing.assert_array_equal(np.load(kept)[f"confusion/{name}"], confusion, err_msg=name)
            scores = metrics.scores(confusion)
            told = results(workdir)[network][name]
            assert (told["miou"], told["pixel_accuracy"]) == (scores.miou, scores.pixel_accuracy)
    assert len({told["miou"] for of_one in results(workdir).values() for told in of_one.values()}) == 18


def test_the_report_leads_to_the_page(scored):
    assert 'href="../protocols_tiny/index.html"' in (scored[1] / "report_tiny" / "index.html").read_text()


def test_what_is_printed(scored):
    _, workdir, _, text = scored
    found = results(workdir)["teacher"]["multi_scale_mirror"]
    names = ("miou", "miou_present", "pixel_accuracy", "mean_category_iou", "mean_class_iiou", "mean_category_iiou")
    row = re.search(r"Teacher, adapted.*?multi-scale, mirror +(.*?)\n", text, re.S).group(1)
    assert row.split() == [f"{100 * found[name]:.2f}" for name in names]
    # Instances are of native size: nothing of them where labels are compared at another.
    small = re.search(r"Teacher, adapted.*?labels at 1024x512 +(.*?)\n", text, re.S).group(1).split()
    assert small[-2:] == ["–", "–"] and "–" not in small[:-2]
    assert "the scales make it 32x16, 64x32" in text


def test_the_second_command_counts_nothing_and_prints_the_same(scored, monkeypatch):
    chosen, workdir, folders, text = scored
    monkeypatch.setattr("dakd_jax.studies.protocols.matrix.score", None)
    again = tiny_runs.run(chosen, workdir, "protocols")
    assert again == text[text.index("Student, adapted ") :] and "sliding window" in again
    for name, folder in folders.items():
        assert json.loads(next(folder.glob("protocols-*.json")).read_text())["scores"] == results(workdir)[name]


def test_damaged_counts_are_counted_again(scored):
    chosen, workdir, folders, text = scored
    kept = next(folders["teacher"].glob("protocols-*.npz"))
    before = kept.read_bytes()
    kept.write_bytes(before[: len(before) // 2])
    again = tiny_runs.run(chosen, workdir, "protocols")
    assert "9 protocols, 1 network " in again and again.endswith(text[text.index("Student, adapted ") :])
    assert kept.read_bytes() == before


def test_stages_that_are_not_finished(scored, tmp_path):
    chosen, workdir, _, _ = scored
    chosen = protocol_examples.config(chosen.data.root, goal=("case_b", "student"))
    with pytest.raises(UserError, match=r"holds no finished stage of this config \(teacher, case_b, student\)"):
        tiny_runs.run(chosen, tmp_path / "empty", "protocols")
    assert "left out, not finished: case_b" in tiny_runs.run(chosen, workdir, "protocols")


def test_a_checkpoint_of_its_own(scored, tmp_path):
    chosen, workdir, folders, _ = scored
    expected = results(workdir)["student"]
    path = folders["student"] / weights.FILE
    chosen = protocol_examples.config(chosen.data.root, **{"eval.checkpoint": str(path)})
    text = tiny_runs.run(chosen, tmp_path, "protocols")
    assert str(path) in text and results(tmp_path) == {"checkpoint": expected}
