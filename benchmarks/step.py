"""A training step of ours beside PyTorch's, in one run: python -m benchmarks.step --vs=torch prints JSON.

--network=lite0 is source only on an EfficientNet-Lite (--arch) with ImageNet's weights (--pretrained; '' = made up);
drn is case (c) of the paper, DRN-D-22 under a DRN-D-38, with made-up weights; tiny is that of networks of 5,000
parameters. Pictures are made up. Ours and the rival take turns in one process, so that what else the machine does
meets both; on a GPU both run there. Before anything is timed, five steps of both from the same start must give the
same losses, every curve of them, and the forward pass the same log-probabilities: within 1e-3 (losses relative) in
float32, on a GPU, where it is TF32, within 5e-2; with bfloat16 the gap is told alone.

`seconds` are medians of steps that are waited for, and of forward passes, from pictures to the main head's
log-probabilities at their size; `ratio` is ours by the rival's. `share_of_peak` is what a step, as it is written,
computes in a second, by what a large matrix product of the same framework, precision and threads does
(`peak_tflop_per_second`). `memory_gib` has the compiler's plan of our step by part, and for both `state`, what stays
between steps, and `peak`: on a GPU the most that the framework had allocated (ours while choosing kernels included),
on a CPU, where both share a process, the state and what the process grew by within one step (null where the system
does not tell).

With --answers=kept both are given what the teacher says of the pictures, as logits at its stride, and have no teacher.

Flags: --network, --arch, --pretrained, --size=WIDTHxHEIGHT and --target_size, --batch_size, --rounds of 3 steps each,
--answers, --precision of ours; of the rival --bfloat16, --compile, --compile_backend, --threads. XLA uses all cores
that the process may: bind both with taskset.
"""

import json
import os
import statistics
import sys
import time

from absl import flags

from dakd_jax.basics.errors import UserError
from data_pipelines.basics.errors import DataError
from data_pipelines.doctor import command_line

LITE_RATE, SAME_STEPS, IN_A_ROUND = 5e-4, 5, 3
# Of two losses, relative, and of two log-probabilities: float32 on both sides, and five steps; by platform.
MOST_APART = {"cpu": 1e-3, "gpu": 5e-2}
NETWORKS = ("lite0", "drn", "tiny")
SIZES = {"lite0": ("256x128",) * 2, "drn": ("1024x512", "1280x720"), "tiny": ("68x34", "84x52")}


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum("vs", "torch", ("torch",), "The rival.", flag_values=values)
    flags.DEFINE_enum("network", "lite0", NETWORKS, "What is trained.", flag_values=values)
    flags.DEFINE_string("arch", "efficientnet_lite0", "Of lite0: an EfficientNet-Lite.", flag_values=values)
    flags.DEFINE_string("pretrained", "imagenet", "Of lite0: as config.student.pretrained.", flag_values=values)
    flags.DEFINE_string("size", "", "Of source pictures; '' = the network's own.", flag_values=values)
    flags.DEFINE_string("target_size", "", "'' = --size, or the network's own.", flag_values=values)
    flags.DEFINE_integer("batch_size", 2, "Pictures of each domain.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("rounds", 10, "Turns of each.", lower_bound=1, flag_values=values)
    flags.DEFINE_enum("precision", "float32", ("float32", "bfloat16"), "Ours.", flag_values=values)
    flags.DEFINE_enum("answers", "asked", ("asked", "kept"), "Of the teacher, not of lite0.", flag_values=values)
    flags.DEFINE_integer("threads", 0, "Of the rival; 0: as many as cores.", lower_bound=0, flag_values=values)
    flags.DEFINE_boolean("bfloat16", False, "The rival by autocast.", flag_values=values)
    flags.DEFINE_boolean("compile", False, "The rival by torch.compile.", flag_values=values)
    flags.DEFINE_string("compile_backend", "inductor", "Of torch.compile.", flag_values=values)
    for name in ("size", "target_size"):
        flags.register_validator(name, _is_a_size, f"--{name}=WIDTHxHEIGHT", flag_values=values)


def _is_a_size(text: str) -> bool:
    sides = text.split("x")
    return not text or (len(sides) == 2 and all(side.isdecimal() and int(side) for side in sides))


def run(values: flags.FlagValues, console) -> None:
    """Measures and prints the JSON."""
    print(json.dumps(measured(values), indent=2))


def measured(values: flags.FlagValues) -> dict:
    """What is printed.

    Raises:
      DataError: a flag that cannot work, PyTorch that is missing, has no GPU or cannot compile; other losses.
    """
    # XLA would take three quarters of a GPU's memory at once. It is read when a device is first looked for.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        import torch
    except ImportError:
        raise DataError("PyTorch is not installed: pip install torch") from None
    import jax

    from benchmarks import steps

    on_gpu = jax.devices()[0].platform != "cpu"
    if on_gpu and not torch.cuda.is_available():
        raise DataError(
            "jax computes on a GPU and this PyTorch cannot: install one with CUDA, or set JAX_PLATFORMS=cpu"
        )
    source, target = _sizes(values)
    ours = _ours(values, steps.made_up_batch(values.batch_size, source, target))
    rival = _Rival(values, ours, "cuda" if on_gpu else "cpu")
    float32 = values.precision == "float32" and not values.bfloat16
    apart = _same_work(ours, rival, MOST_APART["gpu" if on_gpu else "cpu"] if float32 else None)
    seconds = _in_turns(ours, rival, values.rounds)
    pictures = values.batch_size * len({"source_image", "target_image"} & set(ours.arrays))
    peaks = {"ours": steps.peak_flop(values.precision) / 1e12, "rival": rival.peak_flop() / 1e12}
    return {
        "network": values.network,
        **({"arch": values.arch} if values.network == "lite0" else {}),
        **{name: "x".join(map(str, size)) for name, size in (("source", source), ("target", target))},
        "batch_size": values.batch_size,
        "precision": values.precision,
        **({"answers": values.answers} if values.network != "lite0" else {}),
        "seconds": seconds,
        "ratio": {of: round(seconds[of] / seconds[f"rival_{of}"], 3) for of in ("step", "forward")},
        **_by_the_second(seconds, pictures, ours.tflop, peaks),
        "memory_gib": {"ours": ours.memory(), "rival": rival.memory()},
        **apart,
        "compile_seconds": {"ours": round(ours.compile_seconds, 1), "rival_first_step": round(rival.first_seconds, 1)},
        "rival": rival.told(),
        "machine": steps.machine(),
    }


def _sizes(values) -> list[tuple[int, int]]:
    """(width, height) of source and target pictures."""
    source, target = SIZES[values.network]
    texts = values.size or source, values.target_size or values.size or target
    return [tuple(map(int, text.split("x"))) for text in texts]


def _by_the_second(seconds: dict, pictures: int, tflop: float | None, peaks: dict) -> dict:
    steps_of = {"ours": seconds["step"], "rival": seconds["rival_step"]}
    found = {
        "pictures_per_second": {of: round(pictures / took, 2) for of, took in steps_of.items()},
        "tflop": tflop and float(f"{tflop:.4g}"),
        "peak_tflop_per_second": {of: float(f"{peak:.4g}") for of, peak in peaks.items()},
    }
    shares = {of: tflop and float(f"{tflop / took / peaks[of]:.3g}") for of, took in steps_of.items()}
    return found | {"share_of_peak": shares}


def _ours(values, batch: dict):
    import numpy as np

    from benchmarks import steps
    from configs import base

    try:
        if values.network != "lite0":
            config = steps.NETWORKS["full" if values.network == "drn" else values.network]()
            config.train.precision = values.precision
            prepared = steps.prepared(config, "case_c", batch)
            if values.answers == "kept":
                prepared = steps.with_answers(*prepared)
                batch = {name: np.asarray(array) for name, array in prepared[0][2].items()}
            return Ours(*prepared, batch)
        if values.answers == "kept":
            raise DataError("--answers=kept: lite0 has no teacher; choose --network=drn")
        config = base.get_config()
        config.student.arch, config.student.pretrained = values.arch, values.pretrained
        config.optim.head_learning_rate_factor = 10.0
        config.train.precision = values.precision
        batch = {name: batch[name] for name in ("source_image", "source_label")}
        return Ours(*steps.prepared(config, "source_only", batch, {"segmenter": LITE_RATE}), batch)
    except UserError as error:
        raise DataError(str(error)) from error


class Ours:
    """Our step and forward pass, compiled.

    Attributes:
      start: (state, teacher or None, ...) as steps.prepared gives them, the state a copy that stays.
      fixed: what shapes the compiled step, by name.
      arrays: of the batch, on the host.
      tflop: of a step as it is written, None where that cannot be told.
    """

    def __init__(self, arguments: tuple, fixed: dict, arrays: dict):
        import jax

        from benchmarks import step_cost
        from dakd_jax.training import train_state
        from dakd_jax.training.step.train_step import train_step

        self.start, self.fixed, self.arrays = arguments, fixed, arrays
        self.state, self.others = train_state.copied(arguments[0]), arguments[1:]
        lowered = train_step.lower(*arguments, **fixed)
        self.tflop = step_cost.tflop(arguments, fixed)
        began = time.perf_counter()
        self._step = lowered.compile()
        self.compile_seconds = time.perf_counter() - began
        self._forward = jax.jit(self._predictions)

    def step(self) -> dict:
        """Makes one; what it watched."""
        import jax

        self.state, watched = self._step(self.state, *self.others)
        return jax.block_until_ready((self.state, watched))[1]

    def forward(self):
        """Log-probabilities [B, H, W, C] of the main head on source pictures, under the weights of the start."""
        import jax

        state = self.start[0]
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return jax.block_until_ready(self._forward(variables, self.others[1]["source_image"]))

    def _predictions(self, variables, pictures):
        from dakd_jax.models import segmenter

        model, precision = self.fixed["models"].segmenter, self.fixed["options"].precision
        heads, _ = segmenter.forward(model, variables, pictures, precision=precision)
        return heads.log_probabilities(pictures.shape[1:3])["main"]

    def memory(self) -> dict:
        """GiB: the compiler's plan by part, `state` and `peak` of this module's docstring."""
        from benchmarks import step_cost
        from dakd_jax.training.watch import device_memory

        trees = {"state": self.state, "teacher": self.others[0], "batch": self.others[1]}
        plan = device_memory.step_plan(self._step, **trees)
        state = sum(plan[name] for name in trees)
        on_device = step_cost.device_memory().get("peak_bytes_in_use")
        peak = on_device if on_device is not None else step_cost.with_growth(state, self.step)
        return {"plan": step_cost.in_gib(plan | {"sum": sum(plan.values())})} | step_cost.in_gib(
            {"state": state, "peak": peak}
        )


class _Rival:
    """PyTorch's step and forward pass of the same work."""

    def __init__(self, values, ours: Ours, device: str):
        from benchmarks.torch_rival import drn, lite, parts

        parts.set_up(values.threads, few_channels=values.network == "tiny")
        backend = values.compile_backend if values.compile else ""
        self.how = parts.How(device, values.bfloat16, backend)
        (state, teacher, _, weights, rates), fixed = ours.start, ours.fixed
        given = {"optimizer": fixed["optimizer"], "how": self.how}
        if values.network == "lite0":
            self.of = lite.Rival(fixed["models"], state, weights, rates, **given)
        else:
            adam = fixed["options"].methods[0].optimizer
            answers = dict(fixed["options"].answers)
            self.of = drn.Rival(fixed["models"], state, teacher, weights, rates, adam=adam, answers=answers, **given)
        self.batch, self.first_seconds = self.how.batch(ours.arrays), 0.0

    def step(self):
        losses = self.of.step(self.batch)
        self.how.wait()
        return losses

    def first(self, work):
        """Of the step or the forward pass: compiles it."""
        began = time.perf_counter()
        try:
            return work()
        except Exception as error:  # torch.compile raises what its compilers do
            if not self.how.backend:
                raise
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise DataError(
                f"torch.compile cannot compile here ({said[:200]}): on a CPU it needs a C++ compiler (CXX names it), "
                "on a GPU Triton, and a cache that no kill has cut (TORCHINDUCTOR_CACHE_DIR); or leave --compile out"
            ) from error
        finally:
            self.first_seconds = self.first_seconds or time.perf_counter() - began

    def forward(self):
        logits = self.of.forward(self.batch)
        self.how.wait()
        return logits

    def peak_flop(self) -> float:
        from benchmarks.torch_rival import parts

        return parts.peak_flop(self.how)

    def memory(self) -> dict:
        import torch

        from benchmarks import step_cost

        state = self.of.state_bytes()
        if self.how.device == "cuda":
            return step_cost.in_gib({"state": state, "peak": torch.cuda.max_memory_allocated()})
        return step_cost.in_gib({"state": state, "peak": step_cost.with_growth(state, self.step)})

    def told(self) -> dict:
        import torch

        how = {"device": self.how.device, "bfloat16": self.how.bfloat16, "compiled": self.how.backend or False}
        return {"torch": torch.__version__, "threads": torch.get_num_threads()} | how


def _same_work(ours: Ours, rival: _Rival, most: float | None) -> dict:
    """{'losses_apart': of five steps, relative, 'forward_apart': of log-probabilities}.

    Raises:
      DataError: one of them is more than `most`.
    """
    import numpy as np

    rival.of.evaluating(True)
    theirs = rival.first(rival.forward).permute(0, 2, 3, 1).cpu().numpy()
    rival.first_seconds = 0.0
    apart = {"losses_apart": 0.0, "forward_apart": float(np.abs(np.asarray(ours.forward()) - theirs).max())}
    rival.of.evaluating(False)
    for i in range(SAME_STEPS):
        watched = ours.step()
        for curve, value in rival.first(rival.step).items():
            mine, value = float(watched[curve]), float(value)
            gap = abs(mine - value) / max(abs(value), sys.float_info.min)  # of two zeros: 0
            if most is not None and not gap <= most:
                raise DataError(f"not the same work: {curve} is {mine:g} after step {i + 1}, the rival's {value:g}")
            apart["losses_apart"] = max(apart["losses_apart"], gap)
    if most is not None and not apart["forward_apart"] <= most:
        raise DataError(f"not the same work: log-probabilities are up to {apart['forward_apart']:g} apart")
    return {name: float(f"{gap:.2e}") for name, gap in apart.items()}


def _in_turns(ours: Ours, rival: _Rival, rounds: int) -> dict[str, float]:
    """Medians."""
    timed = {name: [] for name in ("step", "rival_step", "forward", "rival_forward")}
    for _ in range(rounds):
        _time(timed["step"], ours.step)
        _time(timed["rival_step"], rival.step)
        rival.of.evaluating(True)
        _time(timed["forward"], ours.forward)
        _time(timed["rival_forward"], rival.forward)
        rival.of.evaluating(False)
    return {name: round(statistics.median(of), 6) for name, of in timed.items()}


def _time(into: list[float], work) -> None:
    for _ in range(IN_A_ROUND):
        began = time.perf_counter()
        work()
        into.append(time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
