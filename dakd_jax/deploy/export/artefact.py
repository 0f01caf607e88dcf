"""What an exported file carries beside the network: its record, which holds a hash over all of the file.

The record is JSON text in the file itself (ONNX's metadata; a zip archive at the end of TFLite and StableHLO, which
their readers pass over; a file in a SavedModel's folder), so that no parser is needed to find it.
"""

import base64
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Mapping

import numpy as np
from PIL import Image

from dakd_jax.basics.errors import UserError
from dakd_jax.deploy import export

VERSION = 1  # of the record
IN_FOLDER = pathlib.PurePath("assets.extra", "dakd_export.json")  # SavedModel keeps what lies in this folder
_KEY = "dakd_export"
_START = f'{{"{_KEY}": '.encode()
_NO_HASH = "0" * 64
_MARK = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class Pair:
    """A picture and what the network says of it.

    Attributes:
      picture: uint8 [H, W, 3] RGB.
      labels: uint8 [H, W].
    """

    picture: np.ndarray
    labels: np.ndarray

    def packed(self) -> dict[str, str]:
        """As text: PNGs in base64."""
        return {name: base64.b64encode(png(getattr(self, name))).decode() for name in ("picture", "labels")}

    @classmethod
    def unpacked(cls, packed: Mapping[str, str]) -> "Pair":
        return cls(
            *(np.asarray(Image.open(io.BytesIO(base64.b64decode(packed[name])))) for name in ("picture", "labels"))
        )


def png(array: np.ndarray) -> bytes:
    """A picture's file, as small as it gets."""
    content = io.BytesIO()
    Image.fromarray(array).save(content, "png", optimize=True)
    return content.getvalue()


@dataclasses.dataclass(frozen=True)
class Artefact:
    """An exported file whose hash is right.

    Attributes:
      path: of the file, of a SavedModel's folder.
      record: what exporting.export wrote.
    """

    path: pathlib.Path
    record: dict

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of its input, None for any."""
        return tuple(self.record["size"]) if self.record["size"] else None

    def pairs(self) -> list[Pair]:
        """The golden ones."""
        return [Pair.unpacked(one) for one in self.record["golden"]["pairs"]]

    @property
    def is_code(self) -> bool:
        """Whether to load it is to run what somebody wrote."""
        return self.record["format"] == "savedmodel"

    def may_run(self, *, trust: bool = False) -> bool:
        """Whether it is data, or code that this machine exported or that is trusted."""
        return trust or not self.is_code or is_known(self.record["sha256"])

    def runner(self, threads: int = 0, *, trust: bool = False):
        """From a picture uint8 [1, height, width, 3] to the outputs by name.

        Args:
          threads: 0 for as many as there are cores; jax and TensorFlow keep their own.
          trust: whether code that another machine exported may run.

        Raises:
          UserError: the runtime is not installed, or it is code and not to be trusted.
        """
        export.require_packages(self.record["format"])
        if not self.may_run(trust=trust):
            raise UserError(
                f"{self.path}: a SavedModel is code, and this one was not exported on this machine; if you trust who "
                "made it, say so: dakd check --trust, dakd_jax.load(PATH, trust=True)"
            )
        run = export.module(self.record["format"]).runner
        return run(self.path if self.path.is_dir() else self.path.read_bytes(), threads)


def is_known(sha256: str) -> bool:
    """Whether this user exported the file of that hash on this machine."""
    try:
        return sha256 in _exported().read_text().split()
    except OSError:
        return False


def remember(sha256: str) -> None:
    """Keeps a hash for is_known, where the user's folder can be written."""
    try:
        _exported().parent.mkdir(parents=True, exist_ok=True)
        with _exported().open("a") as file:
            file.write(f"{sha256}\n")
    except OSError:
        pass


def _exported() -> pathlib.Path:
    home = os.environ.get("XDG_STATE_HOME") or pathlib.Path("~", ".local", "state").expanduser()
    return pathlib.Path(home, "dakd_jax", "exported.txt")


def text(record: Mapping) -> str:
    """A record as it is put into a file, still without the hash, which `signed` fills in."""
    return json.dumps({_KEY: VERSION, "sha256": _NO_HASH, **record})


def signed(content: bytes) -> bytes:
    """A file that holds a record's text, with its hash in it."""
    at = _place_of_hash(content)
    return content[:at] + _hash(content, at).encode() + content[at + len(_NO_HASH) :]


def sign_folder(folder: pathlib.Path, record: Mapping) -> None:
    """Writes a record into a SavedModel's folder."""
    file = folder / IN_FOLDER
    file.parent.mkdir(exist_ok=True)
    content = text(record).encode()
    at = _place_of_hash(content)
    file.write_bytes(content[:at] + _hash_folder(folder, content, at).encode() + content[at + len(_NO_HASH) :])


def with_zip(content: bytes, record_text: str) -> bytes:
    """A file with an archive at its end, in which the record lies uncompressed."""
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr(zipfile.ZipInfo(f"{_KEY}.json"), record_text)
    return whole.getvalue()


def looks_like(path: str | os.PathLike) -> bool:
    """Whether a path is of an exported file or a SavedModel, ours or not."""
    path = pathlib.Path(path).expanduser()
    return (path / _MARK).is_file() or (path.is_file() and path.suffix.lower() in filter(None, export.ENDINGS.values()))


def read(path: pathlib.Path) -> Artefact:
    """The artefact of a path, after its hash was checked; nothing in it is run.

    Raises:
      UserError: it is missing, none of ours, of another version, or was altered.
    """
    folder = (path / _MARK).is_file()
    try:
        content = (path / IN_FOLDER if folder else path).read_bytes()
    except FileNotFoundError:
        raise _none_of_ours(path) if folder else UserError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name a file that dakd export wrote") from error
    record = _record(path, content)
    at = _place_of_hash(content)
    found = _hash_folder(path, content, at) if folder else _hash(content, at)
    if record.get("sha256") != found:
        raise UserError(f"{path} was altered since it was exported (its hash is another); export it again")
    if not _is_consistent(record):
        raise UserError(f"{path}: its record contradicts itself (format, classes, colours); export it again")
    return Artefact(path, record)


def _is_consistent(record: Mapping) -> bool:
    """Whether classes, colours and golden labels go together, for one that somebody wrote by hand."""
    try:
        known, classes = record["format"] in export.CELLS, len(record["classes"])
        labels = [Pair.unpacked(one).labels.max() for one in record["golden"]["pairs"]]
        return known and np.shape(record["palette"]) == (classes, 3) and bool(labels) and max(labels) < classes
    except (KeyError, TypeError, ValueError, OSError):
        return False


def _record(path: pathlib.Path, content: bytes) -> dict:
    start = content.rfind(_START)
    if start < 0:
        raise _none_of_ours(path)
    try:
        record, _ = json.JSONDecoder().raw_decode(content[start:].decode("latin-1"))
    except ValueError as error:
        raise UserError(f"{path} is cut or damaged: its record cannot be read; export it again") from error
    if record.get(_KEY) != VERSION:
        raise UserError(
            f"{path} is of format version {record.get(_KEY)}, and this dakd_jax reads {VERSION}; export it again, or "
            "use the version that wrote it"
        )
    return record


def _none_of_ours(path: pathlib.Path) -> UserError:
    return UserError(
        f"{path} holds no record of dakd export: what its labels mean is not known; export the network again"
    )


def _place_of_hash(content: bytes) -> int:
    return re.compile(rb'"sha256": "').search(content, content.rfind(_START)).end()


def _hash(content: bytes, at: int) -> str:
    """sha256 of all bytes, with zeros in place of the hash."""
    digest = hashlib.sha256(content[:at])
    digest.update(_NO_HASH.encode())
    digest.update(content[at + len(_NO_HASH) :])
    return digest.hexdigest()


def _hash_folder(folder: pathlib.Path, content: bytes, at: int) -> str:
    """sha256 of all files and their names, that of the record with zeros in place of the hash."""
    digest = hashlib.sha256(_hash(content, at).encode())
    for file in sorted(one for one in folder.rglob("*") if one.is_file() and one != folder / IN_FOLDER):
        digest.update(
            f"{file.relative_to(folder).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode()
        )
    return digest.hexdigest()
