"""Shared by the commands of data_pipelines: absl flags, mistakes in a line, exit codes, ending at a signal."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

from absl import flags
from rich.console import Console

from data_pipelines.basics import plugins
from data_pipelines.basics.errors import DataError
from data_pipelines.pictures.wide_pixels import BIT_DEPTH_MEANS, BIT_DEPTHS

DONE, USER_MISTAKE = 0, 2
_PLUGINS = "plugins"


class StoppedBySignal(KeyboardInterrupt):
    """The command was asked to stop by a signal, `number`."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def main(
    arguments: Sequence[str],
    define_flags: Callable[[flags.FlagValues], None],
    run: Callable[[flags.FlagValues, Console], int | None],
    usage: str,
) -> int:
    """Runs a command.

    Args:
      arguments: sys.argv.
      define_flags: adds the command's flags.
      run: does the work; what it returns is the exit code, None stands for 0.
      usage: printed for --help.

    Returns:
      the exit code: 2 after a mistake of the user's, which is one line on stderr; when it was stopped 128 and the
      signal's number, as shells have it: 130 by Ctrl-C, 143 by a polite kill, 129 by a terminal that was closed.
    """
    console = Console() if sys.stdout.isatty() else Console(width=110)
    if {"--help", "-h"} & set(arguments[1:]):
        print(usage.strip())
        return DONE
    asked = _stop_when_asked()
    try:
        return run(_parse(arguments, define_flags), console) or DONE
    except (KeyboardInterrupt, DataError, OSError) as error:
        if asked or isinstance(error, KeyboardInterrupt):  # with the terminal gone, any output on the way out fails
            return _stopped(asked[0] if asked else signal.SIGINT)
        if isinstance(error, DataError):
            print(f"error: {error}", file=sys.stderr)
            return USER_MISTAKE
        if isinstance(error, BrokenPipeError):  # the reader of the output, e.g. `head`, has gone
            _drop(sys.stdout)
            return DONE
        raise


def check_bit_depth(value: int) -> None:
    """Raises a DataError for a --bit_depth that cannot be."""
    if value and value not in BIT_DEPTHS:
        raise DataError(f"--bit_depth={value}: expected {BIT_DEPTH_MEANS}")


def _stop_when_asked() -> list[int]:
    """From now on SIGTERM and SIGHUP end the command as Ctrl-C does; returns what the signals are noted in.

    A SIGHUP that is ignored already stays so: the command was started with nohup, to outlive its terminal.
    """
    asked: list[int] = []

    def stop(number, frame):
        again = number in asked
        asked.append(number)
        if not (again and number == signal.SIGHUP):  # a closed terminal comes twice, from the system and the shell
            raise StoppedBySignal(number)

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, stop)
    return asked


def _stopped(number: int) -> int:
    """Says so where that can be read; returns the exit code."""
    for stream, line in ((sys.stdout, ""), (sys.stderr, "stopped; give the same command to go on\n")):
        try:
            stream.write(line)
            stream.flush()
        except OSError:
            _drop(stream)
    return 128 + number


def _drop(stream) -> None:
    """Nothing that is still to be written to a stream, of which the other end has gone, can fail any more."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _parse(arguments: Sequence[str], define_flags: Callable[[flags.FlagValues], None]) -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_list(_PLUGINS, [], "Files or modules that bring data sets.", flag_values=values)
    plugins.load(_plugins(arguments))  # before the other flags: what they may be depends on it
    define_flags(values)
    try:
        rest = values(list(arguments))[1:]
    except flags.Error as error:
        raise DataError(f"command line: {' '.join(str(error).split())} (--help shows all flags)") from None
    if rest:
        raise DataError(f"unexpected argument {rest[0]!r}: settings are given as --FLAG=VALUE")
    return values


def _plugins(arguments: Sequence[str]) -> list[str]:
    """What --plugins names among the words of a command: the last one counts, as for every flag."""
    found, words = "", iter(arguments[1:])
    for word in words:
        flag, equals, value = word.partition("=")
        if word == "--":
            break
        if flag in (f"--{_PLUGINS}", f"-{_PLUGINS}"):
            found = value if equals else next(words, "")
    return [name.strip() for name in found.split(",")]
