"""The loop of one stage: state, data, step, evaluation, checkpoints, logs."""

import contextlib
import dataclasses
import functools
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console

from dakd_jax.basics.errors import NonFiniteLoss
from dakd_jax.basics.progress import StageProgress, significant
from dakd_jax.evaluation import predict
from dakd_jax.evaluation.checkpoint_choice import best_step
from dakd_jax.evaluation.logs import METRICS, MetricLog, read_rows
from dakd_jax.objectives import optimizers
from dakd_jax.objectives.adaptation import Method
from dakd_jax.objectives.context import SOURCE, TARGET
from dakd_jax.training.checkpointing import Checkpoints
from dakd_jax.training.runtime import memory_budget, sharding
from dakd_jax.training.runtime.device_prefetch import DataWait, SlowDataAdvice, prefetch_to_device
from dakd_jax.training.runtime.followers import NoCheckpoints, NoLog
from dakd_jax.training.runtime.interruption import Stopped, StopRequest
from dakd_jax.training.runtime.processes import GivenUp
from dakd_jax.training.stage_job import StageJob
from dakd_jax.training.step.options import COMPILER_OPTIONS
from dakd_jax.training.step.passes import compiled_forward
from dakd_jax.training.step.step_setup import first_state, learning_rates
from dakd_jax.training.step.train_step import FINITE, train_step
from dakd_jax.training.watch import device_memory, going_back
from dakd_jax.training.watch.black_box import BadStep, FiniteWatch
from dakd_jax.training.watch.energy import EnergyMeter
from dakd_jax.training.watch.training_log import LoggedStep, TrainingLog

_SKIPPED, _UNREADABLE = "skipped_steps", "unreadable"  # what a checkpoint tells beside the state


class Trained(NamedTuple):
    """A stage that came to its last step.

    Attributes:
      variables: {'params', 'batch_stats'} that count.
      step: that they are of.
      timing: what this process took: {'images_per_second', 'minutes', 'data_wait_percent'}, 'energy_joules' and
        'energy_from' where a counter tells, and 'resumed_at_step' where it began later than the stage.
      skipped: how many steps were left out because something was not finite.
      memory: {'observed_rise_gb': by how much a step raised it, of a device}, and with a budget 'planned_gb' and
        'savings'; {} where nothing tells.
    """

    variables: dict
    step: int
    timing: dict
    skipped: int
    memory: dict


def train(job: StageJob, console: Console) -> Trained:
    """Trains a stage to its last step, from its newest checkpoint if there is one, and chooses the weights that count.

    Of several processes each is to be given the job. The first one's weights, teacher and checkpoint count; the others
    need them of the same shapes alone, write nothing, and return the last step's weights.

    Raises:
      NonFiniteLoss: nothing is saved after it; the last checkpoint stays.
      Stopped: it was asked for; in the loop after saving.
      UserError: the device's memory ran out; or see Checkpoints.restore.
    """
    with device_memory.explained(lambda: _memory_plan(job)):
        return _train(job, console)


def _train(job, console):
    devices, budget = _devices(job), job.loop.memory_budget_gb
    job, planned = _shared(dataclasses.replace(job, teacher=devices.replicated(job.teacher)), devices), None
    if budget:
        planned = within_budget(job)
        job = _saving(job, planned.savings)
        if devices.leader:
            job.say(console, str(planned))
    state, stop = _first_state(job), StopRequest()
    checkpoints = _checkpoints(job, console) if devices.leader else NoCheckpoints()
    try:
        if (restored := checkpoints.restore(state)) is not None:
            state = restored
            console.print(f"{job.title}: goes on at step {int(state.step)}", highlight=False)
            if _UNREADABLE in checkpoints.told:
                job.unreadable.remember(checkpoints.told[_UNREADABLE])
        state, checkpoints.told = devices.replicated(state), _leaders(devices, checkpoints.told)
        log = MetricLog(job.folder, int(state.step)) if devices.leader else NoLog()
        try:
            if devices.leader:
                checkpoints.best = _best(job, checkpoints)
            state, timing, skipped, rise = _loop(job, state, checkpoints, log, console, stop)
            observed = {"observed_rise_gb": round(rise / memory_budget.GB, 4)} if rise else {}
            told = (timing, skipped, (planned.record() if planned else {}) | observed)
            if devices.leader:
                state = _chosen(job, devices.local(state), checkpoints, console)
                return Trained(_finished(job, devices, state), int(state.step), *told)
            return Trained(_variables(devices.local(state)), int(state.step), *told)
        except BadStep as error:
            bad = error.with_traceback(None)  # its frames hold a state and batches on the device
        finally:
            log.close()
        if devices.processes > 1:
            raise NonFiniteLoss(
                f"{bad}; lower --config.optim.learning_rate, or give the same command to one process, which repeats "
                "the steps since the last checkpoint and keeps what led to it"
            )
        with stop:
            raise NonFiniteLoss(going_back.explain(bad, job, _steps_again(job, checkpoints), stop, console))
    finally:
        checkpoints.close()


def _devices(job) -> sharding.Devices:
    return sharding.choose(job.loop.batch_size, job.loop.devices)


def _checkpoints(job, console) -> Checkpoints:
    return Checkpoints(
        job.folder / "checkpoints",
        keep=job.loop.keep_checkpoints,
        keep_every=job.loop.keep_every,
        identity=job.identity,
        report=functools.partial(job.say, console),
    )


def _leaders(devices, told: dict) -> dict:
    """What the first process knows of the steps that were left out before."""
    skipped = devices.gathered({_SKIPPED: np.array(told.get(_SKIPPED, 0))})[0][_SKIPPED]
    return told | ({_SKIPPED: int(skipped)} if skipped else {})


def _variables(state) -> dict:
    return {"params": state.params, "batch_stats": state.batch_stats}


def _chosen(job, last, checkpoints, console):
    """The state of the best candidate; that of the last step where there is no choice."""
    if job.selection is None:
        return last
    while (step := _best(job, checkpoints)) is not None and step != int(last.step):
        if (state := checkpoints.read(step, last)) is not None:
            console.print(f"{job.title}: chosen without target labels: step {step}", highlight=False)
            return state
    return last


def _finished(job, devices, state) -> dict:
    """{'params', 'batch_stats'} that count, as the methods leave them at the end of a stage."""
    variables, whole = _variables(state), {"whole": True} if devices.processes > 1 else {}
    for method in job.settings.options.methods:
        if type(method).finish is not Method.finish:
            with contextlib.closing(job.batches(job.settings.steps, **whole)) as batches:
                forward = compiled_forward(job.settings.models.segmenter, job.settings.options.precision)
                variables = method.finish(state.adaptation[method.NAME], variables, batches, forward)
    return variables


def _best(job, checkpoints, *about_to_be_saved):
    """Step of the best candidate that there is a checkpoint of."""
    checkpoints.wait()
    return best_step(read_rows(job.folder / METRICS), [*checkpoints.steps(), *about_to_be_saved])


def _first_state(job):
    state = first_state(job.settings, job.seed, job.segmenter)
    # The step donates its state: it must not eat the weights that other stages start from.
    return jax.tree.map(lambda x: jax.numpy.array(x, copy=True), state)


def _bound(job, step):
    """train_step or its `lower`, bound to all of a job: of (state, batch, learning rates)."""
    settings = job.settings
    fixed = {"models": settings.models, "options": settings.options, "optimizer": settings.optimizer}
    return lambda state, batch, rate: step(state, job.teacher, batch, settings.weights, rate, **fixed)


def _compiled(job, devices):
    """train_step for these devices, in an order that saves memory where the job is to."""
    ordered = job.settings.options.savings.ordered
    return devices.compiled(train_step, tuple(COMPILER_OPTIONS.items()) if ordered else ())


def _shared(job, devices):
    """The job as its devices make it."""
    return job if devices.alone else _saving(job, job.settings.options.shared().savings)


def _memory_plan(job):
    """Bytes that a step needs on each device, by name; it is compiled for it."""
    devices = _devices(job)
    with contextlib.closing(job.batches(0)) as batches:
        batch = devices.placed(next(batches))
    state = jax.eval_shape(lambda: _first_state(job))  # there may be no room for another one
    lower = _compiled(job, devices).lower
    compiled = _bound(job, lower)(state, batch, _rate(_learning_rates(job), 0)).compile()
    return device_memory.step_plan(compiled, state=state, teacher=job.teacher, batch=devices.local(batch))


def within_budget(job: StageJob) -> memory_budget.Planned:
    """What a step of a stage needs, with what it saves to stay within its budget. Compiles it, maybe several times.

    Raises:
      UserError: nothing keeps it within the budget.
    """

    devices = _devices(job)
    job = _shared(job, devices)

    def plan(savings):
        return _memory_plan(_saving(job, savings))

    return memory_budget.within(job.loop.memory_budget_gb, job.settings.options, devices.share, plan)


def _saving(job, savings):
    options = dataclasses.replace(job.settings.options, savings=savings)
    return dataclasses.replace(job, settings=dataclasses.replace(job.settings, options=options))


def _steps_again(job, checkpoints) -> going_back.Steps:
    """The steps of the loop, for the way to a bad one."""
    rates, devices = _learning_rates(job), _devices(job)
    step = _bound(job, _compiled(job, devices))

    def start():
        first = _first_state(job)
        return devices.replicated(checkpoints.newest(first) or first)

    return going_back.Steps(
        start=start,
        watch=lambda: _watch(job, checkpoints),
        rate=lambda number: _rate(rates, number),
        make=lambda state, batch, number: step(state, batch, _rate(rates, number)),
        place=devices.placed,
    )


def _watch(job, checkpoints) -> FiniteWatch:
    """Lets as many steps be left out as train.max_skipped says, but never all: a stage without any is not trained.

    Raises:
      NonFiniteLoss: the restored state, of an earlier version, is the last one and none of its steps counted.
    """
    steps, skips = job.settings.steps, job.settings.options.skip_nonfinite
    watch = FiniteWatch(min(job.loop.max_skipped, steps - 1) if skips else None, checkpoints.told.get(_SKIPPED, 0))
    if watch.skipped >= steps:
        raise NonFiniteLoss(
            f"all {steps} steps were left out, because something was not finite in each: nothing was trained; lower "
            "--config.optim.learning_rate"
        )
    return watch


class _Abandoned(Exception):
    """An evaluation was given up, because the run is to stop; it is made when the run goes on."""


def _loop(job, state, checkpoints, log, console, stop):
    """(state of the last step, timing, how many steps were left out, bytes of memory) of the steps from `state` on."""
    settings, loop, first, devices = job.settings, job.loop, int(state.step), _devices(job)
    say, votes = functools.partial(job.say, console), sharding.Votes(devices, stop)
    make, rates, wait, losses = _bound(job, _compiled(job, devices)), _learning_rates(job), DataWait(), {}
    watch, unlogged, rise = _watch(job, checkpoints), _meaningless(settings), device_memory.Rise(jax.local_devices()[0])
    rows = TrainingLog(
        log,
        pictures=len(settings.options.passes) * loop.batch_size,
        steps=settings.steps,
        watch=watch,
        watchers=_watchers(job),
        say=say,
    )
    advice = SlowDataAdvice(say)
    batches = prefetch_to_device(
        job.batches(first) if first < settings.steps else iter(()),
        place=functools.partial(devices.placed, stop=stop),
    )
    with (
        StageProgress(console, job.title, settings.steps, first) as progress,
        stop,
        EnergyMeter(jax.local_devices()[0]) as energy,
        contextlib.closing(rise),
    ):

        def stop_now(step):
            checkpoints.wait()
            left_out = f" ({watch.skipped} skipped so far)" if watch.skipped else ""
            say(f"stopped at step {step} and saved{left_out}")
            raise Stopped(votes.made)

        if first and _evaluated(job, first) and not _has_evaluation(job, devices, first):
            if not _validate(job, devices, state, log, stop):
                votes.ask()
                stop_now(first)
            if job.selection and devices.leader:
                checkpoints.best = _best(job, checkpoints)
        for step in range(first, settings.steps):
            rate = _rate(rates, step)
            state, losses = make(state, wait.next(batches, next(iter(losses.values()), None)), rate)
            done = step + 1
            rise.after(done - first, state)
            votes.add(losses)
            watch.add(done, losses.pop(FINITE), losses)
            last = done == settings.steps
            if done % loop.log_every == 0 or last:
                waited = wait.lap()
                logged = {name: value for name, value in losses.items() if name not in unlogged}
                rows.add(LoggedStep(done, logged, rate, waited, len(job.unreadable)))
                advice.add(waited)
                if last:
                    rows.flush()  # for the line that stays
                progress.update(done, rows.note)
            if candidate := _evaluated(job, done):
                rise.close()
                rows.flush()
                watch.check(done)
                _validate(job, devices, state, log, stop)
                if job.selection and devices.leader:
                    checkpoints.best = _best(job, checkpoints, done)
                rows.clock.restart(done)
                wait.restart()
            if candidate or last:
                votes.ask()
            # After the rows of this step: a run that is killed and goes on from here has them all.
            if done % loop.checkpoint_every == 0 or last or votes.made or (candidate and job.selection):
                rise.close()
                rows.flush()
                watch.check(done)  # nothing that is not finite is ever saved
                left_out = {_UNREADABLE: job.unreadable.reasons} if job.unreadable else {}
                checkpoints.save(devices.local(state), {_SKIPPED: watch.skipped} | left_out)
            if votes.made:
                stop_now(done)
    resumed = {"resumed_at_step": first} if first else {}
    if first == settings.steps:  # nothing was left to time
        return state, resumed, watch.skipped, 0
    measured = {"images_per_second": significant(rows.clock.overall)} if rows.clock.overall else {}  # of one row none
    timing = energy.record() | {
        **measured,
        "minutes": significant(rows.clock.seconds / 60),
        "data_wait_percent": round(100 * wait.share, 2),
    }
    return state, resumed | timing, watch.skipped, rise.bytes


def _evaluated(job, step) -> bool:
    """Whether the network is evaluated after a step, if there is anything to evaluate it by.

    Without candidates to choose from the last step is evaluated when it is finished, with the report's rules.
    """
    every, last = job.loop.eval_every, step == job.settings.steps
    due = every and (step % every == 0 or last) and (job.selection or not last)
    return bool(due and (job.selection or job.eval_batches))


def _watchers(job):
    rows = -(-job.settings.steps // job.loop.log_every)
    return [watcher for method in job.settings.options.methods if (watcher := method.watch(rows))]


def _meaningless(settings) -> frozenset[str]:
    """Names of losses: of distillation on pictures that the teacher is not asked about, computed from zeros."""
    curves = [curve for term, _ in settings.options.terms if term.group == "distillation" for curve in term.curves]
    unasked = [domain for domain in (SOURCE, TARGET) if domain not in settings.taught_on]
    return frozenset(f"loss/{domain}/{curve}" for domain in unasked for curve in curves)


def _learning_rates(job):
    """{name: learning rates [steps]} of the segmenter and of the methods' optimisers."""
    loop, steps = job.loop, job.settings.steps
    horizon = loop.decay_steps or steps
    decay = optimizers.polynomial_decay(1.0, horizon=horizon, power=loop.power, steps=steps, warmup=loop.warmup_steps)
    rates = learning_rates(job.settings.options, loop.learning_rate)
    return {name: rate * decay for name, rate in rates.items()}


def _rate(rates, step):
    return {name: np.float32(series[step]) for name, series in rates.items()}


def _has_evaluation(job, devices, step) -> bool:
    """Whether the first process has logged one."""
    rows = read_rows(job.folder / METRICS) if devices.leader else ()
    found = any(row["kind"] == "eval" and row["step"] == step for row in rows)
    return bool(devices.gathered({"found": np.array(found)})[0]["found"])


def _validate(job, devices, state, log, stop) -> bool:
    """Evaluates the network and logs it; False, and nothing is logged, when the run was to stop meanwhile."""

    def go_on(pictures):
        if stop.made:
            raise _Abandoned

    step, variables = int(state.step), _variables(devices.local(state))
    try:
        scored = job.selection.score(variables, go_on) if job.selection else {}
        if not job.eval_batches:
            log.row(step, "eval", scored)
            return True
        confusion, kept = predict.evaluate(
            job.settings.models.segmenter,
            variables,
            job.eval_batches(),
            job.loop.protocol,
            among=devices,
            keep=frozenset(job.show),
            on_batch=go_on,
        )
    except (_Abandoned, GivenUp):
        return False
    log.evaluation(step, confusion, kept, job.palette, scored)
    return True
