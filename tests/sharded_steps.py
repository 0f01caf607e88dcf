"""A few float64 steps of the tiny network on one and on two devices, printed as JSON; a process of its own has two.

`python tests/sharded_steps.py`, with JAX_NUM_CPU_DEVICES=2.
"""

import functools
import json
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import tiny_runs

from dakd_jax.evaluation import predict
from dakd_jax.models import segmenter
from dakd_jax.objectives import paradigms
from dakd_jax.stages import settings
from dakd_jax.training.checkpointing import Checkpoints
from dakd_jax.training.runtime import sharding
from dakd_jax.training.step.step_setup import first_state
from dakd_jax.training.step.train_step import train_step

BATCH, STEPS, SIZE = 4, 3, (32, 32)


def blocks(rng, values, *shape):
    """Random values in blocks of 4x4 pixels: labels of single pixels would teach nothing."""
    return rng.choice(values, shape).repeat(4, 1).repeat(4, 2)


def batches():
    rng, few = np.random.default_rng(0), SIZE[0] // 4
    pixels, labels = np.arange(256, dtype=np.uint8), np.array([*range(19), 255], np.uint8)
    pictures = {"source_image": (BATCH, few, few, 3), "target_image": (BATCH, few, few, 3)}
    for _ in range(STEPS):
        yield {name: blocks(rng, pixels, *shape) for name, shape in pictures.items()} | {
            "source_label": blocks(rng, labels, BATCH, few, few)
        }


def trajectory(chosen, devices, state=None, steps=slice(None)):
    """({name: values of these steps}, the last state) on so many devices, from the first state or another one."""
    of = sharding.choose(BATCH, devices)
    student = segmenter.init_segmenter(chosen.models.segmenter, 0, "student")
    state = of.replicated(state or wide(first_state(chosen, 0, student)))
    step, found = of.compiled(train_step), []
    for batch in list(batches())[steps]:
        state, losses = step(
            state, None, of.placed(batch), chosen.weights, {"segmenter": np.float64(0.01)},
            models=chosen.models, options=chosen.options, optimizer=chosen.optimizer,
        )  # fmt: skip
        found.append([float(value) for _, value in sorted(losses.items())])
    return np.array(found), of.local(state)


def moved(chosen, before, after):
    """As trajectory, with all steps but the last on `before` devices, a checkpoint, and the last on `after`."""
    losses, state = trajectory(chosen, before, steps=slice(STEPS - 1))
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(pathlib.Path(folder), keep=1, identity={})
        checkpoints.save(state)
        checkpoints.wait()
        restored = checkpoints.newest(jax.tree.map(jnp.zeros_like, jax.device_get(state)))
        checkpoints.close()
    last, state = trajectory(chosen, after, restored, slice(STEPS - 1, None))
    return np.concatenate([losses, last]), state


def wide(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


@functools.partial(jax.jit, static_argnames=("model", "groups"))
def gradients(params, stats, images, *, model, groups):
    """(gradients of the mean squared logits, running statistics after it)."""

    def loss(params):
        variables = {"params": params, "batch_stats": stats}
        heads, after = segmenter.forward(model, variables, images, statistics="batch", groups=groups)
        return jnp.mean(jnp.square(heads.main)), after

    return jax.grad(loss, has_aux=True)(params)


def as_data_parallel(model):
    """Relative differences of what two devices find in two groups, and DataParallel's two replicas, mean of both."""
    variables, devices = wide(segmenter.init_segmenter(model, 0, "student")), sharding.choose(BATCH, 2)
    images = next(batches())["source_image"]
    params, stats = devices.replicated((variables["params"], variables["batch_stats"]))
    found = gradients(params, stats, devices.placed({"images": images})["images"], model=model, groups=2)
    params, stats = variables["params"], variables["batch_stats"]
    halves = [gradients(params, stats, images[at : at + BATCH // 2], model=model, groups=1) for at in (0, BATCH // 2)]
    mean = jax.tree.map(lambda *of: sum(of) / len(of), *halves)
    differences = jax.tree.map(
        lambda a, b: np.max(np.abs(a - b)) / max(np.max(np.abs(a)), 1e-9), jax.device_get(found), mean
    )
    return max(map(float, jax.tree.leaves(differences)))


def furthest(a, b):
    """Of two trajectories: the largest relative difference of a loss or norm, and of a parameter."""
    losses = np.max(np.abs(a[0] - b[0]) / np.abs(b[0]))
    pairs = zip(*(jax.tree.leaves(jax.device_get(of[1])) for of in (a, b)), strict=True)
    return [float(losses), max(float(np.max(np.abs(x - y))) for x, y in pairs)]


def evaluated(model, variables, among):
    """(confusion matrix, predictions of two pictures) of 5 pictures in batches of 2."""
    rng, pixels = np.random.default_rng(1), np.arange(256, dtype=np.uint8)
    found = [
        {
            "image": blocks(rng, pixels, 2, 8, 8, 3),
            "label": blocks(rng, np.arange(19, dtype=np.uint8), 2, 8, 8),
            "mask": np.array([True, first < 4]),
            "names": (str(first), str(first + 1) * (first < 4)),
        }
        for first in (0, 2, 4)
    ]
    confusion, kept = predict.evaluate(
        model, variables, iter(found), predict.PROTOCOLS["native"], among=among, keep=frozenset(("1", "4"))
    )
    return confusion, kept


def main():
    jax.config.update("jax_enable_x64", True)
    config = tiny_runs.config("", **{"data.batch_size": BATCH, "train.batch_statistics": "device"})
    settings.check(config)
    chosen = settings.stage_settings(config, paradigms.stage("source_only", ""), 19)
    said = {"groups": chosen.options.statistics_groups}
    config.train.batch_statistics = "synchronised"
    chosen = settings.stage_settings(config, paradigms.stage("source_only", ""), 19)
    one, two = (trajectory(chosen, devices) for devices in (1, 2))
    said |= {f"moved to {after}": furthest(moved(chosen, 3 - after, after), one) for after in (1, 2)}
    said |= {"synchronised": furthest(two, one), "per device": as_data_parallel(chosen.models.segmenter)}
    jax.config.update("jax_enable_x64", False)
    model = chosen.models.segmenter
    variables = segmenter.init_segmenter(model, 0, "student")
    one, two = (evaluated(model, variables, sharding.choose(BATCH, devices)) for devices in (1, 2))
    said |= {
        "parts": len(sharding.choose(BATCH).placed(next(batches()))["source_image"].addressable_shards),
        "pixels": int(one[0].sum()),
        "confusions": bool((one[0] == two[0]).all()),
        "kept": [sorted(two[1]), all((one[1][name] == two[1][name]).all() for name in one[1])],
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
