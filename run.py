"""Domain adaptive knowledge distillation: python run.py --mode=X [--config=FILE.py[:PRESET]] [--config.FIELD=VALUE ...]

Without --mode it trains: python run.py --config=configs/bdd_case_d.py prints the plan, trains what is missing,
evaluates, writes the report. A command of your own is one file, named by --config.plugins (docs/EXTENDING.md).

Exit codes: 0 done; 1 verify or compare found a difference, or predict could not read every picture; 2 a mistake in the
command, config or files; 3 a loss became NaN or infinite; 4 stages of a table failed; 5 another process of the run was
lost; 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP (a closed terminal; ignored under nohup), all after saving:
the same command goes on.
"""

import gc
import logging
import os
import shlex
import sys
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import data_pipelines
from dakd_jax import __version__
from dakd_jax.basics import installation, progress
from dakd_jax.basics.errors import NonFiniteLoss, UserError
from dakd_jax.commands import COMMANDS, DIVERGED, DONE, INTERRUPTED, USER_MISTAKE, Context, Program, register_programs
from dakd_jax.commands.kit import command_line, help_pages, lasting_output
from dakd_jax.training.runtime import deterministic, interruption, supervision
from data_pipelines.basics.errors import DataError

# What is imported and traced makes millions of objects that stay: by default the collector goes through them hundreds
# of times before the first step.
gc.set_threshold(20_000, 20, 50)
register_programs(data_pipelines)


def run(arguments: Sequence[str], typed: Sequence[str]) -> int:
    """Does what the command line says, of which `typed` are the words as a person gave them; returns the exit code."""
    mode, rest = command_line.which(arguments)
    if isinstance(program := COMMANDS.get(mode), Program):
        return program.run(rest)
    if {"-h", "--help"} & set(arguments):
        print(help_pages.page(arguments, __doc__))
        return DONE
    invocation = command_line.parse(arguments)
    deterministic.set_up(invocation.config.train.deterministic)  # before jax looks for a device
    # Orbax reports every file that it touches, and its errors, which are raised as well, with their stacks.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    interruption.stop_on_signals()
    console = progress.make_console()

    def open_feed(data):
        from data_pipelines.feeding.feed import Feed

        return Feed(data, progress=progress.rendering(console))

    def toy_picture(index, size):
        from data_pipelines.datasets.toy_streets.render import render

        return render(0, "european", "example", index, size).image

    said = f"{installation.called()} {shlex.join(typed)}"
    handed = {"open_feed": open_feed, "toy_picture": toy_picture}
    context = Context(**vars(invocation), console=console, typed=said, **handed)
    return COMMANDS[context.mode].code(context)


def main(arguments: Sequence[str], typed: Sequence[str] | None = None) -> int:
    """Exit code of a command line; mistakes end as one line on stderr."""
    return supervision.ended(_code(arguments, arguments if typed is None else typed))


def _code(arguments: Sequence[str], typed: Sequence[str]) -> int:
    try:
        return run(arguments, typed)
    except (UserError, DataError, NonFiniteLoss) as error:
        by_word = isinstance(error, command_line.UnknownCommand) and [error.name] == list(typed[:1])
        print(f"error: {error.of_word if by_word else error}", file=sys.stderr)
        return DIVERGED if isinstance(error, NonFiniteLoss) else USER_MISTAKE
    except KeyboardInterrupt as stopped:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return getattr(stopped, "exit_code", INTERRUPTED)


def dakd(words: Sequence[str]) -> int:
    """Exit code of `dakd X ...`, which is `python run.py --mode=X ...`."""
    first, *rest = words or ["--help"]
    if first == "--version":
        print(f"dakd_jax {__version__}")
        return DONE
    if first in ("-h", "--help", "help"):
        print("dakd MODE ... is python run.py --mode=MODE ...\n")
        return main(["--help", *rest])
    return main(words) if first.startswith("-") else main([f"--mode={first}", *rest], words)


if __name__ == "__main__":
    lasting_output.install()
    sys.exit(main(sys.argv[1:]))
