"""A step that goes wrong is kept, can be run again, and names where it began."""

import functools
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import step_parts
import tiny_runs

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import optimizers
from dakd_jax.training.step import train_step
from dakd_jax.training.step.options import StepModels
from dakd_jax.training.train_state import as_format_3
from dakd_jax.training.watch import black_box, diagnosis
from dakd_jax.training.watch.black_box import BadStep, FiniteWatch

pytestmark = pytest.mark.long  # among the last files it would keep one worker waiting for the other
SEGMENTER = Segmenter(arch="tiny", num_classes=5)
MODELS, JUDGE = StepModels(SEGMENTER), Discriminator(width=0.05)
RATES = step_parts.rates(1e-3, 1e-3)
OPTIMIZERS = {"optimizer": optimizers.SegmenterOptimizer()}
DRAW = np.random.default_rng(0)
BATCH = {
    "source_image": DRAW.integers(0, 256, (2, 32, 64, 3), dtype=np.uint8),
    "source_label": DRAW.integers(0, 5, (2, 32, 64), dtype=np.uint8),
    "target_image": DRAW.integers(0, 256, (2, 32, 64, 3), dtype=np.uint8),
}


@pytest.fixture(scope="module")
def start():
    """Arrays of a sound state."""
    with tiny_runs.quick_compilation():
        made = step_parts.create(
            segmenter_module.init_segmenter(SEGMENTER, 0, "student"),
            step_parts.discriminators(JUDGE, 0, 5),
            **OPTIMIZERS,
        )
    return jax.tree.map(np.asarray, made)


def step(state, weights=None, **options):
    with tiny_runs.quick_compilation():
        state = jax.tree.map(jnp.array, state)
        options = step_parts.options(discriminator=JUDGE, **options)
        weights = weights or step_parts.weights()
        return train_step.train_step(state, None, BATCH, weights, RATES, models=MODELS, options=options, **OPTIMIZERS)


def places(state, weights=None):
    options = step_parts.options(discriminator=JUDGE)
    weights = weights or step_parts.weights()
    return diagnosis.first_nonfinite(state, None, BATCH, weights, models=MODELS, options=options)


def planted(start, path, value):
    """The state with a value at the first place of a parameter."""
    flat = black_box.flatten(start)
    flat[path] = flat[path].copy()
    flat[path].ravel()[:] = value
    return black_box.fill(start, flat)


def test_a_sound_step_is_finite_and_its_norms_are_those_of_the_trees(start):
    after, watched = step(start)
    assert bool(watched["finite"])
    expected = np.sqrt(sum(np.sum(np.square(leaf, dtype=np.float64)) for leaf in jax.tree.leaves(after.params)))
    assert float(watched["norm/parameters/segmenter"]) == pytest.approx(expected, rel=1e-5)
    with tiny_runs.quick_compilation():
        options = step_parts.options(discriminator=JUDGE)
        gradients = functools.partial(diagnosis._everything, models=MODELS, options=options)
        grads, _ = jax.jit(gradients)(start, None, BATCH, step_parts.weights())
    for name, tree in {"segmenter": grads["student"], "discriminator_main": grads["main"]}.items():
        expected = np.sqrt(sum(np.sum(np.square(leaf, dtype=np.float64)) for leaf in jax.tree.leaves(tree)))
        assert float(watched[f"norm/gradient/{name}"]) == pytest.approx(expected, rel=1e-4)


def kernel_in(start, layer):
    """Name of a layer's first kernel."""
    names = black_box.flatten(start)
    return next(name for name in names if name.startswith("params.") and layer in name and "kernel" in name)


def test_a_planted_nan_is_found_in_the_state(start):
    name = kernel_in(start, "layer3")
    bad = planted(start, name, np.nan)
    assert not bool(step(bad)[1]["finite"])
    assert places(bad) == [f"state before the step: {name}"]


@pytest.mark.parametrize("layer", ["layer2", "layer6", "seg1"])
def test_an_overflow_is_found_in_its_layer(start, layer):
    """Weights of 1e38 are finite; the sums that the layer makes of them are not."""
    bad = planted(start, kernel_in(start, layer), 3e38)
    assert not bool(step(bad)[1]["finite"])
    found = places(bad)
    assert re.match(rf"student on source: .*{layer}", found[0]), found[:3]


def test_a_loss_that_is_not_finite_is_named(start):
    found = places(start, step_parts.weights(seg_auxiliary=np.inf))
    assert found == ["loss/source/total"]


def test_a_sound_step_has_no_places(start):
    assert places(start) == []


def test_a_skipped_step_changes_nothing_but_the_count(start):
    bad = step_parts.weights(adversarial_main=np.nan)
    after, watched = step(start, bad, skip_nonfinite=True)
    assert not bool(watched["finite"]) and int(after.step) == 1
    for a, b in zip(jax.tree.leaves(after.replace(step=start.step)), jax.tree.leaves(start), strict=True):
        np.testing.assert_array_equal(a, b)
    good, watched = step(start, skip_nonfinite=True)
    assert bool(watched["finite"]) and any(
        (a != b).any() for a, b in zip(jax.tree.leaves(good.params), jax.tree.leaves(start.params), strict=True)
    )


def test_the_watch_names_the_first_bad_step_and_waits_for_no_later_one():
    class Late:
        """A verdict that nobody may read yet."""

    watch = FiniteWatch(None)
    for number, verdict in ((1, True), (2, False), (3, False)):
        watch.add(number, jnp.asarray(verdict))
    watch.add(4, Late())
    watch.check(1)
    with pytest.raises(BadStep) as bad:
        watch.check(3)
    assert bad.value.step == 2


def test_the_watch_lets_so_many_steps_pass():
    watch = FiniteWatch(2)
    for number in range(1, 6):
        watch.add(number, jnp.asarray(number % 2 == 0))
    watch.check(3)
    assert watch.skipped == 2
    with pytest.raises(BadStep) as bad:
        watch.check(5)
    assert bad.value.step == 5


@pytest.fixture(scope="module")
def diverged(run_py, toy_city, tmp_path_factory):
    """(ended run, its workdir)."""
    workdir = tmp_path_factory.mktemp("diverged")
    changes = {"goal": "student", "optim.learning_rate": 1e12, "train.checkpoint_every": 1, "train.eval_every": 0}
    return run_py(tiny_runs.arguments(toy_city, workdir, **changes)), workdir


@pytest.fixture
def bundle(diverged, tmp_path):
    """(ended run, folder of a copy of the bundle that it left)."""
    ended, workdir = diverged
    shutil.copytree(workdir / "stages", tmp_path / "stages")
    (folder,) = tmp_path.glob("stages/student-*/blackbox-*")
    return ended, folder


def test_the_bundle_holds_the_state_before_the_step(bundle, run_py):
    ended, folder = bundle
    line = tiny_runs.one_line(ended, r"step \d+: (loss|norm)/.* not finite", "--config.optim.learning_rate", code=3)
    assert re.search(rf"--replay=\S*/{folder.parent.name}/{folder.name}\b", line)
    found = black_box.load(folder)
    bad_step = found.about["step"]
    checkpoints = sorted(int(p.name) for p in folder.parent.glob("checkpoints/[0-9]*"))
    assert checkpoints[-1] == bad_step - 1 == int(found.state["step"])
    about = json.loads((folder.parent / "checkpoints" / str(checkpoints[-1]) / "about.json").read_text())
    assert records.hash_arrays(found.state) == about["checksum"]

    again = run_py([f"--replay={folder}"])
    assert again.code == 3 and not again.stderr
    assert re.search(r"first not finite: (student on|loss/|gradient of|state before)", again.stdout), again.stdout


def test_a_bundle_of_a_sound_step_replays_to_the_end(bundle, run_py):
    _, folder = bundle
    state = dict(np.load(folder / "state.npz"))
    small = {
        k: np.clip(np.nan_to_num(v), -1e-2, 1e-2) if k.startswith(("params", "disc")) else v * 0
        for k, v in state.items()
    }
    small = {k: v + 1 if k.endswith(".var") else v for k, v in small.items()}
    np.savez(folder / "state.npz", **small)
    ended = run_py([f"--replay={folder}"])
    assert ended.code == 0 and "first not finite: nothing" in ended.stdout, ended


@pytest.mark.parametrize("damage", ["missing", "no bundle", "cut"])
def test_a_damaged_bundle_is_one_line(bundle, run_py, damage):
    _, folder = bundle
    if damage == "missing":
        (folder / "batch.npz").unlink()
    elif damage == "no bundle":
        folder = folder.parent
    else:
        (folder / "state.npz").write_bytes((folder / "state.npz").read_bytes()[:1000])
    tiny_runs.one_line(run_py([f"--replay={folder}"]), "bundle|blackbox")


def test_fill_refuses_other_shapes(start):
    with pytest.raises(UserError, match="does not fit its own settings, first at step"):
        black_box.fill(start, {})


def test_a_bundle_of_an_older_state_is_read(start):
    older = black_box.flatten(as_format_3(start))
    assert any(name.startswith("discriminators_opt_state.") for name in older)
    found = black_box.flatten(black_box.fill(start, older))
    assert found.keys() == black_box.flatten(start).keys()
    for name, array in black_box.flatten(start).items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_skipping_up_to_the_limit_then_the_run_stops(run_py, toy_city, workdir):
    changes = {
        "goal": "source_only", "optim.learning_rate": 1e30, "train.eval_every": 0,
        "train.on_nonfinite": "skip", "train.max_skipped": 2,
    }  # fmt: skip
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **changes))
    tiny_runs.one_line(ended, "step 3: .* not finite, and 2 before it were left out", code=3)
