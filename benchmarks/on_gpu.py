"""All that needs a GPU, in one run of 8 minutes: python -m benchmarks.on_gpu --out=FILE writes one JSON.

Case (c) at full width and size, in float32 (TF32) and bfloat16: step, forward pass and memory beside PyTorch's, eager
and compiled (benchmarks.step); ours alone, with steps that are not waited for (benchmarks.step_cost); what
deterministic mode costs (benchmarks.deterministic_price); and the demo's student trained in both precisions.

FILE is written anew after every part, so that a run that is cut off keeps what was measured. A part is stopped at its
own limit of minutes, or at the end of all, --minutes; one that would begin too late is skipped, of one that fails the
error is kept, and the rest goes on. Each job is a process, forked from one that has imported everything and has not
looked for a device. What one has compiled the next reads (JAX_COMPILATION_CACHE_DIR; without it a temporary folder),
so that float32_alone and bfloat16_alone, which come after their like, show the memory of steps without that of
choosing kernels.

For a machine with a GPU and no internet: where pip works,

  pip download --no-deps --only-binary=:all: --python-version 3.12 -d wheels ml_collections tensorboardX

with the Python of that machine, and what else it lacks of requirements.txt (it wants jax, flax, optax, orbax, numpy,
scipy, absl-py, rich, pillow, filelock, safetensors and torch besides, no tensorflow); and there

  pip install --no-index --no-deps --find-links wheels ml_collections tensorboardX
  python -m benchmarks.on_gpu --out=on_gpu.json

Flags: --out, --minutes=8, --parts=NAME,NAME (these alone, for a second visit), --tiny: all parts on the CPU with
networks of 5,000 parameters, to see that they run.
"""

import json
import math
import multiprocessing
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from absl import flags

from data_pipelines.basics import atomic_files
from data_pipelines.basics.errors import DataError
from data_pipelines.doctor import command_line

LEAST = 0.25  # minutes that a part needs to be begun
PRECISIONS = ("float32", "bfloat16")
FULL = {
    "step": ("--network=drn",),
    "compiled": ("--compile",),
    "alone": ("--network=full", "--steps=20"),
    "deterministic": ("--network=full", "--size=1024,512", "--target=1280,720", "--steps=20"),
}
TINY = {
    "step": ("--network=tiny", "--rounds=1", "--threads=1"),
    "compiled": ("--compile", "--compile_backend=eager"),  # one graph, but no C++ compiler and its minute
    "alone": ("--network=tiny", "--source=68,34", "--target=84,52", "--steps=2"),
    "deterministic": ("--network=tiny", "--size=68,34", "--target=84,52", "--steps=2"),
}


class Part(NamedTuple):
    """Of the JSON.

    Attributes:
      minutes: it may take.
      jobs: {name: what a process of its own does and tells}; one job that is called '' is all of the part.
      at_once: whether they run beside each other.
      told: from {name: what it told} to the part.
    """

    minutes: float
    jobs: dict[str, Callable[[], dict]]
    at_once: bool = False
    told: Callable[[dict], dict] = lambda found: found


def parts(tiny: bool) -> dict[str, Part]:
    """By name, in the order in which they run: what is wanted most first."""
    how = TINY if tiny else FULL
    bfloat16 = {"float32": (), "bfloat16": ("--precision=bfloat16", "--bfloat16")}
    found = {}
    for of in PRECISIONS:
        found[of] = Part(2.5, {"": lambda of=of: _step(*how["step"], *bfloat16[of])})
        found[f"{of}_alone"] = Part(1, {"": lambda of=of: _alone(*how["alone"], f"--measure={of}")})
    for of in PRECISIONS:
        arguments = (*how["step"], *bfloat16[of], *how["compiled"])
        found[f"{of}_compiled"] = Part(2, {"": lambda arguments=arguments: _step(*arguments)})
    kinds = {kind: lambda kind=kind: _price(*how["deterministic"], f"--measure={kind}") for kind in ("without", "with")}
    found["deterministic"] = Part(2, kinds, told=_compared)
    found["demo"] = Part(2, {of: lambda of=of: _demo(of, tiny) for of in PRECISIONS}, at_once=True)
    # How long a busy CPU takes for the tiny ones is no matter.
    return {name: part._replace(minutes=math.inf) for name, part in found.items()} if tiny else found


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("out", None, "The JSON.", flag_values=values)
    flags.DEFINE_float("minutes", 8, "Of all parts.", lower_bound=0, flag_values=values)
    flags.DEFINE_list("parts", list(parts(True)), "Which ones.", flag_values=values)
    flags.DEFINE_boolean("tiny", False, "On the CPU, to see that it runs.", flag_values=values)
    flags.mark_flags_as_required(["out"], flag_values=values)


def run(values: flags.FlagValues, console) -> None:
    """Runs the parts and writes the JSON."""
    until = time.monotonic() + 60 * values.minutes
    wanted = parts(values.tiny)
    if unknown := [name for name in values.parts if name not in wanted]:
        raise DataError(f"--parts={unknown[0]}: expected some of {', '.join(wanted)}")
    out = pathlib.Path(values.out)
    found = {"minutes": values.minutes, "tiny": values.tiny, "parts": {}}
    _write(out, found)  # that this cannot be is known before anything is measured
    with tempfile.TemporaryDirectory(prefix="on_gpu_") as folder:
        _set_up(values.tiny, folder)
        found["versions"] = _versions()
        for name in values.parts:
            found["parts"][name] = {"skipped": "no time was left"}
            if until - time.monotonic() > min(LEAST, values.minutes / 8) * 60:
                began = time.monotonic()
                found["parts"][name] = _done(wanted[name], until)
                found["parts"][name]["took_seconds"] = round(time.monotonic() - began, 1)
            _write(out, found)
            console.print(f"{name}: {_in_a_word(found['parts'][name])}", highlight=False)


def _in_a_word(part: dict) -> str:
    return part.get("error") or part.get("skipped") or f"{part['took_seconds']:g} s"


def _write(out: pathlib.Path, found: dict) -> None:
    atomic_files.write_bytes(out, (json.dumps(found, indent=1) + "\n").encode())


def _set_up(tiny: bool, folder: str) -> None:
    """For jax, and what the processes to come are not to import each."""
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if tiny:
        os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    import data_pipelines.feeding.feed  # noqa: F401
    from benchmarks import deterministic_price, step_cost, steps  # noqa: F401
    from dakd_jax.stages import experiment  # noqa: F401


def _versions() -> dict[str, str]:
    from importlib import metadata

    names = ("jax", "jaxlib", "flax", "optax", "torch", "numpy")
    return {"python": sys.version.split()[0]} | {name: metadata.version(name) for name in names}


def _done(part: Part, until: float) -> dict:
    """What a part tells; {'error': why not} and what its other jobs told where one did not come to an end."""
    until = min(until, time.monotonic() + 60 * part.minutes)
    found, begun = {}, {}
    try:
        if part.at_once:
            begun = {name: _Child(job) for name, job in part.jobs.items()}
        for name, job in part.jobs.items():
            begun[name] = begun.get(name) or _Child(job)
            found[name] = begun[name].told(until)
        if "" in found:
            return found[""]
        failed = {name: told["error"] for name, told in found.items() if "error" in told}
        if not failed:
            return part.told(found)
        error = "; ".join(f"{name}: {said}" for name, said in failed.items())
        return {"error": error} | {name: told for name, told in found.items() if name not in failed}
    finally:
        for child in begun.values():
            child.end()


class _Child:
    """A job in a forked process, the first of a group, so that it is ended with all that it has begun."""

    def __init__(self, job: Callable[[], dict]):
        context = multiprocessing.get_context("fork")
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=self._work, args=(job, sender))
        self.began = time.monotonic()
        self.process.start()
        sender.close()

    @staticmethod
    def _work(job, sender) -> None:
        os.setsid()
        try:
            sender.send(job())
        except Exception as error:
            traceback.print_exc()
            said = next(iter(str(error).strip().splitlines()), "")
            sender.send({"error": f"{type(error).__name__}: {said}"[:500]})

    def told(self, until: float) -> dict:
        try:
            if self.receiver.poll(max(until - time.monotonic(), 0)):
                return self.receiver.recv()
            return {"error": f"stopped after {time.monotonic() - self.began:.0f} s, no more time was left"}
        except EOFError:
            self.process.join(10)
            return {"error": f"its process ended with exit code {self.process.exitcode}"}

    def end(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:  # over, or no group yet
            self.process.kill()
        self.process.join()


def _values(module, arguments: tuple[str, ...]) -> flags.FlagValues:
    """Flags of a benchmark as on a command line."""
    values = flags.FlagValues()
    module.define_flags(values)
    values(["", *arguments])
    return values


def _step(*arguments: str) -> dict:
    from benchmarks import step

    return step.measured(_values(step, arguments))


def _alone(*arguments: str) -> dict:
    from benchmarks import step_cost

    return step_cost.measured(_values(step_cost, arguments))


def _price(*arguments: str) -> dict:
    from benchmarks import deterministic_price

    return deterministic_price.measured(_values(deterministic_price, arguments))


def _compared(found: dict) -> dict:
    from benchmarks import deterministic_price

    return deterministic_price.compared({kind: [told] for kind, told in found.items()})


def _demo(precision: str, tiny: bool) -> dict:
    """The student of demo_drn (tiny: without adaptation, which compiles for long): mIoU in percent on target val."""
    from rich.console import Console

    from configs import demo_drn
    from dakd_jax.evaluation import metrics
    from dakd_jax.stages.experiment import Experiment
    from data_pipelines.feeding.feed import Feed

    config = demo_drn.get_config()  # needs no file of weights
    goal = "source_only" if tiny else "student"
    config.goal, config.train.precision = (goal,), precision
    config.train.select, config.train.eval_every = "last", 0
    if tiny:
        config.student.arch, config.student.width = "tiny", 1.0
        config.data.toy.update(size=(64, 48), num_train=6, num_val=5)
        config.data.source_size = config.data.target_size = (64, 32)
        config.train.steps = 3
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as quiet:
        config.data.root = f"{folder}/city"
        experiment = Experiment(config, Feed(config.data), pathlib.Path(folder) / "run", Console(file=quiet))
        began = time.perf_counter()
        experiment.run()
        took = time.perf_counter() - began
        confusion, _ = experiment.evaluator.stored(experiment.plan[goal])
    miou = metrics.scores(confusion).miou
    return {"stage": goal, "steps": config.train.steps, "miou": round(100 * miou, 2), "seconds": round(took, 1)}


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
