"""Stopping between two steps: Ctrl-C or a polite kill waits until the step's result is in hand."""

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The run was asked to stop.

    Attributes:
      exit_code: 128 + the signal's number, as shells have it: 130 for Ctrl-C, 143 for a polite kill.
    """

    def __init__(self, number: int):
        super().__init__()
        self.exit_code = 128 + number


def stop_on_sigterm() -> None:
    """From now on a SIGTERM raises Stopped, wherever the main thread is; StopRequest takes over inside it."""
    signal.signal(signal.SIGTERM, _stop)


def _stop(number, frame):
    raise Stopped(number)


class StopRequest:
    """A context in which the first SIGINT or SIGTERM only sets `made`; the second one interrupts at once.

    A KeyboardInterrupt inside the step would come when the old state is donated and the new one not yet there.
    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self):
        self.made: int | None = None  # number of the signal
        self._previous = {}

    def __enter__(self):
        for number in SIGNALS:
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread
                break
        return self

    def __exit__(self, *unused):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.made:
            raise Stopped(number)
        self.made = number
