"""A network as one file for another runtime, which carries what its labels mean and proves itself.

Imports nothing that takes long: a command line is checked with it.
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import types
import warnings
from collections.abc import Iterator

from dakd_jax.basics.errors import UserError

# What there is: {format: {dtype: whether the size may be left open}}.
CELLS: dict[str, dict[str, bool]] = {
    "stablehlo": {"float32": True, "bfloat16": True},
    "onnx": {"float32": True, "float16": True, "int8": True},
    "tflite": {"float32": False, "float16": False, "int8": False},
    "savedmodel": {"float32": False},
}
DTYPES = ("float32", "float16", "bfloat16", "int8")
ENDINGS = {"stablehlo": ".stablehlo", "onnx": ".onnx", "tflite": ".tflite", "savedmodel": ""}  # that is a folder
_PACKAGES = {  # converter and runtime
    "stablehlo": (),
    "onnx": ("onnx", "onnxruntime"),
    "tflite": ("tensorflow", "ai_edge_litert"),
    "savedmodel": ("tensorflow",),
}


def check(name: str, dtype: str, *, dynamic: bool) -> None:
    """Raises UserError for what there is not, with the nearest that there is, and where packages are missing."""
    if name not in CELLS:
        raise UserError(f"--format={name}: expected one of {', '.join(CELLS)}")
    if dtype not in DTYPES:
        raise UserError(f"--dtype={dtype}: expected one of {', '.join(DTYPES)}")
    if dtype not in CELLS[name]:
        raise UserError(f"{name} in {dtype} cannot be exported; nearest: {_nearest(name, dtype)}")
    if dynamic and not CELLS[name][dtype]:
        raise UserError(f"{name} wants a size, as --size=1024x512; for any size: --format=onnx --dtype={dtype}")
    require_packages(name)


def _nearest(name: str, dtype: str) -> str:
    half = {"float16": "bfloat16", "bfloat16": "float16"}.get(dtype)
    if half in CELLS[name]:
        return f"--format={name} --dtype={half}"
    other = next(one for one in ("onnx", "stablehlo") if dtype in CELLS[one])
    return f"--format={other} --dtype={dtype}, or --format={name} --dtype={next(iter(CELLS[name]))}"


def require_packages(name: str) -> None:
    """Raises UserError where a format's converter or runtime is not installed."""
    if missing := [package for package in _PACKAGES[name] if importlib.util.find_spec(package) is None]:
        raise UserError(f"{name} needs {' and '.join(missing)}: pip install -r requirements-deploy.txt")


def module(name: str) -> types.ModuleType:
    """What converts to a format and runs it."""
    return importlib.import_module(f"{__name__}.{name}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what converters and runtimes tell on success, some of it past Python, straight to the terminal."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        with open(os.devnull, "w") as nowhere, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for descriptor, logger in zip((1, 2), loggers, strict=True):
                os.dup2(nowhere.fileno(), descriptor)
                logger.setLevel(logging.ERROR)
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, copy, logger, level in zip((1, 2), kept, loggers, levels, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
            logger.setLevel(level)
