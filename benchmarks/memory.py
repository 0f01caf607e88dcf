"""Peak memory of a process and its children on Linux."""

import pathlib
import threading


class PeakMemory:
    """Samples the proportional set size (PSS: shared pages count once) while it is entered.

    Attributes:
      peak_mb: largest sum over this process and its children, MB.
    """

    def __init__(self, every_seconds: float = 0.1):
        self.peak_mb = 0.0
        self._every, self._stop = every_seconds, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, sum(map(_pss_mb, _family())))
            if self._stop.wait(self._every):
                return


def _family(process: str = "self") -> list[str]:
    """Ids of a process and all that it started."""
    found = [process]
    for task in pathlib.Path("/proc", process, "task").glob("*/children"):
        try:
            for child in task.read_text().split():
                found += _family(child)
        except OSError:  # it has just ended
            continue
    return found


def _pss_mb(process: str) -> float:
    try:
        lines = pathlib.Path("/proc", process, "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) * 1024 / 1e6
