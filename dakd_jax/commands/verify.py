"""Checks that what lies in a workdir is what its records say: python run.py --mode=verify --workdir=DIR

Weights, checkpoints, evaluations, kept protocols and their scores, curves, hashes and parents of every stage
(docs/reliability.md), and the files in its folder exports: their hashes, whether they are of weights of this run, and
what they say of their golden pairs, each in its own runtime. Exit code 1 if one is off.
"""

from dakd_jax.commands import COMMANDS, DIFFERENT, DONE, KEEP, Command, Context


def run(context: Context) -> int:
    """Checks the workdir."""
    from dakd_jax.stages import run_folder

    sound = run_folder.verify(context.workdir, context.console)
    if (context.workdir / "exports").is_dir():
        from dakd_jax.deploy.export import proof

        for name, problem in proof.problems(context.workdir):
            sound &= not problem
            context.say(f"exports/{name}: {problem or 'as recorded'}")
    return DONE if sound else DIFFERENT


COMMANDS.register("verify", Command(__doc__, run, KEEP, 0))
