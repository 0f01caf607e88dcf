"""Does the teacher lead?  python -m benchmarks.teacher_lead --runs=WORKDIR,WORKDIR prints JSON, a row for each seed.

Of every finished run below a workdir: mIoU in per cent on target val of its networks, as the run scored them, of the
teacher as it teaches (config.teacher.views, at the size that it sees), and by how many points that leads the student
that is not distilled: the adapted one, or where none was trained the one of the source only. `metric` is
config.eval.metric.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from absl import flags
from rich.console import Console

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import metrics
from dakd_jax.models import resizing
from dakd_jax.notebook import config_of
from dakd_jax.stages import settings
from dakd_jax.stages.experiment import Experiment
from dakd_jax.training import teaching
from dakd_jax.training.step.passes import outputs_of
from data_pipelines.doctor import command_line
from data_pipelines.feeding.feed import Feed


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list("runs", [], "Workdirs.", flag_values=values)


def run(values: flags.FlagValues, console) -> None:
    """Scores and prints the JSON."""
    runs = [run for workdir in values.runs for run in _experiments(Path(workdir))]
    if not runs:
        raise UserError("--runs: name workdirs that hold a finished teacher and a finished case")
    print(json.dumps({"rows": [row(experiment) for experiment in runs]}, indent=1))


def _experiments(workdir: Path):
    """One for each seed and config whose distilled stage is finished there."""
    found = {}
    for file in sorted(workdir.glob("stages/case_*/record.json")):
        if (records.read_json(file) or {}).get("status") == "finished":
            config = config_of(file.parent)
            found[json.dumps(records.plain(config), sort_keys=True)] = config
    for config in found.values():
        experiment = Experiment(config, Feed(config.data), workdir, Console(file=sys.stderr))
        if all(planned.finished for planned in experiment.plan.values()):
            yield experiment


def row(experiment) -> dict:
    """The scores of one run."""
    config, metric = experiment.config, experiment.config.eval.metric

    def percent(confusion) -> float:
        return round(100 * getattr(metrics.scores(confusion), metric), 2)

    scores = {name: percent(experiment.evaluator.confusion(planned)) for name, planned in experiment.plan.items()}
    taught = percent(as_it_teaches(experiment))
    led = next((name for name in ("student", "source_only") if name in scores), None)
    return {
        "title": config.title,
        "seed": config.seed,
        "metric": metric,
        "scores": scores,
        "teacher_as_it_teaches": taught,
        "lead": round(taught - scores[led], 2) if led else None,
        "lead_over": led,
        "learning_rate": config.optim.learning_rate,
        "steps": [config.train.steps, config.train.teacher_steps],
        "views": records.plain(config.teacher.views),
        "hashes": {name: planned.hash[:10] for name, planned in experiment.plan.items()},
    }


def answering(experiment) -> Callable[[np.ndarray], jax.Array]:
    """Pictures uint8 [B, h, w, 3] to the teacher's log-probabilities [B, H, W, C] at the size of the student's."""
    config, classes = experiment.config, len(experiment.feed.class_names)
    model, variables = settings.segmenter(config.teacher, classes), experiment.variables("teacher")
    width, height = config.data.target_size

    def once(pictures):
        return outputs_of(model, variables, pictures, config.teacher.statistics)[0]

    views = settings.teacher_views(config)
    return jax.jit(lambda pictures: teaching.answers(once, pictures, (height, width), views).log_probs["main"])


def as_it_teaches(experiment) -> np.ndarray:
    """int64 [C, C] of the teacher's answers on target val, at the labels' own size."""
    classes = len(experiment.feed.class_names)
    answer = answering(experiment)
    found = np.zeros((classes, classes), np.int64)
    for batch in experiment.evaluator.of("teacher").batches():
        labels = batch["label"]
        said = np.asarray(resizing.resize_half_pixel(answer(batch["image"]), labels.shape[1:]).argmax(-1))
        known = (labels < classes) & batch["mask"][:, None, None]
        np.add.at(found, (labels[known], said[known]), 1)
    return found


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
