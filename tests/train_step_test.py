"""Five whole optimisation steps against the released PyTorch code, in float64; and what must break them."""

import zlib

import golden
import jax
import numpy as np
import pytest

from dakd_jax import optimizers, train_state, train_step
from dakd_jax.models.discriminator import Discriminator

CASES = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (1.0, 1.0)}
SETTINGS = {
    "official": (optimizers.SegmenterOptimizer(nesterov=False, weight_decay=5e-4), 1e-4),
    "supplement": (optimizers.SegmenterOptimizer(nesterov=True, weight_decay=1e-4), 1e-3),
}
TERMS = {
    "src/seg1": "source/seg_auxiliary", "src/seg2": "source/seg_main", "src/total": "source/total",
    "tgt/adv1": "target/adversarial_auxiliary", "tgt/adv2": "target/adversarial_main", "tgt/total": "target/total",
    "D/src1": "discriminator/source_auxiliary", "D/src2": "discriminator/source_main",
    "D/tgt1": "discriminator/target_auxiliary", "D/tgt2": "discriminator/target_main",
} | {
    f"{short}/{theirs}": f"{domain}/{ours}"
    for short, domain in (("src", "source"), ("tgt", "target"))
    for theirs, ours in (
        ("kl1", "kl_auxiliary"), ("kl2", "kl_main"), ("mse1", "mse_auxiliary"), ("pce2", "quasi_ce_main"),
    )
}  # fmt: skip
LEVELS = {"D1": "auxiliary", "D2": "main"}
STEPS = 5


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def _start(golden_dir, optimizer):
    return train_state.create(
        golden.segmenter(golden_dir, golden.STUDENT),
        {level: golden.discriminator(golden_dir, which) for which, level in LEVELS.items()},
        optimizer=optimizer,
        discriminator_optimizer=optimizers.DiscriminatorOptimizer(),
    )


def _run(golden_dir, case, settings, teacher_mode, teacher_model=golden.TEACHER, steps=STEPS, **changes):
    """(initial state, final state, {term: values of every step}) of a golden trajectory."""
    optimizer, discriminator_rate = SETTINGS[settings]
    inputs = np.load(golden_dir / "traj_inputs.npz")
    teacher = golden.segmenter(golden_dir, teacher_model)
    source, target = CASES[case]
    weights = train_step.LossWeights(distil_source=source, distil_target=target, watch_inactive=True)
    weights = weights.replace(**changes)
    statics = {
        "models": train_step.StepModels(golden.STUDENT, Discriminator(), teacher_model),
        "options": train_step.StepOptions(teacher_statistics={"train": "batch", "eval": "running"}[teacher_mode]),
        "optimizer": optimizer,
        "discriminator_optimizer": optimizers.DiscriminatorOptimizer(),
    }
    decay = optimizers.polynomial_decay(1.0, horizon=50_000, power=0.9, steps=STEPS)
    first, state, losses = _start(golden_dir, optimizer), _start(golden_dir, optimizer), []
    for i in range(steps):
        batch = {
            "source_image": inputs["source_u8"][i],
            "source_label": inputs["source_label"][i],
            "target_image": inputs["target_u8"][i],
        }
        rates = train_step.LearningRates(2.5e-4 * decay[i], discriminator_rate * decay[i])
        state, metrics = train_step.train_step(state, teacher, batch, weights, rates, **statics)
        losses.append(metrics)
    series = {name: np.array([float(m[f"loss/{name}"]) for m in losses]) for name in TERMS.values()}
    return first, state, series


def _worst_loss(stored, series):
    """Largest relative difference of any loss at any step, and its name."""
    gaps = {}
    for theirs, ours in TERMS.items():
        expected = stored[f"f64/loss/{theirs}"][: len(series[ours])]
        gaps[ours] = np.max(np.abs(series[ours] - expected) / np.maximum(np.abs(expected), 1e-300))
    worst = max(gaps, key=gaps.get)
    return gaps[worst], worst


def _signs(name, n):
    return np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF).randint(0, 2, n) * 2 - 1


def _assert_changes(stored, group, before, after):
    """delta_norm and delta_proj of every tensor within 1e-6 of its delta_norm."""
    before, after = golden.named(before), golden.named(after)
    checked = 0
    for i, name in enumerate(stored[f"keys/{group}"]):
        if name.startswith(("up1", "up2")) or name.endswith("num_batches_tracked"):
            continue
        delta = (np.asarray(after[name], np.float64) - np.asarray(before[name], np.float64)).ravel()
        norm = stored[f"f64/{group}/delta_norm"][i]
        assert abs(np.linalg.norm(delta) - norm) <= 1e-6 * norm, name
        projection = delta @ _signs(name, delta.size)
        assert abs(projection - stored[f"f64/{group}/delta_proj"][i]) <= 1e-6 * norm, name
        checked += 1
    return checked


def _segmenter(state):
    return {"params": state.params, "batch_stats": state.batch_stats}


TRAJECTORIES = [
    (case, settings, mode, golden.TEACHER) for settings in SETTINGS for mode in ("eval", "train") for case in CASES
] + [("c", "official", "train", golden.TEACHER_F7)]


@pytest.mark.parametrize(("case", "settings", "mode", "teacher"), TRAJECTORIES)
def test_five_steps_equal_reference(golden_dir, case, settings, mode, teacher):
    suffix = "_f7" if teacher is golden.TEACHER_F7 else ""
    stored = np.load(golden_dir / f"traj_{case}_{settings}_teacher{mode}{suffix}.npz")
    first, last, series = _run(golden_dir, case, settings, mode, teacher)
    gap, term = _worst_loss(stored, series)
    assert gap <= 1e-8, f"{term} differs by {gap:.1e}"
    assert _assert_changes(stored, "student", _segmenter(first), _segmenter(last)) >= 129
    for which, level in LEVELS.items():
        before, after = ({"params": s.discriminators[level]} for s in (first, last))
        assert _assert_changes(stored, which, before, after) == 10
    assert int(last.step) == STEPS
