"""Standard output and error that outlive their terminal: what is written after its end is lost, and nothing else.

A hangup takes the terminal away before a run has saved. Every write then raises (EIO; EPIPE where a pipe's reader went
along), also those of rich while it stops a bar, and would end the run in place of the save. No jax in here.
"""

import errno
import os
import sys
from typing import TextIO

GONE = {errno.EIO, errno.EPIPE}


class LastingStream:
    """A text stream that turns to /dev/null once its other end is gone; all else is the stream's own."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes, or does not; the number of letters."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._turn_away(error)
            return len(text)

    def flush(self) -> None:
        """Flushes what can be."""
        try:
            self._stream.flush()
        except OSError as error:
            self._turn_away(error)

    def _turn_away(self, error: OSError) -> None:
        """The descriptor too: C++ code writes there, and the interpreter flushes what is left when it ends."""
        if error.errno not in GONE:
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def install() -> None:
    """From now on sys.stdout and sys.stderr of this process last."""
    sys.stdout, sys.stderr = (stream and LastingStream(stream) for stream in (sys.stdout, sys.stderr))
