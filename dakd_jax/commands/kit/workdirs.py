"""What commands do with a workdir: hold it, tell faults of its disk, plan an experiment in it, find its report.

Imports no jax before one of these functions is called.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dakd_jax.basics import disk_faults, workdir_lock
from dakd_jax.basics.errors import UserError
from dakd_jax.commands import Context

if TYPE_CHECKING:
    from dakd_jax.stages.experiment import Experiment


def settle(context: Context, *, of_checkpoint: bool = False) -> None:
    """Puts what the records of stages that are named as checkpoints say into the config; first of all.

    Args:
      of_checkpoint: the command is about config.eval.checkpoint, if there is one, and not about the plan.
    """
    from dakd_jax.stages import own_records

    names = context.feed.class_names
    own_records.settle(context.config, checkpoint=of_checkpoint, class_names=names, given=context.given)


@contextlib.contextmanager
def working_in(workdir: pathlib.Path) -> Iterator[None]:
    """Holds a workdir, which is made where missing; faults of the disk end as one line."""
    from dakd_jax.stages.experiment import ensure_writable
    from dakd_jax.training.runtime import compilation_cache

    ensure_writable(workdir)
    with workdir_lock.hold(workdir), telling_disk_faults(workdir):
        compilation_cache.enable(workdir)
        yield


@contextlib.contextmanager
def telling_disk_faults(workdir: pathlib.Path) -> Iterator[None]:
    """A full disk, a workdir that may not be written, and a checkpoint that cannot be read, are the user's to mend."""
    from dakd_jax.training.checkpoint_files import UnreadableCheckpoint

    try:
        yield
    except UnreadableCheckpoint as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}; the checkpoint is left where it is: give the same "
            "command when it can be read again, or delete the checkpoint's folder to go on from the one before"
        ) from error
    except OSError as error:
        if not disk_faults.of_writing_to(error, workdir):
            raise
        raise UserError(
            f"cannot write {error.filename or workdir}: {error.strerror}; make room or choose another --workdir, "
            "then give the same command to go on"
        ) from error


def planned(context: Context) -> "Experiment":
    """The experiment of the config, whose plan and what there is to say about its data have been printed."""
    from dakd_jax.stages.experiment import Experiment

    feed, console = context.feed, context.console
    experiment = Experiment(context.config, feed, context.workdir, console)
    labelled = {planned.stage.labelled for planned in experiment.plan.values()}
    for note in (*feed.domains.notes, *feed.audit(labelled)):
        console.print(f"data: {note}", highlight=False, soft_wrap=True)
    console.print(experiment.plan_table())
    if str(devices := experiment.devices):
        console.print(f"Each step on {devices}, {devices.share} of a batch's pictures on each.", highlight=False)
    if not experiment.evaluator:
        console.print("No label of the target is at hand: its networks are trained, and not scored.", highlight=False)
    return experiment


def check(context: Context, experiment: "Experiment") -> None:
    """Before any work: what cannot work ends here; what it could start from and how long it should take is said."""
    for hint in (*experiment.teacher_notes(), *experiment.hints()):
        context.console.print(hint, highlight=False, soft_wrap=True)
    if line := experiment.check():
        context.console.print(line, highlight=False, soft_wrap=True)


def report(workdir: pathlib.Path, name: str) -> pathlib.Path:
    """The page of the experiment `name`."""
    return workdir / f"report_{name}" / "index.html"
