"""Writes label files and a zip for the Cityscapes server: python run.py --mode=submit --config.eval.split=test

Of one network: config.eval.checkpoint, or the plan's last one.
"""

from dakd_jax.commands import COMMANDS, HAND_IN, Command, Context
from dakd_jax.commands.kit import workdirs


def run(context: Context) -> None:
    """Writes the label files of one network, and a zip of them."""
    from dakd_jax.stages import networks
    from dakd_jax.studies.submission import Submission, SubmissionSettings

    workdirs.settle(context, of_checkpoint=True)
    config, feed, workdir, console = context.config, context.feed, context.workdir, context.console
    with workdirs.working_in(workdir):
        network = networks.wanted(config, feed, workdir, console)
        folder = workdir / f"submission_{context.name}_{config.eval.split}"
        submission = Submission(SubmissionSettings.of(config, network.size), feed, network, folder, console)
        if note := submission.note():
            console.print(f"note: {note}", highlight=False, soft_wrap=True)
        archive, written = submission.write()
    console.print(f"{written} of {len(submission.names)} label files written now, in {folder}", soft_wrap=True)
    console.print(f"To upload: {archive}", highlight=False, soft_wrap=True)


FIELDS = ("eval.split", "eval.checkpoint", "eval.network", "eval.submit_protocol")
COMMANDS.register("submit", Command(__doc__, run, HAND_IN, 0, fields=FIELDS))
