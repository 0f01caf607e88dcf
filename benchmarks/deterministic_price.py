"""What --config.train.deterministic=True costs on this machine: python -m benchmarks.deterministic_price prints JSON.

Processes with and without it, in turns, train the same steps on made-up pictures. `steps_per_second` is the best of the
runs of each kind, `same_bits` whether their parameters at the end are equal to the bit (null of a single run),
`price_percent` how much slower the steps are with it. On a CPU it changes nothing, and the price is the noise of the
measurement.

Flags: --network=demo, full (DRN-D-22 under a DRN-D-38) or tiny, --size=WIDTH,HEIGHT, --target (the same where only the
source has that size), --steps, --runs (of each kind), --precision=float32 or bfloat16.
"""

import json
import subprocess
import sys
import time

from absl import flags

from dakd_jax.training.runtime import deterministic
from data_pipelines.doctor import command_line

WARM_UP = 3


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum("network", "demo", ("demo", "full", "tiny"), "Which networks.", flag_values=values)
    flags.DEFINE_list("size", ["128", "64"], "Width and height of the pictures.", flag_values=values)
    flags.DEFINE_list("target", [], "Of those of the target, where they are of another size.", flag_values=values)
    flags.DEFINE_integer("steps", 30, "Of each run.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("runs", 2, "Of each kind.", lower_bound=1, flag_values=values)
    flags.DEFINE_enum("precision", "float32", ("float32", "bfloat16"), "Of the step.", flag_values=values)
    flags.DEFINE_enum("measure", "", ("", "with", "without"), "For the benchmark itself.", flag_values=values)


def run(values: flags.FlagValues, console) -> None:
    """Runs both kinds in processes of their own and prints the JSON."""
    if values.measure:
        print(json.dumps(measured(values)))
        return
    runs: dict[str, list[dict]] = {"without": [], "with": []}
    for _ in range(values.runs):
        for kind, found in runs.items():
            found.append(_in_a_process(kind))
    settings = {name: getattr(values, name) for name in ("network", "size", "steps", "precision")}
    print(json.dumps({"machine": runs["with"][0]["machine"], **settings, **compared(runs)}, indent=1))


def compared(runs: dict[str, list[dict]]) -> dict:
    """What is printed of {'without', 'with': what `measured` gave, of each run}."""
    told = {
        kind: {
            "steps_per_second": max(run["steps_per_second"] for run in found),
            "runs": [run["steps_per_second"] for run in found],
            "same_bits": len({run["bits"] for run in found}) == 1 if len(found) > 1 else None,
        }
        for kind, found in runs.items()
    }
    speed = {kind: found["steps_per_second"] for kind, found in told.items()}
    return told | {"price_percent": round(100 * (speed["without"] / speed["with"] - 1), 1)}


def _in_a_process(kind: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.deterministic_price", *sys.argv[1:], f"--measure={kind}"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measured(values: flags.FlagValues) -> dict:
    """Of one kind, --measure, in this process, where jax has not looked for a device yet."""
    deterministic.set_up(values.measure == "with")
    import jax  # not before the flags are set

    from benchmarks import steps
    from dakd_jax.training.checkpointing import checksum

    sizes = (tuple(int(side) for side in of) for of in (values.size, values.target or values.size))
    state, step = steps.make(values.network, *sizes, stage="case_c", precision=values.precision)
    for _ in range(WARM_UP):
        state = step(state)
    jax.block_until_ready(state)
    start = time.perf_counter()
    for _ in range(values.steps):
        state = step(state)
    jax.block_until_ready(state)
    rate = values.steps / (time.perf_counter() - start)
    return {"steps_per_second": round(rate, 3), "bits": checksum(state), "machine": steps.machine()}


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
