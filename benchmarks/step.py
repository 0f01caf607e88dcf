"""A training step of EfficientNet-Lite beside PyTorch's, in one run: python -m benchmarks.step --vs=torch prints JSON.

Source only, from ImageNet's weights, on made-up pictures: ours and the rival take turns, so that what else the machine
does meets both. `seconds` are medians of steps that are waited for; `ratio` is ours by the rival's. Five steps of both
from the same start must give the same losses before anything is timed.

Flags: --arch, --size=WIDTHxHEIGHT, --batch_size, --rounds of 3 steps each, --threads of the rival, --bfloat16 and
--compile for the rival.
"""

import json
import statistics
import sys
import time

import jax
import numpy as np
from absl import flags

from benchmarks import steps
from configs import base
from dakd_jax.models import segmenter
from dakd_jax.objectives import paradigms
from dakd_jax.stages import settings, weights
from dakd_jax.training import step_setup, train_state
from dakd_jax.training.train_step import train_step
from data_pipelines.doctor import command_line

RATE, SAME_STEPS, IN_A_ROUND = 5e-4, 5, 3
MOST_APART = 1e-3  # of two losses, relative: float32 on both sides, and five steps


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum("vs", "torch", ("torch",), "The rival.", flag_values=values)
    flags.DEFINE_string("arch", "efficientnet_lite0", "An EfficientNet-Lite.", flag_values=values)
    flags.DEFINE_string("pretrained", "imagenet", "As config.student.pretrained.", flag_values=values)
    flags.DEFINE_string("size", "256x128", "Of the pictures.", flag_values=values)
    flags.DEFINE_integer("batch_size", 2, "Pictures of a step.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("rounds", 10, "Turns of each.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("threads", 0, "Of the rival; 0: as many as cores.", lower_bound=0, flag_values=values)
    flags.DEFINE_boolean("bfloat16", False, "The rival by autocast.", flag_values=values)
    flags.DEFINE_boolean("compile", False, "The rival by torch.compile.", flag_values=values)


class Ours:
    """Our step and forward pass, compiled."""

    def __init__(self, arch: str, trunk: str, batch: dict):
        config = base.get_config()
        config.student.arch, config.student.pretrained = arch, trunk
        config.optim.head_learning_rate_factor = 10.0
        settings.check(config)
        chosen = settings.stage_settings(config, paradigms.stage("source_only"), steps.NUM_CLASSES)
        self.model, self.optimizer, self.weights = chosen.models.segmenter, chosen.optimizer, chosen.weights
        self.start = weights.start(self.model, config.student, 0, "student")
        # The step eats its state.
        self.state = train_state.copied(step_setup.first_state(chosen, 0, self.start))
        self.batch, self.rates = jax.device_put(batch), {"segmenter": np.float32(RATE)}
        fixed = {"models": chosen.models, "options": chosen.options, "optimizer": chosen.optimizer}
        began = time.perf_counter()
        self._step = train_step.lower(self.state, None, self.batch, self.weights, self.rates, **fixed).compile()
        self.compile_seconds = time.perf_counter() - began
        self._forward = jax.jit(lambda variables, x: segmenter.forward(self.model, variables, x)[0].main)

    def step(self):
        """Makes one; its loss."""
        self.state, watched = self._step(self.state, None, self.batch, self.weights, self.rates)
        return jax.block_until_ready((self.state, watched["loss/source/total"]))[1]

    def forward(self):
        """Logits of the batch under the weights of the start."""
        return jax.block_until_ready(self._forward(self.start, self.batch["source_image"]))


def run(values: flags.FlagValues, console) -> None:
    """Measures and prints the JSON."""
    import torch

    from benchmarks.torch_rival import Rival

    if values.threads:
        torch.set_num_threads(values.threads)
    width, height = map(int, values.size.split("x"))
    batch = steps.made_up_batch(values.batch_size, (width, height), (width, height))
    ours = Ours(values.arch, values.pretrained, {name: batch[name] for name in ("source_image", "source_label")})
    how = {"rate": RATE, "auxiliary_weight": float(ours.weights.seg_auxiliary), "bfloat16": values.bfloat16}
    rival = Rival(ours.model, ours.start, ours.optimizer, **how)
    pictures = torch.tensor(batch["source_image"])
    labels = torch.tensor(batch["source_label"].astype(np.int64))
    their_step = torch.compile(rival.step) if values.compile else rival.step
    losses = [(float(ours.step()), float(their_step(pictures, labels))) for _ in range(SAME_STEPS)]
    apart = max(abs(a - b) / abs(b) for a, b in losses)
    if apart > MOST_APART and not values.bfloat16:
        raise SystemExit(f"not the same work: losses {losses}")

    def their_forward():
        with torch.no_grad():
            rival(pictures)

    def evaluating(on):
        rival.train(not on)

    timed = {name: [] for name in ("step", "rival_step", "forward", "rival_forward")}
    for _ in range(values.rounds):
        _time(timed["step"], ours.step)
        _time(timed["rival_step"], lambda: their_step(pictures, labels))
        evaluating(True)
        _time(timed["forward"], ours.forward)
        _time(timed["rival_forward"], their_forward)
        evaluating(False)
    seconds = {name: round(statistics.median(of), 5) for name, of in timed.items()}
    found = {
        "arch": values.arch,
        "size": values.size,
        "batch_size": values.batch_size,
        "seconds": seconds,
        "ratio": {
            "step": round(seconds["step"] / seconds["rival_step"], 3),
            "forward": round(seconds["forward"] / seconds["rival_forward"], 3),
        },
        "pictures_per_second": round(values.batch_size / seconds["step"], 2),
        "losses_apart": float(f"{apart:.2e}"),
        "compile_seconds": round(ours.compile_seconds, 1),
        "rival": {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "bfloat16": values.bfloat16,
            "compiled": values.compile,
        },
        "machine": steps.machine(),
    }
    print(json.dumps(found, indent=2))


def _time(into: list[float], work) -> None:
    for _ in range(IN_A_ROUND):
        began = time.perf_counter()
        work()
        into.append(time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
