"""What the commands of this room share: absl flags, one-line mistakes, exit codes."""

import os
import signal
import sys
from collections.abc import Callable, Sequence

from absl import flags
from rich.console import Console

from data_pipelines.errors import DataError

DONE, USER_MISTAKE, INTERRUPTED = 0, 2, 130


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
      the exit code; a mistake of the user's is one line on stderr.
    """
    console = Console() if sys.stdout.isatty() else Console(width=110)
    if {"--help", "-h"} & set(arguments[1:]):
        print(usage.strip())
        return DONE
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill ends as Ctrl-C does
    try:
        return run(_parse(arguments, define_flags), console) or DONE
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        print("stopped; give the same command to go on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, e.g. `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _parse(arguments: Sequence[str], define_flags: Callable[[flags.FlagValues], None]) -> flags.FlagValues:
    values = flags.FlagValues()
    define_flags(values)
    try:
        rest = values(list(arguments))[1:]
    except flags.Error as error:
        raise DataError(f"command line: {' '.join(str(error).split())} (--help shows all flags)") from None
    if rest:
        raise DataError(f"unexpected argument {rest[0]!r}: settings are given as --FLAG=VALUE")
    return values
