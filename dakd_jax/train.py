"""The loop of one stage: state, data, step, evaluation, checkpoints, logs."""

import dataclasses
import pathlib
import time
from collections.abc import Callable

import jax
import numpy as np
from rich.console import Console

from dakd_jax import black_box, evaluate, optimizers, records, train_state
from dakd_jax.black_box import BadStep, FiniteWatch
from dakd_jax.checkpointing import Checkpoints
from dakd_jax.device_prefetch import DataWait, prefetch_to_device
from dakd_jax.errors import NonFiniteLoss
from dakd_jax.interruption import Stopped, StopRequest
from dakd_jax.logs import MetricLog
from dakd_jax.progress import StageProgress
from dakd_jax.settings import StageSettings
from dakd_jax.train_step import FINITE, LearningRates, train_step


@dataclasses.dataclass(frozen=True)
class Job:
    """One stage to train.

    Attributes:
      title, stage, folder: what it is called, by people and in paradigms.STAGES, and where everything about it goes.
      settings: networks, losses, optimisers, steps.
      segmenter, discriminators: weights that it starts from.
      teacher: frozen {'params', 'batch_stats'}, or None.
      batches: start step -> endless iterator of training batches.
      eval_batches: () -> one pass over target val; None when there is none.
      show: names of the pictures whose predictions go to TensorBoard.
      config: for optim.*, train.* and eval.*.
      identity: of the stage, stored in its checkpoints.
      palette: uint8 [C, 3].
    """

    title: str
    stage: str
    folder: pathlib.Path
    settings: StageSettings
    segmenter: dict
    discriminators: dict
    teacher: dict | None
    batches: Callable
    eval_batches: Callable | None
    show: tuple[str, ...]
    config: object
    identity: dict
    palette: np.ndarray


def train(job: Job, console: Console) -> tuple[dict, dict]:
    """Trains a stage to its last step, from its newest checkpoint if there is one.

    Returns:
      {'params', 'batch_stats'} of the last step, and what this process took: {'images_per_second', 'minutes',
      'data_wait_percent'}.

    Raises:
      NonFiniteLoss: nothing is saved after it; the last checkpoint stays.
    """
    state = _first_state(job)
    checkpoints = Checkpoints(
        job.folder / "checkpoints",
        keep=job.config.train.keep_checkpoints,
        keep_every=job.config.train.keep_every,
        identity=job.identity,
        report=lambda line: console.print(f"{job.title}: {line}", highlight=False, soft_wrap=True),
    )
    try:
        if (restored := checkpoints.restore(state)) is not None:
            state = restored
            console.print(f"{job.title}: goes on at step {int(state.step)}", highlight=False)
        log = MetricLog(job.folder, int(state.step))
        try:
            return _loop(job, state, checkpoints, log, console)
        except BadStep as bad:
            raise NonFiniteLoss(_keep(job, checkpoints, bad.step)) from None
        finally:
            log.close()
    finally:
        checkpoints.close()


def _first_state(job):
    settings = job.settings
    state = train_state.create(
        job.segmenter,
        job.discriminators if settings.options.adapt else {},
        optimizer=settings.optimizer,
        discriminator_optimizer=settings.discriminator_optimizer,
    )
    # The step donates its state: it must not eat the weights that other stages start from.
    return jax.tree.map(lambda x: jax.numpy.array(x, copy=True), state)


def _step(job, state, batch, rate):
    settings = job.settings
    return train_step(
        state,
        job.teacher,
        batch,
        settings.weights,
        rate,
        models=settings.models,
        options=settings.options,
        optimizer=settings.optimizer,
        discriminator_optimizer=settings.discriminator_optimizer,
    )


def _keep(job, checkpoints, bad_step):
    """Runs again from the last checkpoint to the step before the bad one, and keeps a bundle; returns the message."""
    state = _first_state(job)
    state = checkpoints.restore(state) or state
    first, rates = int(state.step), _learning_rates(job.config.optim, job.settings.steps)
    batches = job.batches(first)
    for step in range(first, bad_step):
        rate, batch = _rate(rates, step), next(batches)
        if step + 1 < bad_step:
            state, _ = _step(job, state, batch, rate)
    folder = job.folder / f"blackbox-{bad_step:07d}"
    about = {
        "step": bad_step,
        "stage": job.stage,
        "config": records.plain(job.config),
        "num_classes": job.settings.models.segmenter.num_classes,
    }
    black_box.save(folder, about, rate, state, batch, job.teacher)
    _, losses = _step(job, state, batch, rate)
    bad = [name for name, value in jax.device_get(losses).items() if not np.isfinite(value)]
    return (
        f"step {bad_step}: {', '.join(bad) or 'something'} not finite; lower --config.optim.learning_rate, "
        f"or look with python run.py --replay={folder}"
    )


def _loop(job, state, checkpoints, log, console):
    settings, config, first = job.settings, job.config.train, int(state.step)
    rates = _learning_rates(job.config.optim, settings.steps)
    pictures = (2 if settings.options.adapt else 1) * job.config.data.batch_size
    pending, losses, clock, wait = None, {}, _Throughput(pictures), DataWait()
    watch = FiniteWatch(config.max_skipped if settings.options.skip_nonfinite else None)
    batches = prefetch_to_device(job.batches(first) if first < settings.steps else iter(()))
    with StageProgress(console, job.title, settings.steps, first) as progress, StopRequest() as stop:
        for step in range(first, settings.steps):
            rate = _rate(rates, step)
            state, losses = _step(job, state, wait.next(batches, next(iter(losses.values()), None)), rate)
            done = step + 1
            watch.add(done, losses.pop(FINITE))
            last = done == settings.steps
            if done % config.log_every == 0 or last:
                # Read one interval late, so that the device never waits for the host.
                _write(log, pending, clock, watch)
                pending = (done, losses, rate, wait.lap())
                progress.update(done, f"{clock.rate:6.1f} images/s")
            if job.eval_batches and config.eval_every and done % config.eval_every == 0 and not last:
                pending = _write(log, pending, clock, watch)
                watch.check(done)
                _validate(job, state, log)
                clock.restart(done)
                wait.restart()
            # After the rows of this step: a run that is killed and goes on from here has them all.
            if done % config.checkpoint_every == 0 or last or stop.made:
                pending = _write(log, pending, clock, watch)
                watch.check(done)  # nothing that is not finite is ever saved
                checkpoints.save(state)
            if stop.made:
                checkpoints.wait()
                console.print(f"{job.title}: stopped at step {done} and saved", highlight=False)
                raise Stopped(stop.made)
    return {"params": state.params, "batch_stats": state.batch_stats}, {
        "images_per_second": round(clock.overall, 1),
        "minutes": round(clock.seconds / 60, 2),
        "data_wait_percent": round(100 * wait.share, 2),
    }


def _learning_rates(optim, steps):
    """Learning rates [steps] of the segmenter and the discriminators."""
    decay = optimizers.polynomial_decay(1.0, horizon=optim.decay_steps or steps, power=optim.power, steps=steps)
    return optim.learning_rate * decay, optim.discriminator_learning_rate * decay


def _rate(rates, step):
    return LearningRates(*(np.float32(series[step]) for series in rates))


def _write(log, pending, clock, watch):
    """Writes a row that waited for the device; returns None, the next `pending`."""
    if pending is None:
        return None
    step, losses, rate, data_wait = pending
    values = {name: float(value) for name, value in jax.device_get(losses).items()}
    clock.tick(step)  # now the step is done, not merely dispatched
    watch.check(step)
    if watch.skipped:
        values = {name: value if np.isfinite(value) else None for name, value in values.items()}
        values["skipped_steps"] = watch.skipped
    rates = {
        "learning_rate": float(rate.segmenter),
        "discriminator_learning_rate": float(rate.discriminator),
        "images_per_second": round(clock.rate, 2),
        "data_wait_percent": round(100 * data_wait, 2),
    }
    log.row(step, "train", values | rates)
    return None


def _validate(job, state, log):
    rules = evaluate.protocol(job.config.eval.protocol)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    confusion, kept = evaluate.evaluate(
        job.settings.models.segmenter, variables, job.eval_batches(), rules, keep=frozenset(job.show)
    )
    log.evaluation(int(state.step), confusion, kept, job.palette)


class _Throughput:
    """Pictures per second, of the last interval and overall, without evaluation and the first compilation."""

    def __init__(self, pictures: int):
        self._pictures, self._last, self._step = pictures, time.monotonic(), None
        self.rate, self.seconds, self._steps = 0.0, 0.0, 0

    def tick(self, step: int) -> None:
        now = time.monotonic()
        if self._step is not None:
            self.rate = self._pictures * (step - self._step) / max(now - self._last, 1e-9)
            self.seconds, self._steps = self.seconds + now - self._last, self._steps + step - self._step
        self._last, self._step = now, step

    def restart(self, step: int) -> None:
        self._last, self._step = time.monotonic(), step

    @property
    def overall(self) -> float:
        return self._pictures * self._steps / self.seconds if self.seconds else 0.0
