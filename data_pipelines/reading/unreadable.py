"""Training pictures that became unreadable on the way: left out, counted, up to a limit."""

import logging
import threading
from collections.abc import Callable

from data_pipelines.basics.errors import DataError, UnreadableFile


def _warn(line: str) -> None:
    logging.getLogger(__name__).warning(line)


class Unreadable:
    """The training pictures that could not be read; the threads of a loader share it.

    Its length is their number: each counts once, however often it comes up, and even if it comes back.
    """

    def __init__(self, limit: int, report: Callable[[str], None] = _warn):
        """limit: how many different pictures may be left out, >= 0. report: told in one line about each."""
        self._limit, self._report = limit, report
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    def leave_out(self, picture: str, error: UnreadableFile) -> None:
        """Counts a picture, DATASET/SPLIT/NAME.

        Raises:
          DataError: it is one more than may be left out.
        """
        with self._lock:
            if picture in self._reasons:
                return
            number = len(self._reasons) + 1
            if number > self._limit:
                raise DataError(
                    f"{error}; it is number {number} of the training pictures that cannot be read, and "
                    f"--config.data.max_unreadable={self._limit} may be left out"
                )
            self._reasons[picture] = str(error)
            self._report(f"left out, number {number} of at most {self._limit}: {error}")

    def remember(self, reasons: dict[str, str]) -> None:
        """Counts pictures that an earlier process of the same run left out, as `reasons` gives them."""
        with self._lock:
            self._reasons = {**reasons, **self._reasons}

    @property
    def reasons(self) -> dict[str, str]:
        """Picture, DATASET/SPLIT/NAME, to what is wrong with it, in the order in which they were met."""
        with self._lock:
            return dict(self._reasons)

    def __len__(self) -> int:
        return len(self._reasons)
