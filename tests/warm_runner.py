"""The processes behind tiny_runs.WarmRunner: read orders, answer with the exit code of run.py.

`warm_runner.py forks` runs each order in a fork, `warm_runner.py runs` one after the other in this process.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import sys
import traceback

import dakd_jax

# Commands import what they work with when they are called; here every fork has it.
for module in pkgutil.walk_packages(dakd_jax.__path__, "dakd_jax."):
    importlib.import_module(module.name)
import matplotlib.figure  # noqa: E402, F401
import orbax.checkpoint  # noqa: E402, F401

import data_pipelines.feeding.feed  # noqa: E402, F401

OTHERS = ("numpy", "orbax.checkpoint", "os", "pathlib", "shutil", "tempfile")
ANSWERS = os.fdopen(os.dup(1), "w")


def _code(order) -> int:
    """The exit code of run.py, its output in the order's files."""
    for number, path in zip((1, 2), order["files"], strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    code = 0
    try:
        exec(order["before"], {})
        sys.argv = ["run.py", *order["arguments"]]
        runpy.run_path("run.py", run_name="__main__")
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _in_a_fork(order) -> int:
    child = os.fork()
    if not child:
        os._exit(_code(order))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _in_this_process(order) -> int:
    environment, attributes = dict(os.environ), list(_attributes())
    # run.py puts streams of its own in their places.
    with contextlib.redirect_stdout(sys.stdout), contextlib.redirect_stderr(sys.stderr):
        code = _code(order)
    os.environ.clear()
    os.environ.update(environment)
    for owner, before in attributes:
        for name, value in before.items():
            if vars(owner).get(name) is not value:
                setattr(owner, name, value)
    gc.collect()
    return code


def _attributes():
    """(module or class, its attributes) wherever a fault may be injected, to take it out again."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("dakd_jax", "data_pipelines") or name in OTHERS:
            for owner in (module, *(value for value in vars(module).values() if isinstance(value, type))):
                yield owner, dict(vars(owner))


gc.collect()
gc.freeze()  # what was imported stays: no collection looks at it again, and none in a fork copies its pages
run = {"forks": _in_a_fork, "runs": _in_this_process}[sys.argv[1]]
for line in sys.stdin:
    print(run(json.loads(line)), file=ANSWERS, flush=True)
