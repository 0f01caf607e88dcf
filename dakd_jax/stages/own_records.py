"""A finished stage that is named as a checkpoint is read as its own record says, whatever the config's defaults are.

The record's architecture, width, taps, output stride and normaliser take the place of those in the config, for the
network that the checkpoint is put in for. A flag of the command line that says otherwise is an error; a value of the
config's file that differs is not: it is a default, written before anybody knew of that checkpoint.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from ml_collections import ConfigDict

from dakd_jax.basics import plugs
from dakd_jax.basics.errors import UserError
from dakd_jax.objectives import paradigms
from dakd_jax.stages import older_configs, settings, weights


class _Use(NamedTuple):
    """A checkpoint that a command uses: the field that names it, its path, the network that it is put in for."""

    field: str
    path: str
    network: str


def settle(
    config: ConfigDict, *, checkpoint: bool, class_names: Collection[str], given: Collection[str] = (), goal=None
) -> None:
    """Puts what the records of stages that are named as checkpoints say into a config.

    Args:
      checkpoint: the command is about config.eval.checkpoint, if there is one, and not about the plan.
      class_names: of the data.
      given: fields that the command line set, by path, as 'student.arch'.
      goal: stages of the plan; None: config.goal.

    Raises:
      UserError: a flag, another checkpoint, or the data's classes contradict a record, which the line names; or a
        record cannot be read.
    """
    older_configs.modernise(config)
    plugs.load(settings.words(config.get("plugins", ())))
    settled: dict[str, tuple[object, str]] = {}
    for use in _uses(config, checkpoint, goal):
        if not (told := weights.recorded(use.path)):
            continue
        file, record, network = told
        _check_classes(use, file, record, class_names)
        if use.field == "eval.checkpoint":
            use = use._replace(network=_network(config, use, network, file, given))
        for name, value in weights.network_fields(record["config"][network]).items():
            if value is not None:
                _set(config, f"{use.network}.{name}", value, str(file), given, settled)


def _uses(config: ConfigDict, checkpoint: bool, goal) -> Iterator[_Use]:
    if checkpoint and config.eval.checkpoint:
        yield _Use("eval.checkpoint", config.eval.checkpoint, config.eval.network)
        return
    goal = config.goal if goal is None else goal
    wanted = () if isinstance(goal, str) else [name for name in goal if name in paradigms.STAGES]
    needed = paradigms.needed(wanted, config.student.init_from, config.replace)
    for name in needed:
        if config.replace.get(name):
            yield _Use(f"replace.{name}", config.replace[name], paradigms.STAGES[name].network)
    for network in ("student", "teacher"):
        trained = any(paradigms.STAGES[name].network == network and not config.replace.get(name) for name in needed)
        if trained and config[network].pretrained not in ("", weights.IMAGENET):
            yield _Use(f"{network}.pretrained", config[network].pretrained, network)


def _check_classes(use: _Use, file, record: dict, class_names: Collection[str]) -> None:
    told = record.get("class_names")  # records of earlier releases say nothing: Cityscapes' 19
    if isinstance(told, list) and told != list(class_names) and not use.field.endswith(".pretrained"):
        raise UserError(
            f"--config.{use.field}={use.path}: {file} tells of {len(told)} classes ({_few(told)}), and the data have "
            f"{len(class_names)} ({_few(class_names)}); name a network of these classes"
        )


def _few(names: Collection[str]) -> str:
    shown = [str(name)[:40] for name in list(names)[:3]]
    return ", ".join(shown) + ", ..." * (len(names) > 3)


def _network(config: ConfigDict, use: _Use, network: str, file, given: Collection[str]) -> str:
    """The network that eval.checkpoint is, as its record says, which config.eval.network now says too."""
    if "eval.network" in given and config.eval.network != network:
        raise UserError(
            f"--config.eval.network={config.eval.network} contradicts {file}, which is of a {network}: leave the flag "
            "out, or name another checkpoint"
        )
    config.eval.network = network
    return network


def _set(config: ConfigDict, field: str, value, file: str, given: Collection[str], settled: dict) -> None:
    group, name = field.split(".")
    now = config[group][name]
    if not isinstance(value, (int, float) if isinstance(now, (int, float)) else type(now)):
        raise UserError(f"{file} says {field} {str(value)[:40]!r}, which can be none: mend the record")
    if field in given and weights.network_fields(config[group])[name] != value:
        raise UserError(
            f"--config.{field}={now} contradicts {file}, which says {value}: leave the flag out, or name another "
            "checkpoint"
        )
    if settled.get(field, (value, file))[0] != value:
        other, its_file = settled[field]
        raise UserError(
            f"{file} says {field} {value}, and {its_file} says {other}: both are named for the {group}; name "
            "checkpoints of one architecture"
        )
    settled[field] = value, file
    config[group][name] = type(now)(value)
