"""config.train.deterministic reaches XLA before jax looks for a device, and the pinned jaxlib knows the flag."""

import subprocess
import sys

import pytest
import tiny_runs

from dakd_jax.basics.errors import UserError
from dakd_jax.training.runtime import deterministic

FLAG = "--xla_gpu_deterministic_ops=true"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, FLAG),
        ({"XLA_FLAGS": ""}, FLAG),
        ({"XLA_FLAGS": "--xla_cpu_enable_fast_math=false"}, f"--xla_cpu_enable_fast_math=false {FLAG}"),
        ({"XLA_FLAGS": FLAG}, FLAG),
        ({"XLA_FLAGS": "--xla_gpu_deterministic_ops"}, "--xla_gpu_deterministic_ops"),
    ],
)
def test_flags_that_were_given_stay(before, after):
    environment = dict(before)
    deterministic.set_up(False, environment)
    assert environment == before
    deterministic.set_up(True, environment)
    assert environment == {"XLA_FLAGS": after}


def test_the_opposite_in_the_environment_is_refused():
    with pytest.raises(UserError, match="XLA_FLAGS has --xla_gpu_deterministic_ops=false; take it out"):
        deterministic.set_up(True, {"XLA_FLAGS": "--xla_gpu_deterministic_ops=false"})


CODE = """
import os, sys
import run
from dakd_jax.training.runtime import deterministic
assert "jax" not in sys.modules, "run.py imports jax before the command is understood"
plain = deterministic.set_up
def set_up(*args):
    import jax
    assert not jax._src.xla_bridge.backends_are_initialized(), "the flags come too late"
    plain(*args)
    assert int(jax.jit(lambda x: x + 1)(1)) == 2  # XLA ends the process on a flag that it does not know
    print(os.environ.get("XLA_FLAGS"))
    raise KeyboardInterrupt
deterministic.set_up = set_up
run.main(["--config.train.deterministic=True"])
"""


def test_run_py_sets_it_before_jax_looks_for_a_device():
    environment = tiny_runs.environment()
    environment.pop("XLA_FLAGS", None)
    ended = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tiny_runs.PROJECT, env=environment, capture_output=True, text=True
    )
    assert ended.stdout.split() == [FLAG], ended.stderr
