"""How long saving a state holds up training: python -m benchmarks.checkpoint_stall prints one JSON object.

Each network trains on made-up pictures, waiting for every step, as no run does, so that a step's own time can be told.
Milliseconds, median and worst, of four kinds of steps, in turns within the same run:
  plain       no save is under way
  async       ends by beginning a save, as a run does: what is left of the save in the step
  meanwhile   the save goes on beside it (on a CPU both want the same cores)
  sync        ends by saving and waiting for the save
With it what a save takes on the whole, and the bytes of a checkpoint on disk.

Flags: --networks=demo,full (the demo's student; DRN-D-22 with full discriminators), --size=WIDTH,HEIGHT, --rounds,
--plain (steps of each round), --folder (on the disk that is to be measured; '' = the temporary one).
"""

import json
import pathlib
import statistics
import sys
import tempfile
import time
from collections import defaultdict

import jax
from absl import flags

from benchmarks import steps
from dakd_jax.training.checkpointing import Checkpoints
from data_pipelines.doctor import command_line

WARM_UP = 3


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list("networks", list(steps.NETWORKS), "Which ones.", flag_values=values)
    flags.DEFINE_list("size", ["128", "64"], "Width and height of the pictures.", flag_values=values)
    flags.DEFINE_integer("rounds", 5, "Saves of each kind.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("plain", 10, "Plain steps of each round.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("folder", "", "Where checkpoints are written.", flag_values=values)


def run(values: flags.FlagValues, console) -> None:
    """Measures every network and prints the JSON."""
    size = tuple(int(side) for side in values.size)
    found = {"machine": steps.machine(), "size": size, "rounds": values.rounds}
    for network in values.networks:
        with tempfile.TemporaryDirectory(dir=values.folder or None) as folder:
            found[network] = measure(network, size, pathlib.Path(folder), values.rounds, values.plain)
    print(json.dumps(found, indent=1))


def measure(network: str, size: tuple[int, int], folder: pathlib.Path, rounds: int, plain: int) -> dict:
    """The numbers of one network; `folder` is where its checkpoints go."""
    state, step = steps.make(network, size, stage="student")
    checkpoints = Checkpoints(folder, keep=2)
    state = _timed([], state, step, WARM_UP)
    checkpoints.save(state)  # compiles the copy
    checkpoints.wait()
    times, wholes = defaultdict(list), []
    for _ in range(rounds):
        state = _timed(times["plain"], state, step, plain)
        began = time.perf_counter()
        state = _timed(times["async"], state, step, 1, checkpoints.save)
        saved = int(state.step)
        while saved not in checkpoints.steps():
            state = _timed(times["meanwhile"], state, step, 1)
        wholes.append(time.perf_counter() - began)
        checkpoints.wait()
        state = _timed(times["plain"], state, step, plain)
        state = _timed(times["sync"], state, step, 1, lambda s: (checkpoints.save(s), checkpoints.wait()))
    checkpoints.close()
    newest = max((path for path in folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    return {
        "milliseconds": {kind: _summary(series) for kind, series in times.items()},
        "seconds_of_a_save": round(statistics.median(wholes), 3),
        "bytes_of_a_checkpoint": sum(path.stat().st_size for path in newest.rglob("*") if path.is_file()),
    }


def _timed(series, state, step, count, after=lambda state: None):
    """Trains `count` steps, and adds the seconds of each, with what comes after it, to a series."""
    for _ in range(count):
        start = time.perf_counter()
        state = jax.block_until_ready(step(state))
        after(state)
        series.append(time.perf_counter() - start)
    return state


def _summary(series: list[float]) -> dict:
    return {
        "median": round(1000 * statistics.median(series), 2),
        "max": round(1000 * max(series), 2),
        "steps": len(series),
    }


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
