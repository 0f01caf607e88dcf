"""Lists what differs between two runs' folders: python run.py --mode=compare A B [--full]

In config, versions, hardware, data and scores; of more than a dozen differences those that tell most, with --full all
(docs/reliability.md). Exit code 1 if there is one.
"""

import pathlib

from dakd_jax.commands import COMMANDS, DIFFERENT, DONE, KEEP, Command, Context, Flag


def run(context: Context) -> int:
    """Compares two workdirs."""
    from dakd_jax.stages import run_folder

    folders = map(pathlib.Path, context.words)
    same = run_folder.compare(*folders, context.console, full=context.flags["full"])
    return DONE if same else DIFFERENT


FULL = Flag("full", False, "list all differences")
COMMANDS.register(
    "compare", Command(__doc__, run, KEEP, 1, flags=(FULL,), words="the folders of two runs", num_words=2)
)
