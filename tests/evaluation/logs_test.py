"""metrics.jsonl across kills, and what TensorBoard can read."""

import json

import numpy as np
import pytest
import tiny_runs

from dakd_jax.evaluation.logs import MetricLog, read_rows


def log(folder, start, steps):
    made = MetricLog(folder, start)
    for step in steps:
        made.row(step, "train", {"loss/x": float(step)})
    made.close()


def steps_in(folder):
    return [row["step"] for row in read_rows(folder / "metrics.jsonl")]


def test_rows_after_the_checkpoint_are_dropped_when_a_run_goes_on(tmp_path):
    log(tmp_path, 0, range(1, 8))
    log(tmp_path, 4, range(5, 7))
    assert steps_in(tmp_path) == [1, 2, 3, 4, 5, 6]
    log(tmp_path, 0, ())
    assert steps_in(tmp_path) == []


@pytest.mark.parametrize("torn", ['{"step": 3, "kind"', "nan", "[3]", '{"kind": "train"}'])
def test_half_a_line_at_the_end_is_dropped(tmp_path, torn):
    log(tmp_path, 0, (1, 2))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    assert steps_in(tmp_path) == [1, 2]
    log(tmp_path, 2, (3,))
    assert steps_in(tmp_path) == [1, 2, 3]
    assert (tmp_path / "metrics.jsonl").read_text().endswith("\n")


def test_no_file_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "metrics.jsonl") == []


def test_rows_are_on_disk_at_once(tmp_path):
    made = MetricLog(tmp_path, 0)
    made.row(1, "eval", {"miou": 0.5, "miou_present": None})
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [
        {"step": 1, "kind": "eval", "miou": 0.5, "miou_present": None}
    ]
    made.close()


def events(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    found.Reload()
    return found


TERMS = {
    "source": ("seg_main", "seg_auxiliary"),
    "target": ("adversarial_main", "adversarial_auxiliary"),
    "discriminator": ("source_main", "source_auxiliary", "target_main", "target_auxiliary"),
}
DISTILLATION = ("kl_main", "kl_auxiliary", "mse_auxiliary", "quasi_ce_main")


def test_tensorboard_reads_every_loss_rate_and_picture(chain):
    folder = tiny_runs.stage_folder(chain[0], "case_d")
    found = events(folder)
    expected = {f"train/loss/{domain}/{term}" for domain, terms in TERMS.items() for term in terms}
    expected |= {f"train/loss/target/{term}" for term in DISTILLATION}  # of source pictures the teacher is not asked
    expected |= {f"train/loss/{domain}/total" for domain in ("source", "target")}
    expected |= {
        f"train/{x}" for x in ("learning_rate", "discriminator_learning_rate", "images_per_second", "data_wait_percent")
    }
    owners = ("segmenter", "discriminator_main", "discriminator_auxiliary")
    expected |= {f"train/norm/{of}/{owner}" for of in ("gradient", "parameters") for owner in owners}
    expected |= {f"eval/{x}" for x in ("miou", "miou_present", "pixel_accuracy", "mean_class_accuracy")}
    assert set(found.Tags()["scalars"]) == expected
    rows = [row for row in read_rows(folder / "metrics.jsonl") if row["kind"] == "train"]
    for tag in ("loss/source/seg_main", "learning_rate"):
        curve = found.Scalars(f"train/{tag}")
        assert [e.step for e in curve] == [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
        np.testing.assert_allclose([e.value for e in curve], [row[tag] for row in rows], rtol=1e-6)
    pictures = [tag for tag in found.Tags()["images"] if tag.startswith("predictions/")]
    assert len(pictures) == 3
    shown = [(picture.width, picture.height, picture.step) for picture in found.Images(pictures[0])]
    assert shown == [(64, 48, 3), (64, 48, 6)]


@pytest.mark.parametrize(
    ("case", "asked"), [("case_a", {"source"}), ("case_b", {"target"}), ("case_c", {"source", "target"})]
)
def test_distillation_is_logged_where_the_teacher_is_asked(chain, case, asked):
    rows = read_rows(tiny_runs.stage_folder(chain[0], case) / "metrics.jsonl")
    logged = {domain for row in rows for domain in ("source", "target") if f"loss/{domain}/kl_main" in row}
    assert logged == asked


def test_learning_rates_decay_as_configured(chain):
    rows = read_rows(tiny_runs.stage_folder(chain[0], "student") / "metrics.jsonl")
    rates = [row["learning_rate"] for row in rows if row["kind"] == "train"]
    np.testing.assert_allclose(rates, 1e-2 * (1 - np.arange(6) / 6) ** 0.9, rtol=1e-5)


def test_a_run_that_goes_on_has_one_value_for_each_step_in_tensorboard(tmp_path):
    log(tmp_path, 0, range(1, 6))
    log(tmp_path, 3, range(4, 7))
    assert [e.step for e in events(tmp_path).Scalars("train/loss/x")] == [1, 2, 3, 4, 5, 6]
