"""The segmenter's optimisers against PyTorch's, step by step in float64, and the rise of the learning rate."""

import jax
import numpy as np
import pytest
import torch

from dakd_jax.objectives import optimizers
from dakd_jax.objectives.optimizers import SegmenterOptimizer

RATE, STEPS = 0.1, 5
SHAPES = {"base": {"conv": (3, 2)}, "seg1": {"bias": (4,)}, "seg1_skip": {"kernel": (2, 2)}}


def drawn(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda shape: rng.normal(size=shape), SHAPES, is_leaf=lambda x: isinstance(x, tuple))


@pytest.mark.parametrize(
    ("ours", "make"),
    [
        (
            SegmenterOptimizer(0.8, True, 0.01, head_factor=10.0),
            lambda groups: torch.optim.SGD(groups, momentum=0.8, nesterov=True, weight_decay=0.01),
        ),
        (
            SegmenterOptimizer(weight_decay=0.05, kind="adamw", head_factor=3.0, clip_norm=0.5),
            lambda groups: torch.optim.AdamW(groups, weight_decay=0.05),
        ),
        (
            SegmenterOptimizer(0.9, False, 0.0, clip_norm=1e-3),
            lambda groups: torch.optim.SGD(groups, momentum=0.9),
        ),
    ],
)
def test_steps_equal_pytorch_s(ours, make):
    with jax.enable_x64(True):
        params, tx = drawn(0), ours.build()
        state = tx.init(params)
        theirs = {path: torch.tensor(leaf, requires_grad=True) for path, leaf in jax.tree.leaves_with_path(params)}
        groups = [
            {"params": [tensor], "lr": RATE * (ours.head_factor if path[0].key.startswith("seg") else 1)}
            for path, tensor in theirs.items()
        ]
        optimizer = make(groups)
        for step in range(1, STEPS + 1):
            grads = drawn(step)
            params, state = optimizers.descend(tx, grads, state, params, RATE)
            for path, grad in jax.tree.leaves_with_path(grads):
                theirs[path].grad = torch.tensor(grad)
            if ours.clip_norm:
                torch.nn.utils.clip_grad_norm_(theirs.values(), ours.clip_norm)
            optimizer.step()
            for path, leaf in jax.tree.leaves_with_path(params):
                np.testing.assert_allclose(leaf, theirs[path].detach(), rtol=1e-5, atol=1e-9)


def test_the_state_of_the_paper_s_optimiser_is_as_before():
    assert len(SegmenterOptimizer().build().init(drawn(0))) == 2


def test_the_learning_rate_rises_and_then_decays():
    plain = optimizers.polynomial_decay(1.0, horizon=10, power=1.0, steps=6)
    ours = optimizers.polynomial_decay(1.0, horizon=10, power=1.0, steps=6, warmup=3)
    np.testing.assert_allclose(ours, plain * np.array([0.25, 0.5, 0.75, 1, 1, 1]), rtol=1e-6)
