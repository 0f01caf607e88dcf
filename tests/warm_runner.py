"""The process behind tiny_runs.WarmRunner: reads orders, answers with the exit code of run.py in a fork."""

import gc
import json
import os
import runpy
import sys
import traceback

import dakd_jax.commands  # noqa: F401  what takes seconds is imported before the forks; no device is used here


def _child(order):
    for number, path in zip((1, 2), order["files"], strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
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
    os._exit(code)


gc.collect()
gc.freeze()  # what was imported stays: no collection in a fork looks at it again, which would copy its pages
for line in sys.stdin:
    child = os.fork()
    if not child:
        _child(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
