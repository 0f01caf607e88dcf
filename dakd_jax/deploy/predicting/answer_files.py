"""The folder that answers are written to: each file whole or not at all, and which of them are there already."""

import contextlib
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dakd_jax.basics import atomic_files, records
from dakd_jax.basics.errors import UserError
from dakd_jax.deploy.predicting import film_writing
from dakd_jax.deploy.predicting.film_writing import FilmAnswers, Timing
from dakd_jax.deploy.predicting.inputs import Input, place_mark

RECORD = "predict.json"
FORMAT = 1
LABELS, COLOURS, OVERLAYS, CONFIDENCE, BESIDE = "labels", "colours", "overlays", "confidence", "beside"
KINDS = (LABELS, COLOURS, OVERLAYS, CONFIDENCE, BESIDE)
_NUMBERS = (LABELS, CONFIDENCE)  # whose films lose no bit
_MARK = "Input"  # of the text in a file of labels: which picture it is of; and, beside a film's, in a JSON file:
_LENGTHS, _LOST = "bytes", "lost"  # how long the films are, and what of the film could not be read
_START, _END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_LITTLE_COMPRESSION = 1  # of PNG: a third of the time, and pictures of photographs are large in any case


class AnswerFiles:
    """KIND/NAME in a folder, for each kind that is wanted: a PNG of a picture, a film of a film.

    The labels get their name last, and after those of a film a JSON file that says what they are of.

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

    def path(self, kind: str, one: Input) -> pathlib.Path:
        """Of an answer."""
        return self._folder / kind / f"{one.name}.{self._ending(kind) if one.is_film() else 'png'}"

    def taken_by_another(self, path: pathlib.Path, name: str) -> bool:
        """Whether answers under a name are those of a picture or film that lies elsewhere."""
        place = place_mark(path)
        marks = (self._mark_of_picture(name), str(self._about_film(name).get(_MARK, "")))
        return any(mark and mark.split()[0] != place for mark in marks)

    def are_there(self, one: Input) -> bool:
        """Whether all answers for a picture or film, as it is now, are there and whole."""
        try:
            if not one.is_film():
                whole = all(_is_whole(self.path(kind, one)) for kind in self._kinds)
                return whole and self._mark_of_picture(one.name) == one.mark()
            about = self._about_film(one.name)
            lengths = {kind: self.path(kind, one).stat().st_size for kind in self._kinds}
            return about.get(_LENGTHS) == lengths and about.get(_MARK) == one.mark()
        except OSError:
            return False

    def lost(self, one: Input) -> str:
        """What could not be read of a film whose answers are there, '' for nothing."""
        return str(self._about_film(one.name).get(_LOST, "")) if one.is_film() else ""

    def write(self, one: Input, mark: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes all answers for a picture, whose mark was taken before it was read."""
        text = PngInfo()
        text.add_text(_MARK, mark)
        for kind in reversed(self._labels_first()):
            content = io.BytesIO()
            more = {"pnginfo": text} if kind == LABELS else {}
            Image.fromarray(arrays[kind]).save(content, "png", compress_level=_LITTLE_COMPRESSION, **more)
            with self._telling():
                atomic_files.write_bytes(self.path(kind, one), content.getbuffer())

    @contextlib.contextmanager
    def film(self, one: Input, mark: str, timing: Timing) -> Iterator[FilmAnswers]:
        """The films of a film's answers, which get their names at a clean end; else nothing is left of them."""
        with self._telling():
            with contextlib.ExitStack() as names:
                paths = {}
                for kind in self._labels_first():  # what is entered last gets its name first
                    paths[kind] = names.enter_context(atomic_files.replacing(self.path(kind, one)))
                with FilmAnswers(paths, self._ending, timing) as films:
                    yield films
                lengths = {kind: path.stat().st_size for kind, path in paths.items()}
            records.write_json(self._about_path(one.name), {_MARK: mark, _LENGTHS: lengths, _LOST: films.lost})

    @staticmethod
    def _ending(kind: str) -> str:
        """Of a film."""
        return film_writing.NUMBERS if kind in _NUMBERS else film_writing.PICTURES

    def _labels_first(self) -> list[str]:
        return sorted(self._kinds, key=lambda kind: kind != LABELS)

    def _about_path(self, name: str) -> pathlib.Path:
        return self._folder / LABELS / f"{name}.json"

    def _about_film(self, name: str) -> dict:
        """What is written of the answers of a film, {} where there are none."""
        try:
            return records.read_json(self._about_path(name)) or {}
        except OSError:
            return {}

    def _mark_of_picture(self, name: str) -> str:
        """What the labels under a name say they are of, '' where there are none."""
        try:
            with Image.open(self._folder / LABELS / f"{name}.png", formats=["PNG"]) as picture:
                return str(picture.info.get(_MARK, ""))
        except (OSError, SyntaxError, ValueError):
            return ""

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """An OSError inside is a UserError."""
        try:
            yield
        except OSError as error:
            raise self._cannot_write(error) from error

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
