"""metrics.jsonl and TensorBoard: the numbers of a stage as they come."""

import json
import os
import pathlib

import numpy as np
from tensorboardX import SummaryWriter

from dakd_jax import metrics
from dakd_jax.report import colourise

SUMMARY = ("miou", "miou_present", "pixel_accuracy", "mean_class_accuracy")


class MetricLog:
    """Rows of {"step": n, "kind": "train" | "eval", name: number} in metrics.jsonl, and the same in TensorBoard.

    A stage that is resumed at step n continues the files: rows after n, which the killed run wrote and this one
    writes again, are dropped first, and half a line at the end as well.
    """

    def __init__(self, folder: pathlib.Path, start_step: int):
        self._path = folder / "metrics.jsonl"
        kept = [row for row in read_rows(self._path) if row["step"] <= start_step]
        temporary = self._path.with_name(".metrics.jsonl.tmp")
        temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))
        os.replace(temporary, self._path)
        self._file = self._path.open("a")
        # The suffix keeps two starts within a second apart.
        self._board = SummaryWriter(
            str(folder / "tensorboard"), purge_step=start_step + 1, filename_suffix=f".{start_step:09d}"
        )

    def row(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Adds one row."""
        self._file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if value is not None:
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def evaluation(self, step: int, confusion: np.ndarray, predictions: dict, palette: np.ndarray) -> None:
        """Adds an 'eval' row of summary scores, and predictions {name: uint8 [H, W]} in the palette's colours."""
        scores = metrics.scores(confusion).as_dict()
        self.row(step, "eval", {name: scores[name] for name in SUMMARY})
        for name, prediction in predictions.items():
            self.picture(step, f"predictions/{name}", colourise(prediction, palette))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Adds a uint8 [H, W, 3] picture to TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes both."""
        self._file.close()
        self._board.close()


def read_rows(path: pathlib.Path) -> list[dict]:
    """Rows of a metrics.jsonl; a torn last line is left out."""
    rows = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                break
            if not (isinstance(row, dict) and "step" in row):
                break
            rows.append(row)
    return rows
