"""Compiled programs are kept on disk: the next run of the same networks starts at once."""

import os
import pathlib
import warnings

import jax

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
MOST_BYTES = 2**28  # that commands without a workdir keep; what was not used for longest goes first
_UNUSABLE = "Error (reading|writing) persistent compilation cache"
_QUICK = 0.1  # seconds; what they compile in less is compiled again


def enable(workdir: pathlib.Path) -> None:
    """Keeps XLA's compilations below workdir, or where the environment's JAX_COMPILATION_CACHE_DIR says.

    Results are the same with and without. jax keeps what took a second to compile, or as long as the environment's
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS says.
    """
    if not os.environ.get(VARIABLE):  # one that is set has been read by jax itself
        jax.config.update("jax_compilation_cache_dir", str((workdir / "xla_cache").resolve()))
    # A cache that cannot be used costs time and nothing else.
    warnings.filterwarnings("ignore", message=_UNUSABLE)


def enable_for_user() -> None:
    """For a command without a workdir: keeps them where JAX_COMPILATION_CACHE_DIR says, else in the user's caches.

    That is $XDG_CACHE_HOME/dakd_jax/xla_cache, ~/.cache/... where it is not set, with MOST_BYTES at most. Where it
    cannot be written nothing is kept.
    """
    if not os.environ.get(VARIABLE):
        try:
            caches = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
            (folder := caches.resolve() / "dakd_jax" / "xla_cache").mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # the second where nobody knows what home is
            return
        if not os.access(folder, os.W_OK | os.X_OK):
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _QUICK)
    warnings.filterwarnings("ignore", message=_UNUSABLE)
