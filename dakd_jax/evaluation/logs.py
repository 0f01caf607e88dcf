"""metrics.jsonl and TensorBoard: the numbers of a stage as they come."""

import json
import pathlib

import numpy as np

from dakd_jax.basics import atomic_files
from dakd_jax.basics.palette import colourise
from dakd_jax.evaluation import metrics

METRICS = "metrics.jsonl"
SUMMARY = ("miou", "miou_present", "pixel_accuracy", "mean_class_accuracy")


class MetricLog:
    """Rows of {"step": n, "kind": "train" | "eval", name: number} in metrics.jsonl, and the same in TensorBoard.

    A stage that is resumed at step n continues the files: rows after n, which the killed run wrote and this one
    writes again, are dropped first, and half a line at the end as well.
    """

    def __init__(self, folder: pathlib.Path, start_step: int):
        self._path = folder / METRICS
        kept = [row for row in read_rows(self._path) if row["step"] <= start_step]
        atomic_files.write_bytes(self._path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self._file = self._path.open("a")
        from dakd_jax.evaluation.event_files import EventFile  # brings torch along, where that is installed

        self._board = EventFile(folder / "tensorboard", start_step)

    def row(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Adds one row."""
        self._file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if value is not None:
                self._board.scalar(step, f"{kind}/{name}", value)
        self._board.flush()

    def evaluation(self, step: int, confusion: np.ndarray, predictions: dict, palette: np.ndarray, more=None) -> None:
        """Adds an 'eval' row of summary scores, and predictions {name: uint8 [H, W]} in the palette's colours.

        `more`: {name: number} that the row holds besides.
        """
        scores = metrics.scores(confusion).as_dict()
        self.row(step, "eval", {name: scores[name] for name in SUMMARY} | (more or {}))
        for name, prediction in predictions.items():
            self._board.picture(step, f"predictions/{name}", colourise(prediction, palette))

    def close(self) -> None:
        """Flushes both."""
        self._file.close()
        self._board.close()


def read_rows(path: pathlib.Path) -> list[dict]:
    """Rows of a metrics.jsonl up to the first line that is none: a torn one at the end, or garbage."""
    rows = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        if (row := read_row(line)) is None:
            break
        rows.append(row)
    return rows


def read_row(line: bytes) -> dict | None:
    """A row of a metrics.jsonl, None where the line is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # no JSON or no UTF-8, a number of thousands of digits; brackets without end
        return None
    is_row = isinstance(row, dict) and type(row.get("step")) is int and isinstance(row.get("kind"), str)
    return row if is_row else None
