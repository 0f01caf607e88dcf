"""Where compiled steps are kept."""

import os
import subprocess
import sys

import pytest
import tiny_runs

PROGRAM = """
import pathlib, jax, jax.numpy as jnp
from dakd_jax.training.runtime import compilation_cache
compilation_cache.enable(pathlib.Path("work"))
jax.jit(jnp.sin)(jnp.ones(3)).block_until_ready()
"""


@pytest.mark.parametrize("chosen", ["", "mine"])
def test_below_the_workdir_or_where_the_environment_says(tmp_path, chosen):
    environment = tiny_runs.environment(
        JAX_COMPILATION_CACHE_DIR=chosen and str(tmp_path / chosen), JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0"
    )
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, check=True)
    assert os.listdir(tmp_path) == ([chosen] if chosen else ["work"])
    (kept,) = (tmp_path / (chosen or "work/xla_cache")).glob("jit_sin-*-cache")
    assert kept.stat().st_size
