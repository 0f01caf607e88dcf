"""Writes a city to disk, whole or not at all, and recognises one that is already there."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from data_pipelines.basics import atomic_files, data_files, parallel
from data_pipelines.basics.errors import AccessError, DataError
from data_pipelines.datasets.toy_streets.city import ToyCity
from data_pipelines.datasets.toy_streets.layouts import SAVERS
from data_pipelines.datasets.toy_streets.looks import LOOKS
from data_pipelines.datasets.toy_streets.render import RENDERER_VERSION, render

MANIFEST = "toy_city.json"

Progress = Callable[[int, int], None]
Job = tuple[str, str, int]  # look, split, index


def ensure(root: str | os.PathLike, city: ToyCity, *, progress: Progress | None = None, workers: int = 2) -> Path:
    """Makes sure that `root` holds the city as gta5/, bdd100k/ and cityscapes/; renders only if not.

    The city is rendered into a hidden folder beside `root` and renamed when complete, so `root` never holds a
    part of a city. The same city gives the same bytes whatever `workers` is.

    Args:
        progress: called with (pictures done, pictures in all) after each picture that is rendered.
        workers: processes to render with; with 1, or where none can be started, this one does it all.

    Returns:
        `root` as a Path.

    Raises:
        DataError: `root` holds another city or other files, or cannot be written. A killed process may
            leave the hidden folder `.NAME.partial-*` behind, which can be deleted.
    """
    root = Path(root)
    if _is_there(root, city):
        return root
    partial_folder = atomic_files.beside(root, "partial")
    try:
        partial_folder.mkdir(parents=True)
        # However it ends, its processes have ended before the folder is removed: none writes into it any more.
        parallel.map_in_processes(partial(write_picture, partial_folder, city), jobs(city), workers, progress)
        (partial_folder / MANIFEST).write_text(json.dumps(_manifest(city), indent=2) + "\n", encoding="utf-8")
        _publish(partial_folder, root, city)
    except OSError as error:
        raise DataError(
            f"{root}: cannot write it ({error.strerror or error}); make room or choose another folder"
        ) from error
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    return root


def jobs(city: ToyCity) -> list[Job]:
    """All pictures of a city; GTA5 has no splits and gets the training pictures only."""
    counts = {"train": city.num_train, "val": city.num_val}
    return [
        (look.name, split, index)
        for look in LOOKS.values()
        for split, count in counts.items()
        if not (look.dataset == "gta5" and split == "val")
        for index in range(count)
    ]


def _manifest(city: ToyCity) -> dict:
    return {"renderer_version": RENDERER_VERSION, **asdict(city), "size": list(city.size)}


def _is_there(root: Path, city: ToyCity) -> bool:
    """Whether `root` holds exactly this city; False when it is absent or empty."""
    manifest = root / MANIFEST
    if not data_files.is_file(manifest):
        if data_files.is_folder(root) and data_files.listing(root):
            raise DataError(f"{root}: holds files but no {MANIFEST}; choose another folder for the toy city")
        if why := data_files.why_absent(root):
            raise DataError(f"{root}: no folder{why}; choose another folder for the toy city")
        return False
    try:
        with data_files.reading(manifest):
            found = json.loads(manifest.read_text(encoding="utf-8"))
    except AccessError:
        raise
    except ValueError as error:
        raise DataError(f"{manifest}: unreadable ({error}); delete the folder {root}") from error
    if found != _manifest(city):
        raise DataError(
            f"{root}: holds another toy city ({_difference(found, _manifest(city))}); "
            "choose another --config.data.root, or delete it"
        )
    return True


def _difference(found: object, wanted: dict) -> str:
    if not isinstance(found, dict):
        return f"{MANIFEST} is not a table"
    keys = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
    return ", ".join(f"{key} {found.get(key)} there, {wanted.get(key)} asked for" for key in keys)


def write_picture(root: Path, city: ToyCity, job: Job) -> Path:
    """Renders one picture into the folder of its data set, and returns that."""
    look, split, index = job
    folder = root / LOOKS[look].dataset
    SAVERS[folder.name](folder, split, index, render(city.seed, look, split, index, city.size))
    return folder


def _publish(partial_folder: Path, root: Path, city: ToyCity) -> None:
    """Moves the finished city into place, unless another process has just put the same one there."""
    try:
        os.replace(partial_folder, root)
    except OSError:
        if not _is_there(root, city):
            raise
