"""Arrays that took long to make, kept in a file that says what they are of."""

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Kept:
    """An .npz of arrays under all that they depend on, and perhaps a JSON file beside it that is derived from them.

    Attributes:
      path: of the .npz; its folder is created where missing.
      of: all that the arrays depend on, as plain data.
    """

    path: pathlib.Path
    of: dict

    @classmethod
    def named(cls, folder: pathlib.Path, kind: str, of: dict, digits: int = 8) -> "Kept":
        """FOLDER/KIND-HASH.npz, with so many digits of the hash of `of`."""
        return cls(folder / f"{kind}-{records.hash_json(of)[:digits]}.npz", of)

    def read(self) -> dict[str, np.ndarray] | None:
        """What was kept; None where there is nothing, arrays of another, or damage (each array has a checksum)."""
        found = read(self.path)
        return found[1] if found and found[0] == records.plain(self.of) else None

    def write(self, arrays: dict[str, np.ndarray]) -> None:
        """Keeps arrays, whole or not at all; none is called 'of' or 'arrays'."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        texts = {_OF: json.dumps(self.of, sort_keys=True), _NAMES: json.dumps(sorted(arrays))}
        np.savez_compressed(stream, **{key: np.array(text) for key, text in texts.items()}, **arrays)
        atomic_files.write_bytes(self.path, stream.getvalue())

    @property
    def beside(self) -> pathlib.Path:
        """The JSON file, for people."""
        return self.path.with_suffix(".json")

    def tells(self, derived: dict) -> bool:
        """Whether the JSON file is whole and says all this; it may hold more."""
        told = records.read_json(self.beside) or {}
        return {key: told.get(key) for key in derived} == derived

    def tell(self, derived: dict) -> None:
        """Writes the JSON file where it does not say this: a run that is killed after `write` comes back to it."""
        if not self.tells(derived):
            records.write_json(self.beside, derived)


def read(path: pathlib.Path) -> tuple[dict, dict[str, np.ndarray]] | None:
    """(what the arrays depend on, arrays) of a file; None where there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return json.loads(str(stored[_OF])), {name: stored[name] for name in json.loads(str(stored[_NAMES]))}
    except _DAMAGED:
        return None
