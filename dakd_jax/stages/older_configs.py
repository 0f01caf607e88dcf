"""Configs of any age as those of today: fields that have another name now, and fields that were not there.

Configs come from files, command lines, records of stages, bundles and jobs. In the identity of a stage a renamed field
counts under the name that it had, so that finished stages stay finished. Nothing here imports jax.
"""

import contextlib
import copy
import dataclasses
import re
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from dakd_jax.basics.errors import UserError


@dataclasses.dataclass(frozen=True)
class Renamed:
    """A field with another name.

    Attributes:
      old, new: paths, as 'student.width'.
      to_new: its value of then, or the text of it on a command line, to the value of now; what it was never is kept.
      to_old: its value of now to that of then; None where it had no such value.
      default: value of now that leaves the choice open.
    """

    old: str
    new: str
    to_new: Callable[[Any], Any]
    to_old: Callable[[Any], Any | None]
    default: Any = ""


def _tap_of_layer(layer: Any) -> Any:
    """The feature's name of 6, 7, '6', ..., which were numbers of DRN's layers."""
    text = f"{layer:g}" if isinstance(layer, float) else str(layer)
    number = not isinstance(layer, bool) and re.fullmatch(r"\d{1,9}", text)
    return f"layer{int(text)}" if number else layer


def _layer_of_tap(tap: Any) -> int | None:
    found = re.fullmatch(r"layer(0|[1-9]\d{0,8})", str(tap))
    return int(found[1]) if found else None


_NETWORKS = ("student", "teacher")
RENAMED = tuple(
    Renamed(f"{network}.auxiliary_layer", f"{network}.auxiliary_tap", _tap_of_layer, _layer_of_tap)
    for network in _NETWORKS
)
# {field: what it was before it was there}, put in where the group that it belongs to is.
ADDED: dict[str, Any] = {
    "plugins": (),
    "adaptation.in_cases": ("same",),
    "data.teacher_size": (0, 0),
    "teacher.views": {"mirror": False, "scales": (1.0,)},
    "teacher.views.clean": False,
    "teacher.cache_gb": 0.0,
    "teacher.cache_dtype": "float32",
    "optim.optimizer": "sgd",
    "optim.clip_norm": 0.0,
    "optim.head_learning_rate_factor": 1.0,
    "optim.warmup_steps": 0,
    "train.devices": 0,
    "train.memory_budget_gb": 0.0,
    "train.batch_statistics": "synchronised",
} | {
    f"{network}.{field}": value
    for network in _NETWORKS
    for field, value in {
        "auxiliary_tap": "", "main_tap": "", "output_stride": 0, "normaliser": "", "decoder": "",
        "batch_norm": "trained",
    }.items()
}  # fmt: skip
_BY_OLD = {one.old: one for one in RENAMED}
_BY_NEW = {one.new: one for one in RENAMED}


def modernise(config: ConfigDict | dict):
    """A config (a ConfigDict, or plain data), in place, as one of today; returns it.

    Raises:
      UserError: a field is there by both of its names, with different values.
    """
    with config.unlocked() if isinstance(config, ConfigDict) else contextlib.nullcontext():
        for one in RENAMED:
            group, old, new = _place(config, one.old), one.old.split(".")[-1], one.new.split(".")[-1]
            if group is None or old not in group:
                continue
            value, now = one.to_new(group[old]), group.get(new, one.default)
            if now not in (one.default, value):
                raise UserError(
                    f"config.{one.new}={now!r} and config.{one.old}={group[old]!r}, its name before, differ: leave the "
                    "latter out"
                )
            if not isinstance(value, type(one.default)) and isinstance(config, ConfigDict):
                raise UserError(
                    f"config.{one.old}={value!r} cannot be; it is config.{one.new} now, see configs/base.py"
                )
            del group[old]
            group[new] = value
        for field, value in ADDED.items():
            group = _place(config, field)
            if group is not None and field.split(".")[-1] not in group:
                group[field.split(".")[-1]] = copy.deepcopy(value)
    return config


def _place(config: ConfigDict | dict, field: str):
    """The group that a field lies in; None where there is none."""
    for name in field.split(".")[:-1]:
        config = config.get(name)
        if not isinstance(config, (dict, ConfigDict)):
            return None
    return config


def of_today(field: str, value: Any) -> tuple[str, Any]:
    """A field and its value, both as they are called today."""
    one = _BY_OLD.get(field)
    return (one.new, one.to_new(value)) if one else (field, value)


def as_counted(field: str, value: Any) -> tuple[str, Any]:
    """A field of today under the name that counts in identities, with its value of then, where it had such a one."""
    one = _BY_NEW.get(field)
    before = one.to_old(value) if one else None
    return (field, value) if before is None else (one.old, before)
