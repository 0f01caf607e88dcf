"""Checks that what lies in a workdir is what its records say: python run.py --mode=verify --workdir=DIR

Weights, checkpoints, evaluations, kept protocols and their scores, curves, hashes and parents of every stage
(docs/reliability.md). Exit code 1 if one is off.
"""

from dakd_jax.commands import COMMANDS, DIFFERENT, DONE, KEEP, Command, Context


def run(context: Context) -> int:
    """Checks the workdir."""
    from dakd_jax.stages import run_folder

    return DONE if run_folder.verify(context.workdir, context.console) else DIFFERENT


COMMANDS.register("verify", Command(__doc__, run, KEEP, 0))
