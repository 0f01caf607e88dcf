"""Train and evaluate: python run.py --config=configs/bdd_case_d.py [--workdir=DIR] [--config.FIELD=VALUE ...]

--config=FILE.py[:PRESET] (default configs/demo.py) names the experiment; every field of configs/base.py can be
overridden, tuples as --config.data.target_size=640,360. --workdir (default config.workdir, else runs/<data.name>)
is where everything goes. --seeds=0,1,2 trains under each of these seeds and reports mean, spread and interval.

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
  compare   A B: lists what differs between two runs' folders, in records and scores

Exit codes: 0 done; 1 verify or compare found a difference; 2 a mistake in the command, config or files; 3 a loss became
NaN or infinite; 4 stages of a table failed; 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP (a closed terminal;
ignored under nohup), all after saving: the same command goes on.
"""

import logging
import os
import pathlib
import shlex
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


from dakd_jax import command_line, deterministic, lasting_output
from dakd_jax.errors import NonFiniteLoss, UserError
from dakd_jax.tables_of_paper import processes
from data_pipelines.errors import DataError
from data_pipelines.feed import Feed

DONE, DIFFERENT, USER_MISTAKE, DIVERGED, STAGES_FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 130


def run(arguments: list[str]) -> int:
    """Does what the command line says; returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return DONE
    command = command_line.parse(arguments)
    deterministic.set_up(_deterministic(command))
    from dakd_jax import (
        commands,
        interruption,
        progress,
    )  # not before the command is understood: jax takes seconds to import

    # Orbax reports every file that it touches, and its errors, which are raised as well, with their stacks.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    interruption.stop_on_signals()
    console = progress.make_console()
    if command.replay:
        return DONE if commands.replay(command.replay, console) else DIVERGED
    if command.mode in commands.FOLDER_MODES:
        same = commands.FOLDER_MODES[command.mode](command.workdir, command.arguments, console)
        return DONE if same else DIFFERENT
    typed = shlex.join(["python", "run.py", *arguments])

    def open_feed(data):
        return Feed(data, progress=commands.rendering_progress(console))

    if command.job:
        commands.job(command.job, open_feed, console)
        return DONE
    if "table" in command.config and command.mode in command_line.TABLE_MODES:
        whole = commands.table(command, open_feed, console, program=pathlib.Path(__file__), typed=typed)
        return DONE if whole else STAGES_FAILED
    feed = open_feed(command.config.data)
    more = {"seeds": command.seeds} if command.seeds else {}
    commands.MODES[command.mode](
        command.config, feed, command.workdir, console, name=command.name, command=typed, given=command.given, **more
    )
    return DONE


def _deterministic(command: command_line.Command) -> bool:
    """config.train.deterministic, of the job where there is one."""
    return processes.deterministic(command.job) if command.job else command.config.train.deterministic


def main(arguments: list[str]) -> int:
    """Exit code of a command line; mistakes end as one line on stderr."""
    try:
        return run(arguments)
    except (UserError, DataError, NonFiniteLoss) as error:
        print(f"error: {error}", file=sys.stderr)
        return DIVERGED if isinstance(error, NonFiniteLoss) else USER_MISTAKE
    except KeyboardInterrupt as stopped:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return getattr(stopped, "exit_code", INTERRUPTED)


if __name__ == "__main__":
    lasting_output.install()
    sys.exit(main(sys.argv[1:]))
