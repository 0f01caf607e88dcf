"""Prints the plan and stops: python run.py --mode=plan --config=configs/bdd_case_d.py

All that its stages need is looked at: data, files of weights, the room on the disk, how long it should take. With a
config that names a table of the paper (docs/tables.md), its rows and what is missing of them.
"""

from dakd_jax.commands import COMMANDS, TRAIN, Command, Context, Invocation, table
from dakd_jax.commands.kit import workdirs


def run(context: Context) -> None:
    """Plans an experiment or a table."""
    if table.is_named(context.config):
        table.plan(context)
        return
    workdirs.settle(context)
    workdirs.check(context, workdirs.planned(context))


def check(invocation: Invocation) -> None:
    """Seeds are those of a table: an experiment has one, in its config."""
    table.refuse_without(invocation)
    if invocation.flags["seeds"] and not table.is_named(invocation.config):
        raise table.SEEDS.refused("train", "plan")


COMMANDS.register("plan", Command(__doc__, run, TRAIN, 1, table.FLAGS, fields=("goal", "workdir"), check=check))
