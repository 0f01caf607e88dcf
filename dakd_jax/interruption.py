"""Stopping between two steps: Ctrl-C or a polite kill waits until the step's result is in hand."""

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A context in which the first SIGINT or SIGTERM only sets `made`; the second one interrupts at once.

    A KeyboardInterrupt inside the step would come when the old state is donated and the new one not yet there.
    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self):
        self.made = False
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
            raise KeyboardInterrupt
        self.made = True
