"""How the cost of a training step grows: python -m benchmarks.growth prints JSON.

Case (c) on made-up pictures, source and target of one size. Each axis is measured by itself, the others at its base
(--size, --batch_size, --classes and --width in the first place of each): `pixels` of a picture, `pictures` of each
domain, `classes`, and `parameters` of student and teacher together, by the width of both. At each point there are
`seconds`, the median of steps that are waited for; `gflop` of a step as it is written, by XLA's count; `temporary_mib`,
what the compiled step sets aside besides its arguments.

`fits` has for each axis and each of these the straight line through the points, a + b x, by least squares of the
relative errors: `share_at_base`, what part of the cost at the base grows with x (1: in proportion, 0: not at all),
`per_unit`, b, and `worst`, the largest relative error of a point. A large one says that the growth is no line.

Flags: --network=full (DRN-D-22 under a DRN-D-38), demo or tiny, --axes, --size=WIDTHxHEIGHT,..., --batch_size=1,...,
--classes=19,..., --width=0.25,..., --precision, --steps. XLA uses all cores that the process may: bind it with taskset.
"""

import json
import statistics
import sys
import time

import numpy as np
from absl import flags

from data_pipelines.doctor import command_line

COSTS = ("seconds", "gflop", "temporary_mib")
# By axis the flag that holds its values.
AXES = {"pixels": "size", "pictures": "batch_size", "classes": "classes", "parameters": "width"}
BASES = {
    "size": ("192x96", "128x64", "256x128", "384x192"),
    "batch_size": ("1", "2", "3", "4"),
    "classes": ("19", "7", "66", "150"),
    "width": ("0.25", "0.35", "0.5", "0.7"),
}


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum("network", "full", ("full", "demo", "tiny"), "Which networks.", flag_values=values)
    flags.DEFINE_list("axes", list(AXES), "Which ones.", flag_values=values)
    for name, of in BASES.items():
        flags.DEFINE_list(name, list(of), "The base, then the others.", flag_values=values)
        flags.register_validator(
            name, lambda words, name=name: _are_values(name, words), f"--{name}={','.join(of)}", flag_values=values
        )
    flags.register_validator("axes", lambda of: set(of) <= set(AXES), f"some of {', '.join(AXES)}", flag_values=values)
    flags.DEFINE_enum("precision", "float32", ("float32", "bfloat16"), "Of the step.", flag_values=values)
    flags.DEFINE_integer("steps", 5, "That are timed, at each point.", lower_bound=1, flag_values=values)


def _are_values(name: str, words: list[str]) -> bool:
    if not words:
        return False
    try:
        return all(value > 0 for word in words for value in np.atleast_1d(_value(name, word)))
    except ValueError:
        return False


def _value(name: str, word: str):
    """What a word of a flag means; (width, height) of a size. Raises ValueError."""
    if name == "size":
        width, height = map(int, word.split("x"))
        return width, height
    return float(word) if name == "width" else int(word)


def run(values: flags.FlagValues, console) -> None:
    """Measures and prints the JSON."""
    from benchmarks import steps

    words = {name: getattr(values, name) for name in BASES}
    base = {name: _value(name, found[0]) for name, found in words.items()}
    how = {"network": values.network, "precision": values.precision, "count": values.steps}
    points, fits = {}, {}
    at_base = measured(base, **how)
    for axis in values.axes:
        name = AXES[axis]
        others = [measured(base | {name: _value(name, word)}, **how) for word in words[name][1:]]
        points[axis] = sorted([at_base, *others], key=lambda point: point[axis])
        fits[axis] = {cost: fitted(points[axis], axis, cost, at_base[axis]) for cost in COSTS}
    told = {"machine": steps.machine(), "network": values.network, "precision": values.precision, "base": at_base}
    print(json.dumps(told | {"points": points, "fits": fits}, indent=1))


def measured(point: dict, *, network: str, precision: str, count: int) -> dict:
    """What a step costs at a point of `size`, `batch_size`, `classes` and `width`: its place on the axes, and COSTS."""
    import jax  # it takes the device's memory: not before the flags are understood

    from benchmarks import step_cost, steps
    from dakd_jax.training.step.train_step import train_step

    config = steps.NETWORKS[network]()
    config.train.precision = precision
    config.student.width = config.teacher.width = point["width"]
    size, classes = point["size"], point["classes"]
    batch = steps.made_up_batch(point["batch_size"], size, size, classes)
    (state, *others), fixed = steps.prepared(config, "case_c", batch, num_classes=classes)
    networks = (state.params, others[0]["params"])
    parameters = sum(leaf.size for leaf in jax.tree.leaves(networks))
    lowered = train_step.lower(state, *others, **fixed)
    tflop = step_cost.tflop((state, *others), fixed)
    compiled = lowered.compile()
    analysis = compiled.memory_analysis()
    seconds = []
    for _ in range(1 + count):  # the first one warms up
        began = time.perf_counter()
        state = jax.block_until_ready(compiled(state, *others)[0])
        seconds.append(time.perf_counter() - began)
    return {
        "pixels": size[0] * size[1],
        "pictures": point["batch_size"],
        "classes": classes,
        "parameters": parameters,
        "seconds": float(f"{statistics.median(seconds[1:]):.4g}"),
        "gflop": None if tflop is None else float(f"{1e3 * tflop:.5g}"),
        "temporary_mib": analysis and float(f"{analysis.temp_size_in_bytes / 2**20:.5g}"),
    }


def fitted(points: list[dict], axis: str, cost: str, base: float) -> dict | None:
    """The line through a cost over an axis, see the top of this file; None with one point, or an unknown cost."""
    found = [(point[axis], point[cost]) for point in points if point[cost]]
    if len({x for x, _ in found}) < 2:
        return None
    x, y = np.array(found, np.float64).T
    (constant, slope), *_ = np.linalg.lstsq(np.stack([1 / y, x / y], axis=1), np.ones_like(y), rcond=None)
    errors = np.abs((constant + slope * x) / y - 1)
    share = slope * base / (constant + slope * base)
    return {
        "share_at_base": round(float(share), 3),
        "per_unit": float(f"{slope:.4g}"),
        "worst": round(float(errors.max()), 3),
    }


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
