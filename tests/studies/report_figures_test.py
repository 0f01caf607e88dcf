"""Figures: what they plot, in which order, and what they leave out."""

import dataclasses
import io

import numpy as np
import report_examples
from PIL import Image

from dakd_jax.basics import palette
from dakd_jax.studies.experiment import curves, figures
from dakd_jax.studies.kit import result_types, style


def test_curve_drops_missing_and_infinite_values():
    rows = [{"step": 1, "kind": "train", "x": np.nan}, {"step": 2, "kind": "train", "x": 3.0}]
    rows += [
        {"step": 3, "kind": "eval", "x": 4.0},
        {"step": 4, "kind": "train", "x": None},
        {"step": 5, "kind": "train"},
    ]
    steps, values = curves.curve(rows, "x", "train")
    assert (steps.tolist(), values.tolist()) == ([2.0], [3.0])
    assert curves.curve([], "x", "train")[0].shape == (0,)


def test_losses_are_grouped():
    terms = ["source/seg_main", "source/kl_auxiliary", "target/adversarial_main", "target/quasi_ce_main"]
    terms += ["target/mse_auxiliary", "discriminator/source_main", "total"]
    row = {"step": 1, "kind": "train", **{f"loss/{term}": 1.0 for term in terms}, "learning_rate": 0.1}
    experiment = report_examples.experiment(results=[report_examples.result("student", 1, curves=[row])])
    assert curves.loss_groups(experiment) == {
        "segmentation": ["loss/source/seg_main"],
        "adversarial": ["loss/target/adversarial_main"],
        "discriminator": ["loss/discriminator/source_main"],
        "distillation": [f"loss/{terms[i]}" for i in (1, 4, 3)],
        "other": ["loss/total"],
    }
    titles = [axis.get_title() for axis in curves.loss_curves(experiment).axes if axis.get_visible()]
    assert titles == [
        "segmentation: source, seg main",
        "adversarial: target, adversarial main",
        "discriminator: source main",
        "distillation: source, kl auxiliary",
        "distillation: target, mse auxiliary",
        "distillation: target, quasi ce main",
        "other: total",
    ]


def test_smooth_is_the_plain_running_mean():
    values = np.random.default_rng(0).normal(size=9)
    expected = [values[max(0, i - 2) : i + 3].mean() for i in range(9)]
    np.testing.assert_allclose(curves.smooth(values, 2), expected, rtol=1e-12)


def test_curves_of_nothing_are_none():
    assert curves.loss_curves(report_examples.experiment()) is None
    assert curves.validation_curves(report_examples.experiment()) is None


def test_validation_curves_plot_per_cent():
    (axis,) = curves.validation_curves(report_examples.full_experiment()).axes
    assert [line.get_label() for line in axis.lines] == list(result_types.SHORT_NAMES.values())
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [10, 20])


def test_bars_leave_out_absent_classes():
    (axis,) = figures.class_iou_bars(report_examples.experiment()).axes
    assert [tick.get_text() for tick in axis.get_xticklabels()] == list(report_examples.NAMES[:3])
    assert len(axis.patches) == 3 * len(report_examples.ORDER)


def test_confusion_figure_normalises_rows_and_survives_emptiness():
    confusion = np.array([[30, 10, 0, 0], [0, 0, 0, 0], [0, 5, 5, 0], [0, 0, 0, 0]])
    axis = figures.confusion_figure(result_types.StageResult("x", "X", confusion), report_examples.NAMES).axes[0]
    shares = np.ma.filled(axis.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shares, [[75, 25, 0], [np.nan] * 3, [0, 50, 50]])
    assert [text.get_text() for text in axis.texts] == ["75", "25", "50", "50"]
    empty = figures.confusion_figure(result_types.StageResult("x", "X", 0 * confusion), report_examples.NAMES)
    assert empty.axes[0].texts[0].get_text() == "nothing was counted"


def test_picture_grid_has_the_order_of_the_supplement():
    experiment = report_examples.full_experiment()
    figure = figures.picture_grid(experiment, experiment.pictures[:2])
    names = [axis.get_ylabel() for axis in figure.axes[::2]]
    expected = "image|ground truth|source only|teacher|student|continued|(a)|(b)|(c)|(d)|supervised"
    assert names == expected.split("|")
    truth = figure.axes[2].images[0].get_array()
    np.testing.assert_array_equal(truth, palette.colourise(experiment.pictures[0].label, report_examples.PALETTE))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["road", "sky <b>", "ignored"]  # only what is seen


def test_picture_grid_leaves_missing_predictions_empty():
    experiment = report_examples.full_experiment()
    experiment = dataclasses.replace(
        experiment,
        results=[
            report_examples.result("student", 1, predictions={"p0": np.zeros((6, 12), np.uint8)}),
            report_examples.result("teacher", 1),
        ],
    )
    figure = figures.picture_grid(experiment, experiment.pictures[:2])
    assert [len(axis.images) for axis in figure.axes] == [1, 1, 1, 1, 1, 0]


def test_png_bytes_are_a_png_and_repeatable():
    first, second = (style.png_bytes(figures.class_iou_bars(report_examples.experiment())) for _ in range(2))
    assert first == second
    assert Image.open(io.BytesIO(first)).format == "PNG"
