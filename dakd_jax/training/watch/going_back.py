"""Going back to a step that went wrong: repeats the steps from the last checkpoint to it, and keeps what led to it.

The loop reads the steps' verdicts late, when their states are gone. What was not finite is known all the same: where
the repetition fails, is stopped or ends otherwise, that is told.
"""

import contextlib
import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
from rich.console import Console

from dakd_jax.basics import installation
from dakd_jax.basics.progress import StageProgress
from dakd_jax.training.runtime.device_prefetch import prefetch_to_device
from dakd_jax.training.runtime.interruption import Stopped, StopRequest
from dakd_jax.training.stage_job import StageJob
from dakd_jax.training.step.train_step import FINITE
from dakd_jax.training.teaching import forms
from dakd_jax.training.train_state import TrainState, copied
from dakd_jax.training.watch import black_box
from dakd_jax.training.watch.black_box import BadStep, FiniteWatch

_MOST_LETTERS = 400  # of another fault's message: the runtime's fill pages when memory runs out
DIFFERS = (
    "a fault of the hardware, or computing that differs from run to run (--config.train.deterministic=True gives a GPU "
    "the same bits)"
)


class Steps(NamedTuple):
    """How the steps of a stage are made again.

    Attributes:
      start: () -> the state of the newest checkpoint, or the first one of the stage.
      watch: () -> a watch that knows what was left out before that state; called after `start`.
      rate: number of a step, from 0 -> its learning rates.
      make: (state, batch, number of the step, from 0) -> (next state, losses), see train_step.
      place: from a batch of numpy arrays to one on the device or devices.
    """

    start: Callable[[], TrainState]
    watch: Callable[[], FiniteWatch]
    rate: Callable[[int], dict]
    make: Callable[[TrainState, dict, int], tuple[TrainState, dict]]
    place: Callable[[dict], dict] = jax.device_put


def explain(bad: BadStep, job: StageJob, steps: Steps, stop: StopRequest, console: Console) -> str:
    """Repeats the steps up to the bad one and keeps a bundle of it; returns what is to be said of it, in one line.

    Raises:
      Stopped: it was asked for.
    """
    say = functools.partial(job.say, console)
    try:
        _raise_if_made(stop)
        state = steps.start()
        first = int(state.step)
        again = f"{bad.step - first} step{'s' * (bad.step - first > 1)}"
        say(f"{bad}; going back to step {first} and repeating {again}, to keep what leads to it")
        with StageProgress(console, f"{job.title}: going back", bad.step, first) as progress:
            found, before, batch = _repeat(bad, job, state, steps, stop, progress)
        folder = _keep(bad, found, job, steps, before, batch)
    except KeyboardInterrupt:
        say(f"stopped on the way back; {bad}, which the same command meets again")
        raise
    except Exception as error:  # of the disk, the data, the memory: none of them may hide the step
        reason = " ".join(str(error).split())[:_MOST_LETTERS] or type(error).__name__
        return (
            f"{bad}; what led to it is not kept, since going back failed ({reason}): lower "
            "--config.optim.learning_rate, or mend that and give the same command to meet the step again"
        )
    return _message(bad, found, first, folder)


def _repeat(bad, job, state, steps, stop, progress):
    """(the bad step that was met now, None where all was finite; the state before the last step made; its batch)."""
    watch = steps.watch()
    with contextlib.closing(prefetch_to_device(job.batches(int(state.step)), place=steps.place)) as batches:
        for number in range(int(state.step) + 1, bad.step + 1):
            _raise_if_made(stop)
            before, batch = copied(state), next(batches)  # the step eats its state, and may be the bad one already
            state, losses = steps.make(state, batch, number - 1)
            watch.add(number, losses.pop(FINITE), losses)
            try:
                watch.check(number)
            except BadStep as found:
                return found, before, batch
            progress.update(number)
    # One that may be left out does not end the watch.
    return watch.newest if watch.newest and watch.newest.step == bad.step else None, before, batch


def _keep(bad, found, job, steps, before, batch) -> pathlib.Path:
    """Writes the bundle of the last step that was made; returns its folder."""
    number = int(before.step)
    about = {
        "step": number + 1,
        "stage": job.stage,
        "config": job.config,
        "num_classes": job.settings.models.segmenter.num_classes,
        "values": {name: str(value) for name, value in bad.values.items()},
        "first_met_at_step": bad.step,
        "came_again": found is not None,
        "answers": forms.told(job.settings.options.answers),
    }
    folder = job.folder / f"blackbox-{number + 1:07d}"
    black_box.save(folder, about, steps.rate(number), before, batch, job.teacher)
    return folder


def _raise_if_made(stop: StopRequest) -> None:
    if stop.made:
        raise Stopped(stop.made)


def _message(bad: BadStep, found: BadStep | None, first: int, folder: pathlib.Path) -> str:
    replay = f"look with {installation.called()} --replay={folder}"
    if found is None:
        return (
            f"{bad}; repeated from step {first} it did not come again: {DIFFERS}; give the same command to go on from "
            f"step {first}; the state before the step and its batch are in {folder}"
        )
    if found.step != bad.step:
        return (
            f"{found}, when repeated from step {first}, though at first it was {bad}: {DIFFERS}; lower "
            f"--config.optim.learning_rate, or {replay}"
        )
    return f"{bad}; lower --config.optim.learning_rate, or {replay}"
