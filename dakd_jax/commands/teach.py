"""Asks the teacher ahead of the training: python run.py --mode=teach --config=configs/bdd_case_d.py [--workdir=DIR]

Fills the files in which training keeps the teacher's answers (docs/any_teacher.md). The teacher must be finished, or
named by --config.replace.teacher. Stopped, the same command goes on where it was; training asks for what is missing.
"""

from dakd_jax.commands import COMMANDS, TRAIN, Command, Context
from dakd_jax.commands.kit import workdirs


def run(context: Context) -> None:
    """Asks for all that is kept."""
    workdirs.settle(context)
    with workdirs.working_in(context.workdir):
        experiment = workdirs.planned(context)
        workdirs.check(context, experiment)
        experiment.ask_teacher()


FIELDS = ("goal", "teacher.cache_gb", "teacher.cache_dtype", "replace.teacher")
COMMANDS.register("teach", Command(__doc__, run, TRAIN, 2, fields=FIELDS))
