"""Event files for TensorBoard, written at once and named by their number.

tensorboardX's own writer gives rows to a thread that sleeps by the wall clock, and names its files by it: where that
clock goes back, the thread dies and training waits for it for ever, and a run that goes on is read out of order.
"""

import pathlib
import re
import struct
import time

import numpy as np
from tensorboardX import summary
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

_NAME = "events{:06d}.out.tfevents"  # sorts behind tensorboardX's "events.out.tfevents.SECONDS..."
_NUMBER = re.compile(r"events(\d{6})\.")


class EventFile:
    """A new event file, the last one of a folder.

    Args:
      folder: for TensorBoard; it is made if it is not there.
      start_step: TensorBoard forgets what earlier files hold of later steps.
    """

    def __init__(self, folder: pathlib.Path, start_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(found[1]) for path in folder.iterdir() if (found := _NUMBER.match(path.name))]
        self._file = (folder / _NAME.format(max(numbers, default=0) + 1)).open("xb")
        self._write(file_version="brain.Event:2")
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(step=start_step + 1, session_log=started)
        self.flush()

    def scalar(self, step: int, name: str, value: float) -> None:
        """Adds a point to a curve."""
        self._write(step=step, summary=summary.scalar(name, value))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Adds a uint8 [H, W, 3] picture, and flushes."""
        self._write(step=step, summary=summary.image(name, image, dataformats="HWC"))
        self.flush()

    def flush(self) -> None:
        """Hands all to the system: a process that is killed loses none of it."""
        self._file.flush()

    def close(self) -> None:
        """Flushes as well."""
        self._file.close()

    def _write(self, **fields) -> None:
        data = event_pb2.Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(data))
        checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
        self._file.write(b"".join((length, next(checksums), data, next(checksums))))
