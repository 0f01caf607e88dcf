"""Compiled steps are kept on disk: the next run of the same networks starts at once."""

import os
import pathlib
import warnings

import jax

VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def enable(workdir: pathlib.Path) -> None:
    """Keeps XLA's compilations below workdir, or where the environment's JAX_COMPILATION_CACHE_DIR says.

    Results are the same with and without.
    """
    if not os.environ.get(VARIABLE):  # one that is set has been read by jax itself
        jax.config.update("jax_compilation_cache_dir", str((workdir / "xla_cache").resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    # A cache that cannot be used costs time and nothing else.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
