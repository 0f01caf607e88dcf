"""The files of a checkpoint, and whether they are those that were saved. Knows no orbax.

A checkpoint is damaged if its bytes on the disk are not those that were saved, and by nothing else: a read that fails
says nothing about them. `about.json` is whole before the checkpoint gets its name, so that a torn one is damage.
"""

import contextlib
import hashlib
import pathlib
import stat
from collections.abc import Iterator

from dakd_jax.basics import disk_faults, records
from dakd_jax.basics.errors import UserError

# 1: the state under default/, without about.json; 2: about.json without the files and without its own hash; 3: a state
# as train_state.StateOfFormat3.
FORMAT = 4
ABOUT, STATE, STATE_OF_FORMAT_1 = "about.json", "state", "default"
DAMAGED = "damaged-"  # begins the name of a checkpoint that was set aside
_HASH = "hash"  # of about.json's other content
_WHOLE = {"identity", "checksum", "files", _HASH}
_NEEDED = {1: set(), 2: {"identity", "checksum"}, 3: _WHOLE, 4: _WHOLE}  # keys by format
_MOST = 3  # problems of one checkpoint in one message


class Damaged(Exception):
    """The bytes of a checkpoint are not those that were saved; the message says what is off."""


class UnreadableCheckpoint(OSError):
    """A checkpoint that may be sound could not be read, by a fault of the disk or of this process."""


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Turns a fault of reading `path` or what is below it into an UnreadableCheckpoint; everything else passes."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if fault := disk_faults.find(error, path, disk_faults.READING):
            raise UnreadableCheckpoint(fault.errno, fault.strerror, fault.filename or str(path)) from error
        raise


def steps(folder: pathlib.Path) -> list[int]:
    """Steps of the checkpoints in a stage's folder of them that are whole, in order."""
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def damaged(folder: pathlib.Path) -> list[str]:
    """Names of the checkpoints in a stage's folder of them that were set aside, by step."""
    found = [path.name.removeprefix(DAMAGED) for path in folder.glob(f"{DAMAGED}*")]
    return [f"{DAMAGED}{step}" for step in sorted(filter(str.isdecimal, found), key=int)]


def write_about(path: pathlib.Path, about: dict) -> None:
    """Writes the about.json of the checkpoint at `path`: `about` (JSON-safe), the format, the files under state/.

    Raises:
      OSError: the files cannot be read, or the new one not be written.
    """
    names = sorted(str(file.relative_to(path)) for file in (path / STATE).rglob("*") if file.is_file())
    files = {name: {"size": _size(path / name), "sha256": _sha256(path / name)} for name in names}
    about = records.plain({"format": FORMAT, **about, "files": files})
    records.write_json(path / ABOUT, about | {_HASH: records.hash_json(about)})


def read_about(path: pathlib.Path) -> dict:
    """What about.json says of a checkpoint; {'format': 1} of the first format. Of a later format: not checked.

    Raises:
      Damaged: it is missing, torn or changed.
      OSError: it cannot be read.
    """
    if disk_faults.retried((path / STATE_OF_FORMAT_1).is_dir):
        return {"format": 1}
    about = disk_faults.retried(lambda: records.read_json(path / ABOUT))
    if about is None or about.get("format", 1) == 1:  # the first format has none
        raise Damaged(f"{ABOUT} is {'torn' if (path / ABOUT).exists() else 'missing'}")
    if is_known(about):
        rest = {key: value for key, value in about.items() if key != _HASH}
        if not _NEEDED[about["format"]] <= about.keys():
            raise Damaged(f"{ABOUT} lacks {', '.join(sorted(_NEEDED[about['format']] - about.keys()))}")
        if _HASH in about and about[_HASH] != records.hash_json(rest):
            raise Damaged(f"{ABOUT} has changed")
    return about


def is_known(about: dict) -> bool:
    """Whether an about.json is of a format that this version reads."""
    return about["format"] in tuple(_NEEDED)


def problems(path: pathlib.Path, about: dict) -> Iterator[str]:
    """What is off with the files of a checkpoint, by what its about.json says; nothing before format 3.

    Sizes first, since they cost nothing.

    Raises:
      OSError: one cannot be read.
    """
    of_that_size = []
    for name, told in about.get("files", {}).items():
        size = disk_faults.retried(lambda file=path / name: _size(file))
        if size is None:
            yield f"{name} is missing"
        elif size != told["size"]:
            yield f"{name} has {size} bytes instead of {told['size']}"
        else:
            of_that_size.append(name)
    for name in of_that_size:
        if disk_faults.retried(lambda file=path / name: _sha256(file)) != about["files"][name]["sha256"]:
            yield f"the bytes of {name} have changed"


def verify(folder: pathlib.Path) -> Iterator[str]:
    """What is off with the checkpoints in a stage's folder of them, a line for each of these."""
    if not folder.is_dir():
        return
    for step in (whole := steps(folder)):
        try:
            found = list(problems(folder / str(step), about := read_about(folder / str(step))))
            if not is_known(about):
                found = [f"it is of format {about['format']}, this version reads 1 to {FORMAT}"]
        except Damaged as damage:
            found = [str(damage)]
        except OSError as error:
            found = [f"it cannot be read ({error.strerror or error})"]
        if found:
            more = [f"{len(found) - _MOST} more"] * (len(found) > _MOST)
            yield f"checkpoint {step}: {', '.join(found[:_MOST] + more)}"
    if not whole and (aside := damaged(folder)):
        yield f"all its checkpoints are damaged ({', '.join(aside)})"


def _size(file: pathlib.Path) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _sha256(file: pathlib.Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
