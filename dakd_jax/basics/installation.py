"""Where run.py and configs/ lie: beside this package in a checkout, in it where a wheel was installed (setup.py)."""

import importlib.util
import os
import pathlib
import shlex
import shutil
import sys
import types

_PACKAGE = pathlib.Path(os.path.abspath(__file__)).parents[1]
IS_WHEEL = (_PACKAGE / "run.py").is_file()
ROOT = _PACKAGE if IS_WHEEL else _PACKAGE.parent
PROGRAM = ROOT / "run.py"
CONFIGS = ROOT / "configs"


def provide_configs() -> None:
    """From now on `from configs import base` finds this project's configs, wherever they lie."""
    if "configs" not in sys.modules:
        load_file("configs", CONFIGS / "__init__.py", [str(CONFIGS)])


def load_program() -> types.ModuleType:
    """run.py as a module."""
    return load_file("dakd_jax.run", PROGRAM)


def child_command(program: str | os.PathLike) -> list[str]:
    """The words that start another process of a program that lies where run.py does."""
    # A script's own folder comes first in its sys.path. In a wheel that is this package, full of general names.
    return [sys.executable, *(["-P"] if IS_WHEEL else []), str(program)]


def called() -> str:
    """What a person types in front of the flags to start this program again: 'python run.py', 'dakd'."""
    name = os.path.basename(sys.argv[0])
    if name == "__main__.py":
        return "python -m dakd_jax"
    if name == "dakd" or IS_WHEEL:
        here = name == "dakd" and shutil.which("dakd") != sys.argv[0]
        return shlex.quote(sys.argv[0]) if here else "dakd"
    return shlex.join(["python", sys.argv[0] if name == "run.py" else "run.py"])


def load_file(name: str, file: pathlib.Path, folders: list[str] | None = None) -> types.ModuleType:
    """Runs a file as the module of that name, in sys.modules unless it fails; `folders`: of a package."""
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
