"""One of several processes of a run and the one that looks after it, so that it never waits for a process that is gone.

Where a process of a run is lost, jax ends the others in the middle of whatever they do, with a page on stderr, or an
exchange with it fails. The supervisor, which does nothing but wait, makes one line and exit code LOST of that.
"""

import os
import re
import signal
import sys
import threading
import time
import traceback

LOST = 5  # exit code
LINE = (
    "error: another process of this run was lost; give all processes the same command again: it goes on from the last "
    "checkpoint"
)
# How jax's coordination service, and a process itself, begin to say that another one is gone.
_BEGINS = re.compile(
    rb"error: another process|[EF]\d{4} .*(coordination|distributed service|PollForError|[Hh]eartbeat)"
)
# How an exchange by Gloo, NCCL or gRPC says it.
_OF_EXCHANGE = re.compile(
    r"Gloo|NCCL|nccl|Connection (closed|reset)|coordination|heartbeat|UNAVAILABLE|Socket closed|peer", re.ASCII
)
_state = {"supervised": False}


def split() -> int | None:
    """Forks: None in the process that is to work; its exit code in the one that waits for it, when it has ended.

    Before jax has looked for a device. SIGINT, SIGTERM and SIGHUP of the one that waits are passed on.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent, (read, write) = os.getpid(), os.pipe()
    if pid := os.fork():
        os.close(write)
        return _wait(pid, read)
    os.setpgid(0, 0)  # or Ctrl-C would come twice, from the terminal and passed on
    os.dup2(write, 2)
    os.close(read)
    os.close(write)
    _state["supervised"] = True
    sys.excepthook = _crashed
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return None


def ended(code: int) -> int:
    """Called with the exit code when all is done; returns it where this is no supervised process.

    One that ended well waits for the others; for one that did not, nobody has to wait.
    """
    if _state["supervised"]:
        if code == 0:
            from dakd_jax.training.runtime import processes

            processes.leave()
        _end(code)
    return code


def _end(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # jax would wait for the others for minutes


def _crashed(kind, error, trace) -> None:
    """What an exception that nobody expects comes to."""
    said = f"{kind.__name__}: {error}"
    if kind.__module__.split(".")[0] in ("jax", "jaxlib", "builtins") and _OF_EXCHANGE.search(said):
        print(LINE, file=sys.stderr)
        _end(LOST)
    traceback.print_exception(kind, error, trace)
    _end(1)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(LOST)


def _wait(pid: int, read: int) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN):
            signal.signal(number, lambda number, frame: os.kill(pid, number))
    held = _passed_on(read)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if held and code in (-signal.SIGABRT, LOST):  # both may say it at once
        print(LINE, file=sys.stderr)
        return LOST
    sys.stderr.buffer.write(held)
    return code if code >= 0 else 128 - code


def _passed_on(read: int) -> bytes:
    """Passes lines on to stderr to their end; returns those from the first one on that tells of a lost process."""
    held = b""
    with open(read, "rb", buffering=0) as pipe:
        rest = b""
        while piece := pipe.read(2**16):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if held or _BEGINS.match(line):
                    held += line + b"\n"
                else:
                    sys.stderr.buffer.write(line + b"\n")
            sys.stderr.buffer.flush()
    if not held:
        sys.stderr.buffer.write(rest)
        rest = b""
    return held + rest
