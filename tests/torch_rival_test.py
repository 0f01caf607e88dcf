"""The rival that the benchmark measures does the same work: a whole step of EfficientNet-Lite against PyTorch."""

import numpy as np
import tiny_runs
import torch

from benchmarks import step, steps
from benchmarks.torch_rival import Rival
from dakd_jax.models.weight_files import pretrained


def test_losses_and_weights_after_two_steps_are_those_of_the_rival():
    batch = steps.made_up_batch(2, (64, 48), (64, 48))
    batch["source_label"][:, :5] = 255
    with tiny_runs.quick_compilation():
        ours = step.Ours("efficientnet_lite0", "imagenet", {n: batch[n] for n in ("source_image", "source_label")})
    weight = float(ours.weights.seg_auxiliary)
    rival = Rival(ours.model, ours.start, ours.optimizer, rate=step.RATE, auxiliary_weight=weight)
    labels = torch.tensor(batch["source_label"].astype(np.int64))
    for _ in range(2):
        theirs = rival.step(torch.tensor(batch["source_image"]), labels)
        np.testing.assert_allclose(ours.step(), theirs, rtol=1e-5)
    state = rival.state_dict()
    made = pretrained.to_state_dict({"params": ours.state.params, "batch_stats": ours.state.batch_stats})
    assert made.keys() == state.keys()
    for name, array in made.items():
        np.testing.assert_allclose(array, state[name], rtol=1e-3, atol=1e-4, err_msg=name)
