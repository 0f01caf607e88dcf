"""Arrays that took long to make, kept in a file that says what they are of."""

import io
import json
import pathlib
import zipfile
import zlib

import numpy as np

from dakd_jax.basics import atomic_files, records

_OF, _NAMES = "of", "arrays"  # of all that was kept: a damaged directory of a zip file may lack an entry

# What numpy and zipfile raise on a file with wrong bytes; TypeError: on a single array under this name.
_DAMAGED = (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error)


def keep(path: pathlib.Path, of: dict, arrays: dict[str, np.ndarray]) -> None:
    """Writes an .npz, whole or not at all.

    Args:
      path: its folder is created where missing.
      of: all that the arrays depend on, as plain data.
      arrays: none is called 'of' or 'arrays'.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    texts = {_OF: json.dumps(of, sort_keys=True), _NAMES: json.dumps(sorted(arrays))}
    np.savez_compressed(stream, **{key: np.array(text) for key, text in texts.items()}, **arrays)
    atomic_files.write_bytes(path, stream.getvalue())


def kept(path: pathlib.Path, of: dict) -> dict[str, np.ndarray] | None:
    """What was kept; None where there is nothing, a damaged file (each array has a checksum), or arrays of another."""
    found = read(path)
    return found[1] if found and found[0] == records.plain(of) else None


def read(path: pathlib.Path) -> tuple[dict, dict[str, np.ndarray]] | None:
    """(what the arrays depend on, arrays) of a file; None where there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return json.loads(str(stored[_OF])), {name: stored[name] for name in json.loads(str(stored[_NAMES]))}
    except _DAMAGED:
        return None
