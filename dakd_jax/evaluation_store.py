"""Evaluations of finished stages, made once per protocol and kept beside the weights."""

import hashlib
import io
import pathlib

import numpy as np
from rich.console import Console

from dakd_jax import atomic_files, evaluate, metrics, records
from dakd_jax.logs import METRICS, MetricLog, read_rows
from dakd_jax.progress import StageProgress


class Evaluator:
    """Evaluates networks on target val under config.eval.

    Args:
      config: see configs/base.py.
      feed: the data, see data_pipelines/feed.py.
    """

    def __init__(self, config, feed, console: Console):
        self.rules = evaluate.protocol(config.eval.protocol)
        self._config, self._feed, self._console = config, feed, console

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the networks' input."""
        return tuple(self.rules.image_size or self._config.data.target_size)

    def batches(self):
        """One pass over target val."""
        return self._feed.eval_batches(
            image_size=self.image_size,
            label_size=self.rules.label_size,
            resample=self.rules.resample,
            batch_size=self._config.eval.batch_size,
        )

    def picture_names(self) -> tuple[str, ...]:
        """Pictures of the report, spread evenly over target val."""
        names = self._feed.evaluation_names()
        count = min(self._config.eval.pictures, len(names))
        return tuple(names[i * len(names) // count] for i in range(count)) if count else ()

    def score(self, title: str, model, variables: dict) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(confusion int64 [C, C], predictions of picture_names()) of a network, with a progress bar."""
        total, done = len(self._feed.evaluation_names()), 0
        with StageProgress(self._console, f"{title}: evaluation", total, unit="picture") as progress:

            def count(pictures):
                nonlocal done
                done += pictures
                progress.update(done)

            return evaluate.evaluate(
                model,
                variables,
                self.batches(),
                self.rules,
                keep=frozenset(self.picture_names()),
                on_batch=count,
            )

    def _file(self, folder: pathlib.Path) -> pathlib.Path:
        key = {
            "protocol": self._config.eval.protocol,
            "size": self.image_size,
            "pictures": self.picture_names(),
            "data": self._feed.evaluation_fingerprint(),
        }
        return folder / f"evaluation-{self._config.eval.protocol}-{records.hash_json(records.plain(key))[:8]}.npz"

    def done(self, planned) -> bool:
        """Whether a stage is evaluated under these rules."""
        return self._file(planned.folder).exists()

    def ensure(self, planned, model, variables) -> bool:
        """Evaluates a stage unless that is done; True when it had to. `variables` is called only then."""
        if self.done(planned):
            return False
        path = self._file(planned.folder)
        confusion, predictions = self.score(planned.stage.title, model, variables())
        planned.folder.mkdir(parents=True, exist_ok=True)
        self._log(planned, confusion, predictions)
        arrays = {f"prediction/{name}": prediction for name, prediction in predictions.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, confusion=confusion, **arrays)
        content = buffer.getvalue()
        atomic_files.write_bytes(path, content)
        records.write_json(
            path.with_suffix(".json"),
            {
                "protocol": self._config.eval.protocol,
                "image_size": list(self.image_size),
                "hash": planned.hash,
                "npz": hashlib.sha256(content).hexdigest(),
                "scores": metrics.scores(confusion).as_dict(),
            },
        )
        return True

    def _log(self, planned, confusion, predictions) -> None:
        """Ends the stage's curves with its final scores, once: a later protocol leaves them alone."""
        rows, steps = read_rows(planned.folder / METRICS), planned.identity.get("steps")
        if not rows or any(row["kind"] == "eval" and row["step"] == steps for row in rows):
            return
        log = MetricLog(planned.folder, steps)
        log.evaluation(steps, confusion, predictions, self._feed.palette)
        log.close()

    def confusion(self, planned) -> np.ndarray:
        """int64 [C, C] of an evaluated stage; its predictions are left on the disk."""
        with np.load(self._file(planned.folder)) as stored:
            return stored["confusion"]

    def stored(self, planned) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(confusion, predictions) of an evaluated stage."""
        with np.load(self._file(planned.folder)) as stored:
            predictions = {k.removeprefix("prediction/"): stored[k] for k in stored.files if k != "confusion"}
            return stored["confusion"], predictions

    def reference_pictures(self) -> list[tuple]:
        """(name, image, label) of picture_names()."""
        return self._feed.pictures(self.picture_names(), image_size=self.image_size)
