"""What can be known before the first step: files that do not fit, a disk without room, and how long it should take."""

import contextlib
import functools
import os
import pathlib
import shutil
import statistics
from collections.abc import Iterable

import jax
from ml_collections import ConfigDict

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.basics.progress import duration
from dakd_jax.models.backbones import BACKBONES
from dakd_jax.models.segmenter import Segmenter, blank_segmenter
from dakd_jax.objectives import options, paradigms
from dakd_jax.stages import older_configs, settings, weights
from dakd_jax.training.step import step_setup

GB = 1e9
_SPARE = 1.02  # names, metadata and metrics beside the tensors
NETWORK_SPEED = ("arch", "width", "auxiliary_tap", "main_tap", "output_stride")  # fields that a step's time depends on
DATA_SPEED = ("source_size", "target_size", "teacher_size", "crop", "batch_size")


def check_files(config: ConfigDict, planned: Iterable, num_classes: int) -> None:
    """Opens every file of weights that the stages to come start from or are replaced by, and compares it.

    Args:
      planned: stages.PlannedStage of the plan.

    Raises:
      UserError: a file that is none, is cut, holds values that are not finite, or is of another network.
    """
    for one in planned:
        network = config[one.stage.network]
        model = settings.segmenter(network, num_classes)
        if one.replaced_by:
            _open(one.replaced_by, weights.hash_file(one.replaced_by), model, whole=True)
        elif network.pretrained and not one.stage.start and not one.finished:
            file = weights.trunk_file(network)
            _open(file, weights.hash_file(file), model, whole=False)


@functools.cache
def _open(path: str, content_hash: str, model: Segmenter, *, whole: bool) -> None:
    """Reads a file once for all stages and rows that name it; a bare trunk will do unless `whole`."""
    if whole:
        weights.load(path, model)
    else:
        weights.read_start(path, model, blank_segmenter(model))


def check_plugins(config: ConfigDict, planned: Iterable, num_classes: int) -> None:
    """Whether what plugins bring goes through a step of the stages to come. Raises UserError."""
    for stage in planned:
        if stage.identity.get("plugins") and not stage.finished:
            step_setup.trace(settings.stage_settings(config, stage.stage, num_classes))


def check_disk(config: ConfigDict, planned: Iterable, workdir: pathlib.Path, num_classes: int) -> None:
    """Whether the disk has room for the checkpoints and weights to come.

    Raises:
      UserError: it has not, or the folder cannot be written.
    """
    # os.path's answers: False, and no exception, for what may not be looked at.
    there = next(folder for folder in (workdir.absolute(), *workdir.absolute().parents) if os.path.exists(folder))
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to {there}; allow writing, or choose another --workdir")
    needed = bytes_to_come(config, planned, num_classes)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise UserError(
            f"{workdir} needs about {needed / GB:,.1f} GB for checkpoints and weights, and its disk has "
            f"{free / GB:,.1f} GB free; make room, choose another --workdir, or lower --config.train.keep_checkpoints "
            "(or raise --config.train.keep_every)"
        )


def bytes_to_come(config: ConfigDict, planned: Iterable, num_classes: int) -> int:
    """What the checkpoints and weights of the stages to come will take."""
    return sum(_bytes_to_come(config, one, num_classes) for one in planned if not one.finished)


def _bytes_to_come(config: ConfigDict, one, num_classes: int) -> int:
    """Of one stage: the checkpoints that are kept, the one being written, and the files of finished weights."""
    chosen = settings.stage_settings(config, one.stage, num_classes)
    state = step_setup.blank(chosen)
    sizes = {
        name: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
        for name, tree in {"state": state, "weights": (state.params, state.batch_stats)}.items()
    }
    train, often = config.train, chosen.steps // config.train.checkpoint_every
    kept = min(train.keep_checkpoints, often + 1) + bool(one.identity.get("selection")) + 1
    kept += chosen.steps // train.keep_every if train.keep_every else 0
    there = sum(file.stat().st_size for file in (one.folder / "checkpoints").glob("[0-9]*/**/*") if file.is_file())
    return max(0, int(_SPARE * (kept * sizes["state"] + len(weights.FILES) * sizes["weights"])) - there)


def better_start(config: ConfigDict, network: str) -> str:
    """For people: what a network that starts from random weights could start from."""
    arch = config[network].arch
    if BACKBONES[arch].published.find_imagenet:
        return f"the {network} starts from random weights: --config.{network}.pretrained=imagenet, see docs/weights.md"
    width = f"{config[network].width:g}"
    run = f"runs/pretrain_{arch}_x{width}"
    return (
        f"the {network} starts from random weights: train a trunk of its own with --config=configs/pretrain.py "
        f"--config.student.arch={arch} --config.student.width={width} --workdir={run}, then "
        f"--config.{network}.pretrained={run}#source_only"
    )


class Durations:
    """How long stages should take, from the records of finished ones of this machine.

    Args:
      workdir: its stages are looked at, and those of the folders beside it.
    """

    def __init__(self, workdir: pathlib.Path):
        here, self._step_seconds = records.hardware(), {}
        for file in sorted({*workdir.glob("stages/*/record.json"), *workdir.parent.glob("*/stages/*/record.json")}):
            with contextlib.suppress(OSError, KeyError, TypeError, AttributeError):  # not as this release writes it
                record = records.read_json(file) or {}
                if record.get("status") == "finished" and record.get("hardware") == here:
                    self._note(record)

    def _note(self, record: dict) -> None:
        timing, stage = record["timing"], paradigms.STAGES[record["stage"]]
        steps = record["identity"]["steps"] - timing.get("resumed_at_step", 0)
        if steps > 0:
            seconds = 60 * timing["process_minutes"] / steps
            self._step_seconds.setdefault(_kind(record["config"], stage), []).append(seconds)

    def seconds(self, config: ConfigDict, stage: paradigms.Stage, steps: int) -> float | None:
        """Of so many steps, evaluations and compilation included; None where no such stage was trained here."""
        known = self._step_seconds.get(_kind(records.plain(config), stage))
        return steps * statistics.median(known) if known else None


def _kind(config: dict, stage: paradigms.Stage) -> str:
    """What stages have in common whose steps take as long, as text."""
    config = older_configs.modernise(config)
    names = (stage.network, *["teacher"] * stage.distils)
    networks = [weights.network_fields(config[name]) for name in names]
    return records.hash_json(
        {
            "networks": [[network[field] for field in NETWORK_SPEED] for network in networks],
            "discriminator": config["discriminator"],
            "methods": list(options.chosen(config, distils=stage.distils)),
            "data": [config["data"].get(field) for field in DATA_SPEED],
            "precision": config["train"].get("precision"),
            "stage": [stage.adapt, stage.distil_source, stage.distil_target],
            "views": config["teacher"]["views"],
        }
    )


def whole_run(seconds: dict[str, float | None]) -> str:
    """One line on the stages to come; '' when there are none.

    Args:
      seconds: by stage, None where nothing is known of such a one.
    """
    known = [value for value in seconds.values() if value is not None]
    unknown = [name for name, value in seconds.items() if value is None]
    if not seconds:
        return ""
    if not known:
        return "How long it should take: not measured here; each stage says it after its first steps."
    total = f"It should take about {duration(sum(known))}, by earlier stages of this machine"
    return f"{total}; not measured here: {', '.join(unknown)}." if unknown else f"{total}."
