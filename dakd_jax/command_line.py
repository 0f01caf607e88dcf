"""The command line of run.py: a config file, a mode, a workdir, and settings that override the config's."""

import ast
import dataclasses
import difflib
import importlib.util
import math
import pathlib
from typing import Any

from ml_collections import ConfigDict

from dakd_jax.errors import UserError

DEFAULT_CONFIG = "configs/demo.py"
MODES = ("train", "plan", "evaluate")
_SWITCHES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line that was understood.

    Attributes:
      config: of the file, with the overrides in it; locked.
      name: of the config file, without its folder and ending.
      mode: one of MODES.
      workdir: where everything goes.
    """

    config: ConfigDict
    name: str
    mode: str
    workdir: pathlib.Path


def parse(arguments: list[str]) -> Command:
    """Reads --NAME=VALUE or --NAME VALUE, in any order; of a name that is given twice the last one counts.

    Raises:
      UserError: unknown name, field, mode, preset or file, or a value of the wrong type.
    """
    given = _split(arguments)
    file = given.pop("config", DEFAULT_CONFIG)
    mode = given.pop("mode", MODES[0])
    if mode not in MODES:
        raise UserError(f"--mode={mode}: expected one of {', '.join(MODES)}")
    workdir = given.pop("workdir", "")
    for name in given:
        if not name.startswith("config."):
            raise UserError(f"--{name} is unknown: expected --config, --mode, --workdir or --config.FIELD=VALUE")
    config = _load(file)
    for name, text in given.items():
        _override(config, name.removeprefix("config."), text)
    config.lock()
    return Command(
        config=config,
        name=pathlib.Path(file.split(":")[0]).stem,
        mode=mode,
        workdir=pathlib.Path(workdir or config.workdir or f"runs/{config.data.name}").expanduser(),
    )


def _split(arguments: list[str]) -> dict[str, str]:
    """{name: text} of the arguments."""
    given, waiting = {}, list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if not argument.startswith("--"):
            raise UserError(f"unexpected argument {argument!r}: settings are given as --config.FIELD=VALUE")
        name, equals, text = argument[2:].partition("=")
        if not equals:
            if not waiting or waiting[0].startswith("--"):
                raise UserError(f"{argument} has no value: write {argument}=VALUE")
            text = waiting.pop(0)
        given[name] = text
    return given


def _load(file: str) -> ConfigDict:
    """What get_config(preset) of FILE[:PRESET] returns."""
    path, _, preset = file.partition(":")
    path = pathlib.Path(path)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.py") if p.stem not in ("__init__", "base"))
        found = f"; {path.parent}/ holds {', '.join(near)}" if near else "; configs/ holds the ones that come with this"
        raise UserError(f"--config={path}: no such file{found}")
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config(preset)
    except UserError:
        raise
    except Exception as error:  # whatever a hand-written file may raise
        raise UserError(
            f"--config={path} cannot be loaded ({type(error).__name__}: {' '.join(str(error).split())}); "
            "see configs/demo.py for how one is written"
        ) from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"--config={path}: get_config() returns no ConfigDict; start from configs/base.py")
    return config


def _override(config: ConfigDict, field: str, text: str) -> None:
    """Sets config.<field> from its text, in the type of the value that is there."""
    *groups, leaf = field.split(".")
    holder, path = config, "config"
    for part in groups:
        if not isinstance(holder, ConfigDict) or part not in holder:
            raise _unknown(config, field, holder, path)
        holder, path = holder[part], f"{path}.{part}"
    if not isinstance(holder, ConfigDict) or leaf not in holder:
        raise _unknown(config, field, holder, path)
    old = holder[leaf]
    if isinstance(old, ConfigDict):
        raise UserError(f"--config.{field}={text}: this is a group; name one of its fields: {', '.join(old)}")
    try:
        holder[leaf] = _value(text, old)
    except (ValueError, SyntaxError, TypeError):
        raise UserError(f"--config.{field}={text}: expected {_expected(old)}, such as {_shown(old)}") from None


def _unknown(config, field, holder, path) -> UserError:
    known = list(_fields(config))
    near = difflib.get_close_matches(field, known, n=1) or [f for f in known if f.endswith("." + field.split(".")[-1])]
    if near:
        hint = f"did you mean --config.{near[0]}?"
    elif isinstance(holder, ConfigDict):
        hint = f"{path} has {', '.join(holder)}"
    else:
        hint = f"{path} is a single value"
    return UserError(f"--config.{field} is unknown: {hint} (all fields: configs/base.py)")


def _fields(config, prefix=""):
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _value(text: str, like: Any) -> Any:
    """`text` in the type of `like`; ValueError, SyntaxError or TypeError when that cannot be."""
    if isinstance(like, bool):
        if text.lower() not in _SWITCHES:
            raise ValueError
        return _SWITCHES[text.lower()]
    if isinstance(like, int):
        return int(text)
    if isinstance(like, float):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError
        return value
    if isinstance(like, tuple):
        return _tuple(text, like)
    return text


def _tuple(text: str, like: tuple) -> tuple:
    """Of 'a,b' or '(a, b)'; numbers as numbers, in the type of the first element of `like`."""
    text = text.strip()
    if text[:1] in "([":
        parts = ast.literal_eval(text)
        parts = tuple(parts) if isinstance(parts, (tuple, list)) else (parts,)
    else:
        parts = tuple(part.strip() for part in text.split(",") if part.strip())
    return tuple(_value(str(part), like[0]) for part in parts) if like else parts


def _expected(like: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", tuple: "values with commas between"}
    return names.get(type(like), "text")


def _shown(like: Any) -> str:
    return ",".join(map(str, like)) if isinstance(like, tuple) else str(like).lower()
