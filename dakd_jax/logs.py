"""metrics.jsonl and TensorBoard: the numbers of a stage as they come."""

import json
import os
import pathlib

import numpy as np
from tensorboardX import SummaryWriter


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
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start_step + 1)

    def row(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Adds one row."""
        self._file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if value is not None:
                self._board.add_scalar(f"{kind}/{name}", value, step)

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
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows
