"""The file in which a teacher's answers to a split's pictures are kept, one record of fixed size each.

A record is the answer's bytes, and after them the SHA-256 of what the answer is of and of these bytes. What a killed
process left of a record, and what has changed since, does not fit its hash and counts as not there. Records are written
with single calls at their own place, always with the same bytes, so that several processes may fill one file.
"""

import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator

import numpy as np

from dakd_jax.basics import disk_faults, records

FOLDER = "answers"  # of a run's folder
_ENDING, _DIGITS, _HASH_BYTES = ".answers", 10, 32
_ABSENT = bytes(_HASH_BYTES)  # what a hole in the file reads as


class AnswerFile:
    """Answers by slot, a number >= 0.

    Args:
      folder: made where missing, with the first answer.
      name: begins the file's name.
      of: all that the answers depend on, as plain data; written beside them as JSON.
      entries, dtype: of the array that an answer is.
      capacity: slots from it on are not kept.
      reserve: bytes that are left free on the disk.
      say: told in one line, once, that no more can be kept.

    Attributes:
      full: whether no more can be kept.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        name: str,
        of: dict,
        *,
        entries: int,
        dtype: str,
        capacity: int,
        reserve: int = 0,
        say: Callable[[str], None] = lambda line: None,
    ):
        self._of = records.plain(of) | {"entries": entries, "dtype": dtype}
        key = records.hash_json(self._of)
        self.path = folder / f"{name}-{key[:_DIGITS]}{_ENDING}"
        self.capacity, self._reserve, self._say = capacity, reserve, say
        self._layout = _Layout(bytes.fromhex(key), entries * np.dtype(dtype).itemsize)
        self._dtype, self._file, self.full = np.dtype(dtype), None, False

    def __contains__(self, slot: int) -> bool:
        """Whether an answer lies there; `read` finds out whether it is whole."""
        return self._open(create=False) and self._layout.filled(self._file, slot)

    def read(self, slot: int) -> np.ndarray | None:
        """The answer [entries]; None where there is no whole one."""
        if not self._open(create=False):
            return None
        try:
            content = self._layout.read(self._file, slot)
        except OSError:  # a disk that cannot be read: the teacher can be asked
            return None
        return None if content is None else np.frombuffer(content, self._dtype)

    def write(self, slot: int, answer: np.ndarray) -> None:
        """Keeps an answer [entries] if there is room for it."""
        if slot >= self.capacity or self.full:
            return
        try:
            disk_faults.require_space(self._existing_folder(), self._layout.record + self._reserve)
            self._open(create=True)
            self._layout.write(self._file, slot, np.ascontiguousarray(answer, self._dtype).tobytes())
        except OSError as error:
            self.full = True
            self._say(f"no more answers of the teacher are kept in {self.path.parent} ({error.strerror}); it is asked")

    @property
    def record_bytes(self) -> int:
        """What an answer takes."""
        return self._layout.record

    def count(self) -> int:
        """How many answers lie there; their hashes are not compared."""
        return self._layout.count(self.path)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _existing_folder(self) -> pathlib.Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.parent

    def _open(self, *, create: bool) -> bool:
        if self._file is not None:
            return True
        if not create and not self.path.exists():
            return False
        try:
            if create and not self.path.exists():
                records.write_json(self.path.with_suffix(".json"), self._of)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT * create, 0o666)
        except OSError:
            if create:
                raise
            return False
        return True


class _Layout:
    """Where the bytes of slots are.

    Args:
      key: of what the answers are of.
      size: bytes of an answer.
    """

    def __init__(self, key: bytes, size: int):
        self._key, self._size = key, size
        self.record = size + _HASH_BYTES

    def _hash(self, slot: int, content: bytes) -> bytes:
        digest = hashlib.sha256(self._key + slot.to_bytes(8, "little"))
        digest.update(content)
        return digest.digest()

    def write(self, file: int, slot: int, content: bytes) -> None:
        """Raises OSError; what was written of the record does not count then."""
        rest, place = memoryview(content + self._hash(slot, content)), slot * self.record
        while rest:  # a full disk takes a part first, and raises at the next
            done = os.pwrite(file, rest, place)
            rest, place = rest[done:], place + done

    def read(self, file: int, slot: int) -> bytes | None:
        """None where there is none, or not what was written."""
        found = os.pread(file, self.record, slot * self.record)
        content, told = found[: self._size], found[self._size :]
        return content if told == self._hash(slot, content) else None

    def filled(self, file: int, slot: int) -> bool:
        """Whether a record has its end."""
        told = os.pread(file, _HASH_BYTES, slot * self.record + self._size)
        return len(told) == _HASH_BYTES and told != _ABSENT

    def slots(self, path: pathlib.Path) -> Iterator[tuple[int, int]]:
        """(open file, slot) of each record that has its end."""
        if not path.exists():
            return
        file = os.open(path, os.O_RDONLY)
        try:
            for slot in range(os.fstat(file).st_size // self.record):
                if self.filled(file, slot):
                    yield file, slot
        finally:
            os.close(file)

    def count(self, path: pathlib.Path) -> int:
        return sum(1 for _ in self.slots(path))


def verified(workdir: pathlib.Path) -> Iterator[tuple[str, str, bool]]:
    """(name, what is to be said of it, whether it is sound) of each file of answers in a run's folder."""
    for path in sorted((workdir / FOLDER).glob(f"*{_ENDING}")):
        yield path.name, *_verified(path)


def _verified(path: pathlib.Path) -> tuple[str, bool]:
    of = records.read_json(path.with_suffix(".json"))
    if of is None:
        return f"{path.stem}.json, which tells what the answers are of, cannot be read", False
    key = records.hash_json(of)
    if not re.fullmatch(rf".*-{key[:_DIGITS]}", path.stem):
        return f"{path.stem}.json tells of other answers", False
    layout = _Layout(bytes.fromhex(key), of["entries"] * np.dtype(of["dtype"]).itemsize)
    found = [layout.read(file, slot) is not None for file, slot in layout.slots(path)]
    told = f"{sum(found)} answers of the teacher {str(of.get('teacher'))[:_DIGITS]}"
    damaged = len(found) - sum(found)
    return (f"{told}; {damaged} damaged, which will be asked again", False) if damaged else (f"{told}, whole", True)
