"""Compiled steps are kept on disk: the next run of the same networks starts at once."""

import os
import pathlib
import warnings

import jax

VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def enable(workdir: pathlib.Path) -> None:
    """Keeps XLA's compilations below workdir, or where the environment's JAX_COMPILATION_CACHE_DIR says.

    Results are the same with and without. jax keeps what took a second to compile, or as long as the environment's
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS says.
    """
    if not os.environ.get(VARIABLE):  # one that is set has been read by jax itself
        jax.config.update("jax_compilation_cache_dir", str((workdir / "xla_cache").resolve()))
    # A cache that cannot be used costs time and nothing else.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
