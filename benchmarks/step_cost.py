"""What a training step takes on this machine, in time and memory: python -m benchmarks.step_cost prints JSON.

Each precision is measured in a process of its own, on made-up pictures. `ms` is of a step that is waited for,
`images_per_second` (of both domains) of steps that are not. `memory_gib` has the compiler's plan by part, and what the
system says: on a GPU the most bytes that were in use after compiling (choosing kernels takes memory for a moment) and
at the end, on a CPU the largest resident memory. `tflop` counts the step as it is written.

XLA multiplies float32 on the newer GPUs as TF32, which keeps 10 bits of each factor; float32_highest does not.
`multiplies` says which, by the relative error of a convolution.

Flags: --network=full (DRN-D-22 under a DRN-D-38), demo or tiny, --stage, --source and --target=WIDTH,HEIGHT,
--batch_size, --precision=float32,float32_highest,bfloat16, --steps.
"""

import ctypes
import gc
import json
import math
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time
from unittest import mock

from absl import flags

from data_pipelines.doctor import command_line

PRECISIONS = ("float32", "float32_highest", "bfloat16")
WARM_UP = 3
GIB = 2**30


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum("network", "full", ("demo", "full", "tiny"), "Which networks.", flag_values=values)
    flags.DEFINE_string("stage", "case_c", "A key of paradigms.STAGES.", flag_values=values)
    flags.DEFINE_list("source", ["1024", "512"], "Width and height of source pictures.", flag_values=values)
    flags.DEFINE_list("target", ["1280", "720"], "Width and height of target pictures.", flag_values=values)
    flags.DEFINE_integer("batch_size", 2, "Pictures of each domain.", lower_bound=1, flag_values=values)
    flags.DEFINE_enum("measure", "", ("", *PRECISIONS), "For the benchmark itself.", flag_values=values)
    flags.DEFINE_list("precision", list(PRECISIONS), "Which ones.", flag_values=values)
    flags.DEFINE_integer("steps", 30, "That are timed.", lower_bound=1, flag_values=values)
    for name in ("source", "target"):
        flags.register_validator(name, _is_a_size, f"--{name}=WIDTH,HEIGHT", flag_values=values)
    flags.register_validator(
        "precision", lambda of: set(of) <= set(PRECISIONS), f"some of {', '.join(PRECISIONS)}", flag_values=values
    )


def _is_a_size(words: list[str]) -> bool:
    return len(words) == 2 and all(word.isdigit() and int(word) for word in words)


def run(values: flags.FlagValues, console) -> None:
    """Measures each precision in a process of its own and prints the JSON."""
    if values.measure:
        print(json.dumps(measured(values)))
        return
    found = [_in_a_process(precision) for precision in values.precision]
    machine = [one.pop("machine") for one in found if "machine" in one][:1]
    settings = {name: getattr(values, name) for name in ("network", "stage", "batch_size", "steps")}
    sizes = {name: "x".join(getattr(values, name)) for name in ("source", "target")}
    print(json.dumps({"machine": machine[0] if machine else None, **settings, **sizes, "runs": found}, indent=1))


def _in_a_process(precision: str) -> dict:
    environment = dict(os.environ)
    if precision == "float32_highest":
        environment["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
    command = [sys.executable, "-m", "benchmarks.step_cost", *sys.argv[1:], f"--measure={precision}"]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    told = json.loads(ended.stdout) if ended.returncode == 0 else {"failed": f"exit code {ended.returncode}"}
    return {"precision": precision} | told


def measured(values: flags.FlagValues) -> dict:
    """Of one precision, --measure, in this process."""
    import jax  # in the process that measures alone: it takes the device's memory

    from benchmarks import steps
    from dakd_jax.training.step.train_step import train_step
    from dakd_jax.training.watch import device_memory

    found = {"machine": steps.machine(), "multiplies": _multiplies()}
    sizes = (tuple(map(int, side)) for side in (values.source, values.target))
    (state, *others), fixed = steps.prepare(
        values.network,
        *sizes,
        stage=values.stage,
        precision=values.measure.removesuffix("_highest"),
        batch_size=values.batch_size,
    )
    lowered = train_step.lower(state, *others, **fixed)
    of_a_step = tflop((state, *others), fixed)
    start = time.perf_counter()
    compiled = lowered.compile()
    found["compile_s"] = round(time.perf_counter() - start, 1)
    plan = device_memory.step_plan(compiled, state=state, teacher=others[0], batch=others[1])
    after_compiling = _most_memory()
    try:
        seconds, rate = _timed(lambda state: compiled(state, *others)[0], state, values.steps)
    except jax.errors.JaxRuntimeError as error:
        if device_memory.MARK not in str(error):
            raise
        return found | {"out_of_memory": True, "memory_gib": _memory(plan, after_compiling)}
    found |= {
        "ms": {"median": round(1e3 * statistics.median(seconds), 2), "best": round(1e3 * min(seconds), 2)},
        "steps_per_second": round(rate, 3),
        "images_per_second": round(2 * values.batch_size * rate, 2),
        "memory_gib": _memory(plan, after_compiling),
    }
    if of_a_step is not None:
        found |= {"tflop": float(f"{of_a_step:.4g}"), "tflop_per_second": float(f"{of_a_step * rate:.4g}")}
    return found


def tflop(arguments: tuple, fixed: dict) -> float | None:
    """Of a step of these arguments as it is written, with direct convolutions: Winograd's multiply less.

    Lowered for the CPU, since the runtimes of GPUs analyse only what is compiled; None where JAX_PLATFORMS leaves the
    CPU out.
    """
    import jax

    from dakd_jax.models import convolution
    from dakd_jax.training.step.train_step import train_step

    try:
        cpu = jax.devices("cpu")[0]
    except RuntimeError:
        return None
    shapes = jax.tree.map(jax.typeof, arguments)
    anew = jax.jit(train_step.__wrapped__, static_argnames=tuple(fixed))
    with mock.patch.object(convolution, "_LEAST_WORK", math.inf), jax.default_device(cpu):
        analysis = anew.lower(*shapes, **fixed).cost_analysis()
    return analysis["flops"] / 1e12 if analysis else None


def _timed(step, state, count) -> tuple[list[float], float]:
    """(seconds of each step that is waited for, steps per second of as many that are not)."""
    import jax

    seconds = []
    for _ in range(WARM_UP + count):
        start = time.perf_counter()
        state = jax.block_until_ready(step(state))
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(count):
        state = step(state)
    jax.block_until_ready(state)
    return seconds[WARM_UP:], count / (time.perf_counter() - start)


def _multiplies() -> dict:
    """How the device multiplies float32 by default: the relative error of a convolution against float64."""
    import jax
    import numpy as np

    draw = np.random.default_rng(0)
    pictures, kernel = draw.normal(size=(1, 32, 64, 64)), draw.normal(size=(3, 3, 64, 64))
    ours = jax.lax.conv_general_dilated(
        pictures.astype(np.float32), kernel.astype(np.float32), (1, 1), "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    patches = np.lib.stride_tricks.sliding_window_view(pictures, (3, 3), axis=(1, 2))
    exact = np.einsum("bhwcyx,yxco->bhwo", patches, kernel, optimize=True)
    error = float(np.linalg.norm(np.asarray(ours, np.float64) - exact) / np.linalg.norm(exact))
    # About 3e-4 with the 10 bits of TF32, far under 1e-5 with the 23 of float32.
    return {"float32_as": "float32" if error < 1e-5 else "tf32", "relative_error": float(f"{error:.1e}")}


def _memory(plan: dict[str, int], after_compiling: int) -> dict:
    peaks = {"after_compiling": after_compiling, "peak": _most_memory(), "limit": device_memory().get("bytes_limit")}
    return {
        "plan": in_gib(plan | {"sum": sum(plan.values())}),
        **in_gib({name: size for name, size in peaks.items() if size is not None}),
    }


def _most_memory() -> int:
    """Bytes: on a GPU the most that were in use, on a CPU the largest resident memory of this process."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return device_memory().get("peak_bytes_in_use", resident)


def device_memory() -> dict:
    """What the device tells of its memory; {} on a CPU."""
    import jax

    return jax.devices()[0].memory_stats() or {}


def in_gib(sizes: dict[str, int | None]) -> dict[str, float | None]:
    """{name: bytes, or None where nobody knows}."""
    return {name: size if size is None else float(f"{size / GIB:.4g}") for name, size in sizes.items()}


def with_growth(state: int, work) -> int | None:
    """`state` and by how many bytes this process is larger within `work` than before it; None where Linux tells not."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # pages that are free already would hide what is taken
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the largest size so far is forgotten
        before = _kib("VmRSS")
        work()
        return state + max(_kib("VmHWM") - before, 0) * 1024
    except (OSError, AttributeError, KeyError):
        return None


def _kib(name: str) -> int:
    """Of /proc/self/status."""
    lines = (line.partition(":") for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int({key: value for key, _, value in lines}[name].split()[0])


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
