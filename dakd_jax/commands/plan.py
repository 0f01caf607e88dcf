"""Prints the plan and stops: python run.py --mode=plan --config=configs/bdd_case_d.py

All that its stages need is looked at: data, files of weights, the room on the disk, how long it should take. With a
config that names a table of the paper (docs/tables.md), its rows and what is missing of them. --memory compiles the
steps of the stages to come and says what memory each needs, and what is saved under --config.train.memory_budget_gb.
"""

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, TRAIN, Command, Context, Flag, Invocation, table
from dakd_jax.commands.kit import workdirs

MEMORY = Flag("memory", False, "compile the steps of the stages to come, and say what memory they need")


def run(context: Context) -> None:
    """Plans an experiment or a table."""
    if table.is_named(context.config):
        table.plan(context)
        return
    workdirs.settle(context)
    experiment = workdirs.planned(context)
    workdirs.check(context, experiment)
    if context.flags["memory"]:
        for line in experiment.memory_notes():
            context.console.print(line, highlight=False, soft_wrap=True)


def check(invocation: Invocation) -> None:
    """Seeds are those of a table: an experiment has one, in its config."""
    table.refuse_without(invocation)
    if invocation.flags["memory"] and table.is_named(invocation.config):
        raise UserError("--memory is about the stages of one experiment: name its config, and not that of a table")
    if invocation.flags["seeds"] and not table.is_named(invocation.config):
        raise table.SEEDS.refused("train", "plan")


COMMANDS.register(
    "plan", Command(__doc__, run, TRAIN, 1, (*table.FLAGS, MEMORY), fields=("goal", "workdir"), check=check)
)
