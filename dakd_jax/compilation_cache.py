"""Compiled steps are kept on disk: the next run of the same networks starts at once."""

import pathlib
import warnings

import jax


def enable(workdir: pathlib.Path) -> None:
    """Keeps XLA's compilations below workdir; results are the same with and without."""
    jax.config.update("jax_compilation_cache_dir", str((workdir / "xla_cache").resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    # A cache that cannot be used costs time and nothing else.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
