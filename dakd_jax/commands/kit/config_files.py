"""The file behind --config: where it lies, what it makes, and what is wrong with it in one line."""

import difflib
import importlib
import os
import pathlib
import re
import sys
import traceback
import types
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from dakd_jax.basics import installation, plugs
from dakd_jax.basics.errors import UserError
from dakd_jax.stages import older_configs

DEFAULT = str(installation.CONFIGS / "demo.py")
_OF_TABLES = ("table", "cluster", "scales")  # what configs of the paper's tables have besides the fields of base.py
OPEN_GROUPS = ("data.dirs",)  # of fields named after what plugins may bring: the half that reads them checks the names
_NO_EXPERIMENTS = ("__init__", "base")


def find(given: str) -> pathlib.Path:
    """The file of --config=GIVEN, FILE[:PRESET].

    One that is absent here is sought in this project, by its path or its name: configs/demo.py, demo.py, demo.

    Raises:
      UserError: no such file.
    """
    text = given.partition(":")[0]
    if not text.strip():
        raise UserError(f"--config={given} names no file: expected FILE[:PRESET], as --config=configs/demo.py")
    return _find(text)


def name_of(given: str) -> str:
    """What the pages of a run are called: the file's name, then the words of a preset of several, by which one file
    makes many experiments: benchmark_bdd_case_d of --config=configs/benchmark.py:bdd,case_d."""
    words = re.findall(r"[\w.-]+", given.partition(":")[2]) if "," in given else []
    return "_".join([find(given).stem, *words])


def is_ours(file: pathlib.Path) -> bool:
    """Whether a config's file is one of this project's, none of which names plugins."""
    return os.path.realpath(file.parent) == os.path.realpath(installation.CONFIGS)


def make(given: str) -> ConfigDict:
    """What the file of --config=GIVEN, FILE[:PRESET], makes; to be completed by `complete`.

    Raises:
      UserError: no such file, or one that makes no config.
    """
    file, (_, colon, preset) = find(given), given.partition(":")
    installation.provide_configs()
    made = _call(_execute(file), file, [preset] if colon else [])
    if not isinstance(made, ConfigDict):
        what = "nothing (it ends without `return config`)" if made is None else "no ConfigDict"
        raise _wrong(file, f"get_config() returns {what}")
    config = ConfigDict(made) if type(made) is not ConfigDict else made  # a frozen one takes no overrides
    try:
        return older_configs.modernise(config)
    except UserError as error:
        raise _wrong(file, str(error)) from error


def complete(config: ConfigDict, file: pathlib.Path, plugins: Sequence[str]) -> None:
    """Loads the plugins, adds the fields of what they register, and looks at the fields that there are then.

    Raises:
      UserError: a plugin is missing or fails; fields of configs/base.py are missing, or others are there, which nothing
        would read.
    """
    from dakd_jax.objectives import options  # imports jax, as any config does

    plugs.load(plugins)
    options.fill_defaults(config)
    _require_fields(config, flat(importlib.import_module("configs.base").get_config()), file)


def plugins_of(config: ConfigDict, file: pathlib.Path) -> tuple[str, ...]:
    """config.plugins of a file; () where the field is missing, which `complete` tells."""
    named = config.get("plugins", ())
    if not (isinstance(named, (tuple, list)) and all(isinstance(name, str) for name in named)):
        raise _wrong(file, f"config.plugins={named!r}: expected names in a tuple, as ('my_loss.py',)")
    return tuple(named)


def _require_fields(config: ConfigDict, base: Mapping[str, Any], file: pathlib.Path) -> None:
    fields = flat(config)
    if missing := [field for field in base if field not in fields]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise _wrong(file, f"the config lacks {', '.join(missing[:3])}{more}")
    for field in fields:
        if field not in base and field.split(".")[0] not in _OF_TABLES and not is_open(field):
            near = difflib.get_close_matches(field, list(base), n=1)
            hint = f"did you mean config.{near[0]}?" if near else "all fields: configs/base.py"
            raise _wrong(file, f"config.{field} is unknown: {hint}")


def is_open(field: str) -> bool:
    """Whether a field may be there although configs/base.py does not name it."""
    return field.rpartition(".")[0] in OPEN_GROUPS


def flat(config: ConfigDict, prefix: str = "") -> dict:
    """All fields, by the names that --config takes: 'seed', 'data.toy.size', ..."""
    found = {}
    for name, value in config.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, ConfigDict) else {f"{prefix}{name}": value}
    return found


def _find(text: str) -> pathlib.Path:
    """The file that is meant. os.path.isfile says False, and raises nothing, for what can be no path."""
    path = pathlib.Path(os.path.expanduser(text))
    ours = [installation.CONFIGS / path.name] if str(path.parent) in (".", "configs") else []
    named = [one.with_name(f"{one.name}.py") for one in (path, *ours) if one.name and not one.suffix]
    for candidate in (path, *ours, *named):
        if os.path.isfile(candidate):
            return candidate
    if os.path.isdir(path):
        raise UserError(f"--config={path}: is a folder; name a file{_those_in(path)}")
    names = _experiments(installation.CONFIGS)
    near = difflib.get_close_matches(path.stem, [name.removesuffix(".py") for name in names], n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    message = f"--config={path}: no such file; {hint}this project's configs are {', '.join(names)}"
    raise UserError(" ".join(message.split()))


def _those_in(folder: pathlib.Path) -> str:
    try:
        names = _experiments(folder)
    except OSError:
        return ""
    return f" in it, as {names[0]}" if names else ", it holds no .py"


def _experiments(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.py") if path.stem not in _NO_EXPERIMENTS)


def _execute(file: pathlib.Path) -> types.ModuleType:
    module = types.ModuleType(f"dakd_config_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look there
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    except UserError:
        raise
    except SyntaxError as error:
        if error.filename != str(file):
            raise _failed(file, error) from error
        python = "" if file.suffix == ".py" else "; a config is a Python file"
        raise _wrong(file, f"line {error.lineno}: {error.msg}{python}") from error
    except OSError as error:
        if error.filename != str(file):
            raise _failed(file, error) from error
        raise _wrong(file, f"cannot be read: {error.strerror}") from error
    except (Exception, SystemExit) as error:  # whatever a hand-written file may raise
        raise _failed(file, error) from error
    return module


def _call(module: types.ModuleType, file: pathlib.Path, preset: list[str]):
    """What get_config returns; `preset` holds one where one was given."""
    function = getattr(module, "get_config", None)
    if not callable(function):
        raise _wrong(file, "get_config is no function" if function is not None else "there is no function get_config")
    try:
        return function(*preset)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(file, error) from error


def _failed(file: pathlib.Path, error: BaseException) -> UserError:
    """With the line of the file that was executed last."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    where = f"line {lines[-1]}: " if lines else ""
    hint = " (only installed packages and `configs` are found)" if isinstance(error, ImportError) else ""
    return _wrong(file, f"{where}{type(error).__name__}: {error}{hint}")


def _wrong(file: pathlib.Path, what: str) -> UserError:
    return UserError(" ".join(f"--config={file}: {what} (start from configs/base.py, as configs/demo.py does)".split()))
