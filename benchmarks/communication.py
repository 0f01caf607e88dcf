"""What devices tell each other in a step of case (c), from the compiled program: python -m benchmarks.communication

Prints JSON. The step is compiled for as many simulated devices of a CPU, at small pictures: the bytes of a gradient do
not depend on their size, nor do those of batch norm, which are vectors of a layer's channels. A GPU's compiler may join
reductions: their number is then smaller, the bytes are the same. `roofline` reckons on paper what a step takes on more
devices, under the assumptions that it names (docs/SCALE.md).

Flags: --network=full (DRN-D-22 under a DRN-D-38), demo or tiny, --devices, --statistics=synchronised,device,
--step_ms of one device and its part of the batch, --link_gb of a device to those of its machine, --network_gb of a
machine to the others, GB/s each way.
"""

import json
import math
import os
import re
import sys

from absl import flags

from data_pipelines.doctor import command_line

SIZE = (64, 32)
BYTES = {"f64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "s8": 1, "u8": 1, "pred": 1}
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# Of an exchange however short: between devices of a machine, and between machines.
LATENCY_US = {"link": 10, "network": 30}
ON_A_MACHINE = 8


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum("network", "full", ("demo", "full", "tiny"), "Which networks.", flag_values=values)
    flags.DEFINE_string("stage", "case_c", "A key of paradigms.STAGES.", flag_values=values)
    flags.DEFINE_integer("devices", 8, "Simulated.", lower_bound=2, flag_values=values)
    flags.DEFINE_list("statistics", ["synchronised", "device"], "Of batch norm.", flag_values=values)
    flags.DEFINE_float("step_ms", 106.4, "Of one device (docs/GPU.md).", lower_bound=0.1, flag_values=values)
    flags.DEFINE_float("link_gb", 450, "NVLink of an H100.", lower_bound=0.1, flag_values=values)
    flags.DEFINE_float("network_gb", 50, "One 400 Gb/s adapter.", lower_bound=0.1, flag_values=values)


def run(values: flags.FlagValues, console) -> None:
    """Compiles the step for each kind of statistics, counts, and prints the JSON."""
    os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(values.devices)}
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # they change no exchange, and take minutes
    found = {}
    for statistics in values.statistics:
        counted = exchanges(_program(values, statistics))
        found[statistics] = {"exchanges": counted, "roofline": rooflines(values, counted)}
    settings = {name: getattr(values, name) for name in ("network", "stage", "devices", "step_ms", "link_gb")}
    print(json.dumps({**settings, "network_gb": values.network_gb, "statistics": found}, indent=1))


def _program(values: flags.FlagValues, statistics: str) -> str:
    """The compiled step as text."""
    from benchmarks import steps
    from dakd_jax.training.runtime import sharding
    from dakd_jax.training.step.train_step import train_step

    config = steps.NETWORKS[values.network]()
    config.data.batch_size, config.train.batch_statistics = values.devices, statistics
    made = steps.prepared(config, values.stage, steps.made_up_batch(values.devices, SIZE, SIZE))
    (state, teacher, batch, *others), fixed = made
    fixed["options"] = fixed["options"].shared()
    devices = sharding.choose(values.devices, values.devices)
    state, teacher = devices.replicated((state, teacher))
    return (
        devices.compiled(train_step).lower(state, teacher, devices.placed(batch), *others, **fixed).compile().as_text()
    )


def exchanges(program: str) -> dict[str, dict[str, int]]:
    """{kind: {'count', 'bytes'}} of the exchanges of a compiled program, each once; bytes are of their results."""
    found: dict[str, dict[str, int]] = {}
    for line in program.splitlines():
        if match := re.search(rf"= (\S.*?) ({'|'.join(KINDS)})(-start)?\(", line):
            of = found.setdefault(match[2], {"count": 0, "bytes": 0})
            of["count"] += 1
            of["bytes"] += sum(
                BYTES[kind] * math.prod(int(side) for side in sides.split(",") if side)
                for kind, sides in re.findall(r"(\w+)\[([\d,]*)\]", match[1])
            )
    return found


def rooflines(values: flags.FlagValues, counted: dict) -> list[dict]:
    """What a step takes on 8, 64 and 512 devices: computing, then all exchanges, none of them hidden."""
    told, count = (sum(of[what] for of in counted.values()) for what in ("bytes", "count"))
    found = []
    for machines in (1, 8, 64):
        seconds = _ring(told, count, ON_A_MACHINE, values.link_gb, LATENCY_US["link"])
        if machines > 1:  # each device of a machine has a part of the sum, which it exchanges with its like
            seconds += _ring(told, count, machines, values.network_gb, LATENCY_US["network"])
        ms = values.step_ms + 1e3 * seconds
        efficiency = values.step_ms / ms
        devices = machines * ON_A_MACHINE
        found.append(
            {
                "devices": devices, "machines": machines, "exchange_ms": round(1e3 * seconds, 2),
                "step_ms": round(ms, 1), "efficiency": round(efficiency, 3),
                "times_one": round(devices * efficiency, 1),
            }
        )  # fmt: skip
    return found


def _ring(told: int, count: int, devices: int, gigabytes: float, latency_us: float) -> float:
    """Seconds of sums in a ring, where each device sends 2 (n - 1) / n of the bytes (Patarasuk & Yuan, 2009)."""
    rounds = 2 * (devices - 1)
    return rounds / devices * told / (1e9 * gigabytes) + count * latency_us / 1e6


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
