"""Small made-up experiments for the tests of the report."""

import io

import numpy as np
from rich.console import Console

from dakd_jax.studies.kit import result_types

NAMES = ("road", "sky <b>", "car", "train")
PALETTE = np.array([[128, 64, 128], [70, 130, 180], [0, 0, 142], [0, 80, 100]], np.uint8)
ORDER = ["source_only", "student", "student_continued", "teacher", *result_types.CASES, "target_supervised"]


def confusion(percent):
    """Three classes of 10,000 pixels, each with an IoU of about `percent`; the fourth never occurs."""
    right = round(20_000 * percent / (100 + percent))
    counts = np.zeros((4, 4), np.int64)
    for c in range(3):
        counts[c, c] = right
        counts[c, (c + 1) % 3] = 10_000 - right
    return counts


def result(name, percent, **fields):
    """A stage whose mIoU is about `percent`."""
    return result_types.StageResult(name, f"Title of {name}", confusion(percent), **fields)


def experiment(percents=None, **fields):
    """Of the stages with these mIoUs (default: all nine); `fields` override the experiment's own."""
    percents = percents or dict(zip(ORDER, (20, 40, 41, 50, 42, 43, 44, 46, 60), strict=True))
    # Backwards: the report must bring its own order.
    results = [result(name, percent) for name, percent in reversed(percents.items())]
    defaults = {"title": "Toy", "command": "python run.py", "benchmark": "toy", "seed": 0, "results": results}
    return result_types.ExperimentResults(**{**defaults, "class_names": NAMES, "palette": PALETTE, **fields})


def full_experiment():
    """With curves, pictures, predictions, notes and a record."""
    rng = np.random.default_rng(0)
    pictures = [
        result_types.Picture(f"p{i}", rng.integers(0, 255, (6, 12, 3), np.uint8), rng.choice([0, 1, 255], (6, 12)))
        for i in range(5)
    ]
    rows = [{"step": s, "kind": "train", "loss/seg_main": 1 / s, "loss/kl_main": 0.1} for s in range(1, 40)]
    rows += [{"step": s, "kind": "eval", "miou": s / 100, "miou_present": None} for s in (10, 20)]
    fields = {"curves": rows, "info": {"steps": 1200, "minutes": 0.5}}
    fields["predictions"] = {p.name: np.zeros((6, 12), np.uint8) for p in pictures}
    results = [result(name, 40, **fields) for name in ORDER]
    record = {"versions": {"jax": "0.10.2"}, "git": "<abc>"}
    notes = ["A & B <script>alert(1)</script>"]
    return experiment(results=results, pictures=pictures, record=record, notes=notes)


def printed(table, width=100):
    """What a terminal of this width shows."""
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()
