"""Mean and spread over seeds of a finished experiment, as Markdown.

    python -m benchmarks.seeds_table 0,1,2 --config=configs/demo.py [the other arguments that run.py was given]

Trains nothing: each seed must have been run by run.py with the same arguments and --config.seed=SEED.
"""

import sys

from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.commands.kit import command_line
from dakd_jax.stages.experiment import Experiment
from dakd_jax.studies.experiment import results, seeds
from data_pipelines.basics.errors import DataError
from data_pipelines.feeding.feed import Feed


def finished(arguments: list[str], seed: str):
    """What the report of one seed shows; UserError if it was not run."""
    command = command_line.parse([*arguments, f"--config.seed={seed}"])
    experiment = Experiment(command.config, Feed(command.config.data), command.workdir, Console(stderr=True))
    missing = [name for name, planned in experiment.plan.items() if not experiment.evaluator.done(planned)]
    if missing:
        raise UserError(f"seed {seed}: {', '.join(missing)} not finished in {command.workdir}; run it first")
    return results.collect(experiment, command.name, " ".join(arguments))


def main(arguments: list[str]) -> int:
    """Prints the table; returns the exit code."""
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        experiments = [finished(arguments[1:], seed) for seed in arguments[0].split(",")]
        print(seeds.seeds_table(experiments).to_markdown())
    except (UserError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
