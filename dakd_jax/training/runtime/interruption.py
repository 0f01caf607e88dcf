"""Stopping between two steps: Ctrl-C, a polite kill or a closed terminal waits until the step's result is in hand."""

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_seen: set[int] = set()  # signals that this process was stopped by


class Stopped(KeyboardInterrupt):
    """The run was asked to stop.

    Attributes:
      exit_code: 128 + the signal's number, as shells have it: 130 for Ctrl-C, 143 for a polite kill, 129 for a hangup.
    """

    def __init__(self, number: int):
        super().__init__()
        self.exit_code = 128 + number


def stop_on_signals() -> None:
    """From now on SIGTERM and SIGHUP raise Stopped, wherever the main thread is; StopRequest takes over inside it.

    A SIGHUP that is ignored (nohup) stays so.
    """
    _seen.clear()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if not _kept_off(number):
            signal.signal(number, _stop)


def _kept_off(number: int) -> bool:
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN


def _stop(number, frame):
    again = bool(_seen)
    impatient = _impatient(number, _seen)
    _seen.add(number)
    if impatient or not again:
        raise Stopped(number)


def _impatient(number: int, seen: set[int]) -> bool:
    """Whether a signal asks for more than those before it did: to stop at once.

    A hangup never does: the kernel sends one, the shell another, and a service manager sends it along with SIGTERM.
    """
    return number != signal.SIGHUP and bool(seen - {signal.SIGHUP})


class StopRequest:
    """A context in which the first SIGINT, SIGTERM or SIGHUP only sets `made`; a second one interrupts at once.

    A KeyboardInterrupt inside the step would come when the old state is donated and the new one not yet there.
    Hangups never interrupt at once, see _impatient, and a SIGHUP that is ignored (nohup) stays so. It may be entered
    again, with what was asked for before. Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self):
        self.made: int | None = None  # number of the signal
        self._seen: set[int] = set()
        self._previous = {}

    def __enter__(self):
        for number in SIGNALS:
            if _kept_off(number):
                continue
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread
                break
        return self

    def __exit__(self, *unused):
        _seen.update(self._seen)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number, frame):
        impatient = _impatient(number, self._seen)
        self._seen.add(number)
        if impatient:
            raise Stopped(number)
        self.made = self.made or number
