"""Train and evaluate: python run.py --config=configs/bdd_case_d.py [--workdir=DIR] [--config.FIELD=VALUE ...]

--config=FILE.py[:PRESET] (default configs/demo.py) names the experiment; what is absent is sought in this project, by
path or name: `demo`. Every field of configs/base.py can be overridden, tuples as --config.data.target_size=640,360 or
640x360. --workdir (default config.workdir, else runs/<data.name>, or runs/SOURCE-TARGET where data.source or
data.target are given) is where everything goes. --seeds=0,1,2 trains under each of these seeds and reports mean, spread
and interval.

--replay=FOLDER runs the step of a blackbox-* folder again and names the first layer that is not finite.

With a table of the paper (--config=configs/table1.py or configs/main_tables.py, see docs/tables.md) every row is a
stage and a process of its own: --jobs=N at a time, --rows="KL 0.4,vi" for a part of them. --job=FILE is such a process.

--mode:
  train     (default) prints the plan, trains what is missing, evaluates, writes the report
  plan      prints the plan and stops
  evaluate  scores --config.eval.checkpoint (a stage folder, FILE or FILE#KEY: docs/weights.md) on target val
  protocols scores the plan's finished networks, or --config.eval.checkpoint, under every protocol at once, with a page
  submit    writes label files and a zip for the Cityscapes server, of --config.eval.split=val|test
  attribution  counts what distillation did to a finished plan's networks, with a page
  figures   draws pictures that a finished plan's cases improved most and least, random or named ones, with error maps
  verify    checks that what lies in --workdir is what its records say
  compare   A B: lists what differs between two runs' folders, in records and scores; --full all of it

Exit codes: 0 done; 1 verify or compare found a difference; 2 a mistake in the command, config or files; 3 a loss became
NaN or infinite; 4 stages of a table failed; 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP (a closed terminal;
ignored under nohup), all after saving: the same command goes on.
"""

import difflib
import logging
import os
import pathlib
import runpy
import shlex
import sys
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


from dakd_jax import __version__
from dakd_jax.basics import installation
from dakd_jax.basics.errors import NonFiniteLoss, UserError
from dakd_jax.commands import command_line, lasting_output
from dakd_jax.studies.paper_tables.jobs import processes
from dakd_jax.training.runtime import deterministic
from data_pipelines.basics.errors import DataError
from data_pipelines.feeding.feed import Feed

DATA_COMMANDS = {"doctor": "audits a data set", "prepare": "decodes and resizes one once"}  # of data_pipelines
DONE, DIFFERENT, USER_MISTAKE, DIVERGED, STAGES_FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 130


def run(arguments: list[str], typed: Sequence[str]) -> int:
    """Does what the command line says, of which `typed` are the words as a person gave them; returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__.replace("python run.py", installation.called()))
        return DONE
    command = command_line.parse(arguments)
    deterministic.set_up(_deterministic(command))
    from dakd_jax.basics import plugs, progress
    from dakd_jax.commands import modes
    from dakd_jax.stages import settings
    from dakd_jax.training.runtime import interruption

    # Orbax reports every file that it touches, and its errors, which are raised as well, with their stacks.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    interruption.stop_on_signals()
    console = progress.make_console()
    plugs.load(settings.words(command.config.plugins))  # not before: they may import jax
    if command.replay:
        return DONE if modes.replay(command.replay, console) else DIVERGED
    if command.mode in modes.FOLDER_MODES:
        same = modes.FOLDER_MODES[command.mode](command, console)
        return DONE if same else DIFFERENT
    said = f"{installation.called()} {shlex.join(typed)}"

    def open_feed(data):
        return Feed(data, progress=modes.rendering_progress(console))

    if command.job:
        modes.job(command.job, open_feed, console)
        return DONE
    if "table" in command.config and command.mode in command_line.TABLE_MODES:
        whole = modes.table(command, open_feed, console, program=pathlib.Path(__file__), typed=said)
        return DONE if whole else STAGES_FAILED
    feed = open_feed(command.config.data)
    more = {"seeds": command.seeds} if command.seeds else {}
    modes.MODES[command.mode](
        command.config, feed, command.workdir, console, name=command.name, command=said, given=command.given, **more
    )
    return DONE


def _deterministic(command: command_line.Command) -> bool:
    """config.train.deterministic, of the job where there is one."""
    return processes.deterministic(command.job) if command.job else command.config.train.deterministic


def main(arguments: list[str], typed: Sequence[str] | None = None) -> int:
    """Exit code of a command line; mistakes end as one line on stderr."""
    try:
        return run(arguments, arguments if typed is None else typed)
    except (UserError, DataError, NonFiniteLoss) as error:
        print(f"error: {error}", file=sys.stderr)
        return DIVERGED if isinstance(error, NonFiniteLoss) else USER_MISTAKE
    except KeyboardInterrupt as stopped:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return getattr(stopped, "exit_code", INTERRUPTED)


def dakd(words: list[str]) -> int:
    """Exit code of `dakd MODE ...`, which is `python run.py --mode=MODE ...`, and of the commands for data."""
    first, *rest = words or ["--help"]
    if first in ("-h", "--help", "help"):
        data = "\n".join(f"  dakd {name:<8} {what}: see dakd {name} --help" for name, what in DATA_COMMANDS.items())
        print(f"dakd MODE ... is python run.py --mode=MODE ...\n{data}\n\n{__doc__}")
        return DONE
    if first == "--version":
        print(f"dakd_jax {__version__}")
        return DONE
    if first in DATA_COMMANDS:
        sys.argv[1:] = rest
        runpy.run_module(f"data_pipelines.{first}", run_name="__main__", alter_sys=True)  # ends with SystemExit
    if first in command_line.MODES:
        return main([f"--mode={first}", *rest], words)
    if first.startswith("-"):  # the default mode, or --mode
        return main(words)
    known = [*command_line.MODES, *DATA_COMMANDS]
    near = difflib.get_close_matches(first, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    print(f"error: dakd {first}: unknown; {hint} (dakd --help)", file=sys.stderr)
    return USER_MISTAKE


if __name__ == "__main__":
    lasting_output.install()
    sys.exit(main(sys.argv[1:]))
