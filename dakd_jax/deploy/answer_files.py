"""The folder that answers are written to: each file whole or not at all, and which of them are there already."""

import io
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dakd_jax.basics import atomic_files, records
from dakd_jax.basics.errors import UserError
from dakd_jax.deploy.inputs import Input, place_mark

RECORD = "predict.json"
FORMAT = 1
LABELS, COLOURS, OVERLAYS, CONFIDENCE, BESIDE = "labels", "colours", "overlays", "confidence", "beside"
KINDS = (LABELS, COLOURS, OVERLAYS, CONFIDENCE, BESIDE)
_MARK = "Input"  # of the text in a file of labels: which picture it is of
_START, _END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_LITTLE_COMPRESSION = 1  # of PNG: a third of the time, and pictures of photographs are large in any case


class AnswerFiles:
    """KIND/NAME.png in a folder, for each kind that is wanted; the labels are written last.

    Args:
      folder: created where missing.
      kinds: what is written of each picture.
      of: all that the answers depend on but the pictures, as plain data.

    Raises:
      UserError: the folder holds other things, answers of another network, or cannot be written.
    """

    def __init__(self, folder: pathlib.Path, kinds: Sequence[str], of: Mapping):
        self._folder, self._kinds = folder, tuple(kinds)
        self._claim(records.plain({"format": FORMAT, "kinds": self._kinds, **of}))

    def _claim(self, record: dict) -> None:
        try:
            there = self._folder.exists() and any(not one.name.startswith(".") for one in self._folder.iterdir())
            found = records.read_json(self._folder / RECORD)
            if there and found is None:
                raise UserError(
                    f"--output={self._folder} holds other things, and no {RECORD} that says it holds answers; name a "
                    "new folder"
                )
            if found is None:
                records.write_json(self._folder / RECORD, record)
        except OSError as error:
            raise self._cannot_write(error) from error
        if found not in (None, record):
            differing = ", ".join(sorted(key for key in found | record if found.get(key) != record.get(key)))
            raise UserError(
                f"--output={self._folder} holds answers that were made otherwise ({differing} differ: {RECORD}); name "
                "another folder, or delete this one"
            )

    def path(self, kind: str, name: str) -> pathlib.Path:
        """Of an answer."""
        return self._folder / kind / f"{name}.png"

    def taken_by_another(self, picture: pathlib.Path, name: str) -> bool:
        """Whether the answers under a name are those of a picture that lies elsewhere."""
        mark = self._mark_of(name)
        return bool(mark) and mark.split()[0] != place_mark(picture)

    def are_there(self, one: Input) -> bool:
        """Whether all answers for a picture, as it is now, are there and whole."""
        try:
            return self._mark_of(one.name) == one.mark() and all(_is_whole(self.path(k, one.name)) for k in self._kinds)
        except OSError:
            return False

    def write(self, one: Input, mark: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes all answers for a picture, whose mark was taken before it was read."""
        text = PngInfo()
        text.add_text(_MARK, mark)
        for kind in sorted(self._kinds, key=lambda kind: kind == LABELS):
            content = io.BytesIO()
            more = {"pnginfo": text} if kind == LABELS else {}
            Image.fromarray(arrays[kind]).save(content, "png", compress_level=_LITTLE_COMPRESSION, **more)
            try:
                atomic_files.write_bytes(self.path(kind, one.name), content.getbuffer())
            except OSError as error:
                raise self._cannot_write(error) from error

    def _mark_of(self, name: str) -> str:
        """What the labels under a name say they are of, '' where there are none."""
        try:
            with Image.open(self.path(LABELS, name), formats=["PNG"]) as picture:
                return str(picture.info.get(_MARK, ""))
        except (OSError, SyntaxError, ValueError):
            return ""

    def _cannot_write(self, error: OSError) -> UserError:
        return UserError(
            f"cannot write {error.filename or self._folder}: {error.strerror}; make room or choose another --output, "
            "then give the same command to go on"
        )


def _is_whole(path: pathlib.Path) -> bool:
    """Whether a PNG begins and ends as one does. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(len(_START))
        file.seek(max(0, path.stat().st_size - len(_END)))
        return start == _START and file.read() == _END
