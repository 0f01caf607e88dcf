"""A folder that dakd pack wrote: which one it is, and what its config.json says of the network beside it.

config.json holds hashes of the weights, of the golden pair and of itself, so that what was altered is told.
"""

import json
import os
import pathlib
from collections.abc import Mapping

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.models.weight_files import Place
from dakd_jax.models.weight_files.torch_files.reader import one_line
from dakd_jax.stages import weights

VERSION = 1  # of config.json
CONFIG, WEIGHTS = "config.json", weights.SAFE_FILE
PICTURE, LABELS = "golden/picture.png", "golden/labels.png"
KEY = "dakd_pack"  # in config.json: the version
_FILES, _HASH = "sha256", "config_sha256"
_POINTER = b"version https://git-lfs"  # what lies in the place of a large file that was not brought along


def folder_of(place: Place) -> pathlib.Path | None:
    """The folder that a place, or its file of weights, is of; None where dakd pack did not write it.

    Raises:
      UserError: a part of it is named by #KEY.
    """
    folder = place.path.parent if place.path.name == WEIGHTS else place.path
    try:
        ours = f'"{KEY}"'.encode() in (folder / CONFIG).read_bytes()
    except (OSError, ValueError):  # of what can be no path
        return None
    if ours and place.key:
        raise UserError(f"{place}: the folder holds one network; leave #{place.key} out")
    return folder if ours else None


def sealed(told: Mapping, folder: pathlib.Path) -> dict:
    """What config.json says, with the version, and hashes of the files that lie in the folder already."""
    files = {name: weights.hash_file(folder / name) for name in (WEIGHTS, PICTURE, LABELS)}
    content = records.plain({KEY: VERSION, **told, _FILES: files})
    return content | {_HASH: records.hash_json(content)}


def read(folder: pathlib.Path) -> dict:
    """What config.json says, after it and the file of weights were checked.

    Raises:
      UserError: one of them is missing, cut, altered, or of another version.
    """
    file = folder / CONFIG
    with one_line(file):
        told = records.read_json(file)
    if told is None:
        raise UserError(f"{file} is cut or damaged: it is no JSON; pack the network again, or bring the file anew")
    if told.get(KEY) != VERSION:
        raise UserError(
            f"{file} is of format version {json.dumps(told.get(KEY))[:20]}, and this dakd_jax reads {VERSION}; pack "
            "the network again, or use the version that wrote it"
        )
    if told.get(_HASH) != records.hash_json({key: value for key, value in told.items() if key != _HASH}):
        raise UserError(f"{file} was altered since it was written (its hash is another); pack the network again")
    require(folder, told, WEIGHTS)
    return told


def require(folder: pathlib.Path, told: Mapping, name: str) -> None:
    """Raises UserError where a file is not the one that config.json tells of."""
    file = folder / name
    if not os.path.isfile(file):
        raise UserError(f"{folder} lacks {name}, which dakd pack wrote; pack the network again, or bring the file anew")
    with one_line(file), file.open("rb") as opened:
        pointer = opened.read(len(_POINTER)) == _POINTER
    if pointer:
        raise UserError(f"{file} is a pointer of git-lfs in the file's place; bring the file itself: git lfs pull")
    hashes = told.get(_FILES)
    if not isinstance(hashes, dict) or weights.hash_file(file) != hashes.get(name):
        raise UserError(
            f"{file} is not the file that dakd pack wrote (its hash is another); pack the network again, or bring the "
            "file anew"
        )
