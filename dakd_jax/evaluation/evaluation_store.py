"""Evaluations of finished stages, made once and kept beside the weights, under all that they depend on."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from rich.console import Console

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.basics.kept_arrays import Kept
from dakd_jax.basics.progress import StageProgress
from dakd_jax.evaluation import metrics, predict
from dakd_jax.evaluation.logs import METRICS, MetricLog, read_rows
from dakd_jax.objectives.training_data import TrainingData

CONFUSION = "confusion"
OF = "of"  # in the JSON file: all that the evaluation depends on; earlier releases did not say it
_PREDICTION = "prediction/"


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """How networks are evaluated on target val.

    Attributes:
      protocol: one of predict.PROTOCOLS.
      batch_size: pictures in a batch.
      pictures: how many the report shows.
      training_size: (width, height) of the target's training pictures, the networks' input unless the protocol says
        another.
    """

    protocol: str
    batch_size: int
    pictures: int
    training_size: tuple[int, int]


class Evaluator:
    """Evaluates networks on target val.

    Args:
      settings: how.
      feed: the data.
      teacher_size: training_size of the teacher, where that is another; see `of`.
      among: () -> who makes a pass over the pictures, see predict.Alone.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        feed: TrainingData,
        console: Console,
        teacher_size: tuple[int, int] | None = None,
        among: Callable[[], predict.Alone] = lambda: predict.ALONE,
    ):
        self.rules = predict.protocol(settings.protocol)
        self.settings, self._feed, self._console, self._among = settings, feed, console, among
        self._read: dict[tuple, np.ndarray] = {}
        self._of_teacher = self
        if teacher_size not in (None, settings.training_size):
            of_teacher = dataclasses.replace(settings, training_size=teacher_size)
            self._of_teacher = Evaluator(of_teacher, feed, console, among=among)

    def of(self, network: str) -> "Evaluator":
        """The one of 'student', which this is, or of 'teacher', which may see pictures at a size of its own."""
        return self._of_teacher if network == "teacher" else self

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the networks' input."""
        return tuple(self.rules.image_size or self.settings.training_size)

    def batches(self):
        """One pass over target val, this process's part of it."""
        return self._feed.eval_batches(
            image_size=self.image_size,
            label_size=self.rules.label_size,
            resample=self.rules.resample,
            batch_size=self.settings.batch_size,
            host=self._among().host,
        )

    def picture_names(self) -> tuple[str, ...]:
        """Pictures of the report, spread evenly over target val."""
        names = self._feed.evaluation_names()
        count = min(self.settings.pictures, len(names))
        return tuple(names[i * len(names) // count] for i in range(count)) if count else ()

    def score(self, title: str, model, variables: dict) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(confusion int64 [C, C], predictions of picture_names()) of a network, with a progress bar."""
        among, keep = self._among(), frozenset(self.picture_names())
        total = -(-len(self._feed.evaluation_names()) // among.host[1])
        with StageProgress(self._console, f"{title}: evaluation", total, unit="picture") as progress:
            how = {"among": among, "keep": keep, "on_batch": progress.advance}
            return predict.evaluate(model, variables, self.batches(), self.rules, **how)

    @functools.cached_property
    def identity(self) -> dict:
        """All that predictions of target val depend on but the network: a protocol's rules, not its name."""
        return records.plain(
            {
                "numerics": predict.NUMERICS_VERSION,
                "rules": dataclasses.asdict(self.rules),
                "size": self.image_size,
                "classes": len(self._feed.class_names),
                "data": self._feed.evaluation_fingerprint(),
            }
        )

    def _kept(self, planned) -> Kept:
        of = self.of(planned.stage.network).identity | {"pictures": list(self.picture_names()), "network": planned.hash}
        return Kept.named(planned.folder, f"evaluation-{self.settings.protocol}", of)

    def _counted(self, kept: Kept) -> np.ndarray | None:
        """int64 [C, C] of a stage that is evaluated; its file is read through once, and again when it was written."""
        try:
            status = kept.path.stat()
        except FileNotFoundError:
            return None
        file = (kept.path, status.st_size, status.st_mtime_ns)
        if file not in self._read:
            if (arrays := kept.read()) is None:
                return None
            self._read[file] = arrays[CONFUSION]
        return self._read[file]

    def _about(self, kept: Kept, confusion: np.ndarray) -> dict:
        """What the JSON file says, derived from the arrays."""
        return {
            "protocol": self.settings.protocol,
            "image_size": kept.of["size"],
            "hash": kept.of["network"],
            OF: kept.of,
            "scores": records.plain(metrics.scores(confusion).as_dict()),
        }

    def done(self, planned) -> bool:
        """Whether a stage is evaluated under these rules, and both files are whole."""
        confusion = self._counted(kept := self._kept(planned))
        return confusion is not None and kept.tells(self._about(kept, confusion))

    def ensure(self, planned, model, variables) -> bool:
        """Evaluates a stage unless that is done; True when it had to. `variables` is called only then."""
        confusion = self._counted(kept := self._kept(planned))
        if missing := confusion is None:
            confusion, predictions = self.of(planned.stage.network).score(planned.stage.title, model, variables())
            self._log(planned, confusion, predictions)
            arrays = {f"{_PREDICTION}{name}": prediction for name, prediction in predictions.items()}
            kept.write({CONFUSION: confusion, **arrays})
        kept.tell(self._about(kept, confusion))
        return missing

    def _log(self, planned, confusion, predictions) -> None:
        """Ends the stage's curves with its final scores, once: a later protocol leaves them alone."""
        rows, steps = read_rows(planned.folder / METRICS), planned.identity.get("steps")
        if not rows or any(row["kind"] == "eval" and row["step"] == steps for row in rows):
            return
        log = MetricLog(planned.folder, steps)
        log.evaluation(steps, confusion, predictions, self._feed.palette)
        log.close()

    def confusion(self, planned) -> np.ndarray:
        """int64 [C, C] of an evaluated stage.

        Raises:
          UserError: the file is not there, or damaged since.
        """
        if (confusion := self._counted(kept := self._kept(planned))) is None:
            raise _lost(kept)
        return confusion.copy()

    def stored(self, planned) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(confusion, predictions) of an evaluated stage; raises as `confusion`."""
        if (arrays := (kept := self._kept(planned)).read()) is None:
            raise _lost(kept)
        confusion = arrays.pop(CONFUSION)
        return confusion, {name.removeprefix(_PREDICTION): array for name, array in arrays.items()}

    def reference_pictures(self) -> list[tuple]:
        """(name, image, label) of picture_names()."""
        return self._feed.pictures(self.picture_names(), image_size=self.image_size)


def _lost(kept: Kept) -> UserError:
    return UserError(f"{kept.path} is not there or damaged: the command that trains this stage makes it anew")
