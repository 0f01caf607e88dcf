"""Arrays that took long to make, kept in a file that says what they are of."""

import io
import json
import pathlib
import zipfile
import zlib

import numpy as np

from dakd_jax import records

_OF = "of"


def keep(path: pathlib.Path, of: dict, arrays: dict[str, np.ndarray]) -> None:
    """Writes an .npz, whole or not at all.

    Args:
      path: its folder is created where missing.
      of: all that the arrays depend on, as plain data.
      arrays: none is called 'of'.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    np.savez_compressed(stream, **{_OF: np.array(json.dumps(of, sort_keys=True))}, **arrays)
    records.write_bytes(path, stream.getvalue())


def kept(path: pathlib.Path, of: dict) -> dict[str, np.ndarray] | None:
    """What was kept; None where there is nothing, a damaged file (each array has a checksum), or arrays of another."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored[_OF]) != json.dumps(of, sort_keys=True):
                return None
            return {name: stored[name] for name in stored.files if name != _OF}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
