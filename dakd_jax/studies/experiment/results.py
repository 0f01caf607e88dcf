"""From finished stages to the report's input."""

from collections.abc import Sequence

import numpy as np
import rich.table

from dakd_jax.basics import records
from dakd_jax.evaluation import metrics
from dakd_jax.evaluation.checkpoint_choice import SOURCE
from dakd_jax.evaluation.logs import METRICS, read_rows
from dakd_jax.models.weight_files import pretrained
from dakd_jax.stages.settings import teacher_views
from dakd_jax.stages.weights import start_text
from dakd_jax.studies.kit import paper_numbers
from dakd_jax.studies.kit.result_types import ExperimentResults, Picture, StageResult


def collect(experiment, name: str, command: str) -> ExperimentResults:
    """Everything that the report of a finished stages.Experiment shows.

    Args:
      name: of the config file.
      command: that makes the same again.
    """
    config, feed = experiment.config, experiment.feed
    return ExperimentResults(
        title=config.title or f"{name}: {feed.benchmark}",
        command=command,
        benchmark=feed.benchmark,
        seed=config.seed,
        class_names=feed.class_names,
        palette=feed.palette,
        results=[_stage_result(experiment, planned) for planned in experiment.plan.values()],
        pictures=[Picture(*found) for found in experiment.evaluator.reference_pictures()],
        paper=paper_numbers.for_benchmark(feed.benchmark),
        notes=_notes(experiment),
        record=records.environment() | _made_of(experiment),
        metric=config.eval.metric,
    )


def identity(experiment) -> dict:
    """What a report of a finished stages.Experiment shows, as plain data."""
    return _made_of(experiment) | {"evaluation": experiment.evaluator.identity}


def _made_of(experiment) -> dict:
    stages = {name: planned.hash for name, planned in experiment.plan.items()}
    return {"config": records.plain(experiment.config), "stages": stages}


def _stage_result(experiment, planned) -> StageResult:
    confusion, predictions = experiment.evaluator.stored(planned)
    record = records.read_json(planned.folder / "record.json") or {}
    variables = pretrained.to_state_dict({"params": experiment.variables(planned.name)["params"]})
    network = experiment.config[planned.stage.network]
    info = {
        "network": f"{network.arch} x{network.width:g}",
        "parameters": sum(array.size for array in variables.values()),
        "steps": record.get("identity", {}).get("steps"),
        "skipped_steps": record.get("skipped_steps"),
        "starts from": planned.replaced_by or record.get("starts_from"),
        **record.get("timing", {}),
    }
    return StageResult(
        name=planned.name,
        title=planned.stage.title,
        confusion=confusion,
        curves=read_rows(planned.folder / METRICS),
        predictions=predictions,
        info={key: value for key, value in info.items() if value is not None},
        weights_of_step=record.get("weights_of_step"),
    )


def _notes(experiment) -> list[str]:
    student, teacher = start_text(experiment.config.student), start_text(experiment.config.teacher)
    protocol = experiment.evaluator.settings.protocol
    notes = [
        f"The student starts from {student}, the teacher from {teacher}.",
        f"Evaluated on target val under the protocol '{protocol}'. {_which_checkpoint(experiment)}",
    ]
    views = experiment.config.teacher.views
    taught = any(planned.stage.distils and not planned.replaced_by for planned in experiment.plan.values())
    if taught and not teacher_views(experiment.config).plain:
        scales = ", ".join(f"{scale:g}" for scale in views.scales)
        notes.append(
            f"The teacher teaches the mean of what it says of a picture at the scales {scales}"
            f"{' and of their mirror images' if views.mirror else ''}; its score is that of the picture alone."
        )
    if any(size := tuple(experiment.config.data.teacher_size)):
        notes.append(f"The teacher sees pictures of {size[0]}x{size[1]}, and is scored on such.")
    labelled = experiment.evaluator.confusion(next(iter(experiment.plan.values()))).sum(axis=1)
    empty = [name for name, pixels in zip(experiment.feed.class_names, labelled, strict=True) if not pixels]
    if empty:
        notes.append(f"Classes that never occur in the labels of target val: {', '.join(empty)}.")
    return notes


def _which_checkpoint(experiment) -> str:
    if not any(planned.identity.get("selection") for planned in experiment.plan.values()):
        return "The last checkpoint of each stage counts."
    criterion, source = experiment.config.train.select, experiment.feed.source_split
    unlabelled = f"{criterion} on unlabelled target pictures, where the stage sees them, and "
    return (
        "Of each stage's checkpoints the one counts that is best without any label of the target: by "
        f"{'' if criterion == SOURCE else unlabelled}mIoU on source {source} (docs/METHOD.md)."
    )


def one_line(confusion) -> str:
    """The summary scores of a confusion matrix in per cent, or that it has counted nothing."""
    if not confusion.any():
        return metrics.NOTHING_TO_SCORE
    scores = metrics.scores(confusion)
    return (
        f"mIoU {100 * scores.miou:.2f}  of present classes {100 * scores.miou_present:.2f}  "
        f"pixel accuracy {100 * scores.pixel_accuracy:.2f}  mean class accuracy {100 * scores.mean_class_accuracy:.2f}"
    )


def single_table(protocol: str, class_names: Sequence[str], confusion: np.ndarray) -> rich.table.Table:
    """A rich table of the classes of one network."""
    scores = metrics.scores(confusion)
    table = rich.table.Table("class", "IoU %", title=f"Target val, protocol '{protocol}'")
    for name, iou in zip(class_names, scores.iou, strict=True):
        table.add_row(name, "-" if np.isnan(iou) else f"{100 * iou:.2f}")
    return table
