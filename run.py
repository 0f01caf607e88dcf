"""Train and evaluate: python run.py --config=configs/bdd_case_d.py [--workdir=DIR] [--config.FIELD=VALUE ...]

Modes:
  train     (default) prints the plan, trains what is missing, evaluates, writes the report
  plan      prints the plan and stops
  evaluate  scores --config.eval.checkpoint (a stage folder or .pth file) on target val
"""

import os
import pathlib
import shlex
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console

from dakd_jax import commands
from dakd_jax.errors import UserError
from data_pipelines.errors import DataError
from data_pipelines.feed import Feed

_CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/demo.py", "Experiment: a file of configs/.", lock_config=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where everything goes; default: config.workdir, else runs/<data.name>."
)
_MODE = flags.DEFINE_enum("mode", "train", sorted(commands.MODES), "What to do.")

USER_MISTAKE, INTERRUPTED = 2, 130


def main(argv: list[str]) -> None:
    """Dispatches to a mode."""
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}: settings are given as --config.FIELD=VALUE")
    logging.set_verbosity(logging.WARNING)  # orbax reports every file that it touches
    config, console = _CONFIG.value, Console()
    name = pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"]).split(":")[0]).stem
    workdir = pathlib.Path(_WORKDIR.value or config.workdir or f"runs/{config.data.name}")
    feed = Feed(config.data, progress=commands.rendering_progress(console))
    command = shlex.join(["python", *sys.argv])
    commands.MODES[_MODE.value](config, feed, workdir, console, name=name, command=command)


def _parse(argv: list[str]) -> list[str]:
    """Flags, with the mistakes of their values as UserError."""
    try:
        return flags.FLAGS(argv, known_only=False)
    except UserError:
        raise
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"command line: {' '.join(str(error).split())}") from error


def _main_with_exit_codes() -> None:
    try:
        app.run(main, flags_parser=_parse)
    except (UserError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USER_MISTAKE)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    _main_with_exit_codes()
