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
from data_pipelines.datasets import LAYOUTS
from data_pipelines.pictures.wide_pixels import BIT_DEPTH_MEANS, BIT_DEPTHS

DONE, USER_MISTAKE = 0, 2


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


def define_data_flags(values: flags.FlagValues, *required: str) -> None:
    """Flags that say which files are looked at, and how; `required` must be given besides --dataset and --source."""
    flags.DEFINE_enum("dataset", None, sorted(LAYOUTS), "Layout of the source.", flag_values=values)
    flags.DEFINE_string("source", None, "Folder of the dataset.", flag_values=values)
    flags.DEFINE_boolean("recursive", False, "Folders below a flat folder too.", flag_values=values)
    flags.DEFINE_integer("bit_depth", 0, "Bits that wide pictures use.", flag_values=values)
    flags.DEFINE_integer("num_workers", os.cpu_count() or 1, "Processes.", lower_bound=1, flag_values=values)
    flags.mark_flags_as_required(["dataset", "source", *required], flag_values=values)


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
    flags.DEFINE_list("plugins", [], "Files or modules that bring data sets.", flag_values=values)
    try:
        values(list(arguments), known_only=True)
        plugins.load(values.plugins)  # before the other flags: what they may be depends on it
        define_flags(values)
        rest = values(list(arguments))[1:]
    except flags.Error as error:
        said = " ".join(str(error).split())
        hint = ", or one that a file of --plugins brings" if "--dataset=" in said else ""
        raise DataError(f"command line: {said}{hint} (--help shows all flags)") from None
    if rest:
        raise DataError(f"unexpected argument {rest[0]!r}: settings are given as --FLAG=VALUE")
    return values
