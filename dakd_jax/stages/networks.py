"""Which finished networks a command is about: those of the plan, or one checkpoint."""

import dataclasses
import pathlib
from collections.abc import Callable

from ml_collections import ConfigDict
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages import settings, weights
from dakd_jax.stages.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Network:
    """A finished network.

    Attributes:
      name, title: of its stage; 'checkpoint' and its path.
      folder: where what is found of it is kept.
      hash: of its stage's identity, or weights.file_identity.
      model: the architecture.
      size: (width, height) of its training pictures of the target.
      variables: loads {'params', 'batch_stats'}.
    """

    name: str
    title: str
    folder: pathlib.Path
    hash: str
    model: Segmenter
    size: tuple[int, int]
    variables: Callable[[], dict]


def finished(config: ConfigDict, feed: TrainingData, workdir: pathlib.Path, console: Console) -> list[Network]:
    """config.eval.checkpoint if there is one, else the finished stages of the plan; prints which stages are not.

    Raises:
      UserError: there is none.
    """
    if config.eval.checkpoint:
        return [_checkpoint(config, feed, workdir)]
    experiment = Experiment(config, feed, workdir, console)
    missing = [name for name, planned in experiment.plan.items() if not planned.finished]
    if len(missing) == len(experiment.plan):
        raise UserError(
            f"{workdir} holds no finished stage of this config ({', '.join(missing)}); train first with the same "
            "config and --workdir, or name --config.eval.checkpoint=PATH"
        )
    if missing:
        console.print(f"left out, not finished: {', '.join(missing)}", highlight=False)
    return [_of_stage(experiment, name) for name in experiment.plan if name not in missing]


def wanted(config: ConfigDict, feed: TrainingData, workdir: pathlib.Path, console: Console) -> Network:
    """config.eval.checkpoint if there is one, else the last stage of config.goal.

    Raises:
      UserError: that stage is not finished.
    """
    if config.eval.checkpoint:
        return _checkpoint(config, feed, workdir)
    experiment, name = Experiment(config, feed, workdir, console), config.goal[-1]
    if not experiment.plan[name].finished:
        raise UserError(
            f"{workdir} holds no finished {name} of this config; train first with the same config and --workdir, "
            "or name --config.eval.checkpoint=PATH"
        )
    return _of_stage(experiment, name)


def _of_stage(experiment: Experiment, name: str) -> Network:
    planned = experiment.plan[name]
    model = settings.segmenter(experiment.config[planned.stage.network], len(experiment.feed.class_names))
    title, folder = planned.stage.title, planned.folder
    size = settings.training_size(experiment.config, planned.stage.network)
    return Network(name, title, folder, planned.hash, model, size, lambda: experiment.variables(name))


def _checkpoint(config: ConfigDict, feed: TrainingData, workdir: pathlib.Path) -> Network:
    model, path = checkpoint_model(config, len(feed.class_names)), config.eval.checkpoint
    of = weights.file_identity(path, config.eval.network, config[config.eval.network])
    folder = workdir / "stages" / weights.folder_name("checkpoint", of)
    size = settings.training_size(config, config.eval.network)
    return Network("checkpoint", path, folder, of, model, size, lambda: weights.load(path, model))


def checkpoint_model(config: ConfigDict, num_classes: int) -> Segmenter:
    """The architecture of config.eval.checkpoint; UserError when the config cannot work."""
    settings.check(config)
    if config.eval.network not in ("student", "teacher"):
        raise UserError(f"config.eval.network={config.eval.network!r}: expected 'student' or 'teacher'")
    return settings.segmenter(config[config.eval.network], num_classes)
