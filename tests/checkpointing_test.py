"""Checkpoints hold everything, are checked when they are read, and do not stall the step."""

import json
import pathlib
import shutil
import threading
import zipfile

import jax
import numpy as np
import pytest

from dakd_jax import checkpointing, optimizers, train_state
from dakd_jax.checkpointing import Checkpoints
from dakd_jax.errors import UserError
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
IDENTITY = {"seed": 0, "network": {"arch": "drn_d_22", "width": 0.05}, "steps": 8}


def state(width=0.05, arch="drn_d_22", discriminator=0.05, levels="multi", seed=0, classes=19):
    return train_state.create(
        train_state.init_segmenter(Segmenter(arch=arch, num_classes=classes, width=width), seed, "student"),
        train_state.init_discriminators(Discriminator(width=discriminator), seed, classes, levels),
        optimizer=optimizers.SegmenterOptimizer(),
        discriminator_optimizer=optimizers.DiscriminatorOptimizer(),
    )


def filled(tree, seed=3):
    """Every leaf replaced by other numbers of its kind."""
    rng = np.random.default_rng(seed)

    def other(leaf):
        if leaf.dtype.kind == "i":
            return jax.numpy.asarray(rng.integers(1, 99, leaf.shape).astype(leaf.dtype))
        return jax.numpy.asarray(rng.standard_normal(leaf.shape).astype(leaf.dtype))

    return jax.tree.map(other, tree)


def at(made, step):
    return made.replace(step=jax.numpy.asarray(step))


@pytest.fixture
def opened():
    """Opens Checkpoints, and closes them at the end."""
    made = []

    def open_(folder, **changes):
        made.append(Checkpoints(folder, **{"keep": 2, "identity": IDENTITY, **changes}))
        return made[-1]

    yield open_
    for checkpoints in made:
        checkpoints.close()


@pytest.fixture
def saved(tmp_path, opened):
    """(folder with the checkpoints of steps 1 and 2, the state of 2)."""
    made = filled(jax.eval_shape(state))
    checkpoints = opened(tmp_path / "checkpoints")
    checkpoints.save(at(filled(made, seed=9), 1))
    checkpoints.save(at(made, 2))
    checkpoints.close()
    return tmp_path / "checkpoints", at(made, 2)


def assert_equal(found, made):
    assert jax.tree.structure(found) == jax.tree.structure(made)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(made), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_holds_everything_bit_for_bit(saved, opened):
    folder, made = saved
    assert_equal(opened(folder).restore(filled(made, seed=4)), made)


def test_what_is_told_with_a_state_comes_back_with_it(saved, opened):
    folder, made = saved
    checkpoints = opened(folder)
    checkpoints.save(at(made, 3), {"skipped_steps": 2})
    checkpoints.restore(made)
    assert checkpoints.told == {"skipped_steps": 2}
    shutil.rmtree(folder / "3")
    checkpoints.restore(made)
    assert checkpoints.told == {}  # of the one before


def test_nothing_to_restore(tmp_path, opened):
    assert opened(tmp_path / "new").restore(jax.eval_shape(state)) is None


@pytest.mark.parametrize(
    "other",
    [{"width": 0.1}, {"arch": "drn_d_24"}, {"discriminator": 0.1}, {"levels": "single"}, {"classes": 7}],
    ids=str,
)
def test_a_checkpoint_of_another_network_is_one_line(saved, opened, other):
    with pytest.raises(UserError, match="checkpoints/.*does not fit .*; delete that folder") as caught:
        opened(saved[0]).restore(jax.eval_shape(lambda: state(**other)))
    assert "\n" not in str(caught.value)
    assert (saved[0] / "2").is_dir()


def test_a_checkpoint_of_another_config_lists_the_differences(saved, opened):
    other = {"seed": 1, "network": {"arch": "drn_d_22", "width": 0.1, "normaliser": "rgb_mean_std"}, "steps": 8}
    with pytest.raises(UserError) as caught:
        opened(saved[0], identity=other).restore(jax.eval_shape(state))
    message = str(caught.value)
    for difference in (
        "seed is 0 in it, 1 here",
        "network.width is 0.05 in it, 0.1 here",
        "network.normaliser is absent in it, rgb_mean_std here",
    ):
        assert difference in message
    assert "steps" not in message and "network.arch" not in message and "\n" not in message


def test_a_checkpoint_of_a_later_format_is_refused(saved, opened):
    about = saved[0] / "2" / "about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"format": 99}))
    with pytest.raises(UserError, match="format 99, this version reads 1 and 2"):
        opened(saved[0]).restore(jax.eval_shape(state))


def largest(folder):
    return max((p for p in folder.rglob("*") if p.is_file() and "/d/" in str(p)), key=lambda p: p.stat().st_size)


def cut(folder):
    file = largest(folder)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(folder):
    file = largest(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def another_state(folder):
    """A flip that every reader lets pass: whole files, other numbers."""
    shutil.rmtree(folder / "state")
    shutil.copytree(folder.parent / "1" / "state", folder / "state")


DAMAGES = {
    "cut": cut,
    "flipped bit": flip,
    "another state": another_state,
    "missing shard": lambda folder: largest(folder).unlink(),
    "missing manifests": lambda folder: [file.unlink() for file in folder.rglob("manifest.ocdbt")],
    "missing state": lambda folder: shutil.rmtree(folder / "state"),
    "missing about": lambda folder: (folder / "about.json").unlink(),
    "half an about": lambda folder: (folder / "about.json").write_text('{"format": 2, "ste'),
    "empty folder": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(saved, opened, damage):
    folder, made = saved
    damage(folder / "2")
    said = []
    found = opened(folder, report=said.append).restore(made)
    assert_equal(found, at(filled(made, seed=9), 1))
    (line,) = said
    assert line.startswith("checkpoint 2 is damaged (") and line.endswith("damaged-2; the newest one left is 1")
    assert "\n" not in line and (folder / "damaged-2").is_dir() and not (folder / "2").exists()


def test_when_all_are_damaged_it_starts_anew(saved, opened):
    folder, made = saved
    for step in ("1", "2"):
        cut(folder / step)
    said = []
    assert opened(folder, report=said.append).restore(made) is None
    assert len(said) == 2 and said[1].endswith("starting anew")


def test_old_checkpoints_are_removed_and_every_kth_stays(tmp_path, opened):
    made = filled(jax.eval_shape(state))
    checkpoints = opened(tmp_path, keep=2, keep_every=4)
    for step in range(1, 8):
        checkpoints.save(at(made, step))
        checkpoints.save(at(made, step))  # twice is once
    checkpoints.wait()
    assert checkpoints.steps() == [4, 6, 7]


def test_leftovers_of_a_killed_save_are_no_checkpoints_and_are_removed(saved, opened):
    folder, made = saved
    shutil.copytree(folder / "2", folder / ".unfinished-3")
    (folder / "4.orbax-checkpoint-tmp").mkdir()
    checkpoints = opened(folder)
    assert checkpoints.steps() == [1, 2] and sorted(p.name for p in folder.iterdir()) == ["1", "2"]
    assert_equal(checkpoints.restore(made), made)


def test_a_save_does_not_wait_for_the_disk_and_the_step_may_go_on(tmp_path, opened, monkeypatch):
    """The state that was saved is eaten by the next step while the disk is still busy."""
    release, write = threading.Event(), Checkpoints._write

    def slow(self, *args):
        release.wait(30)
        write(self, *args)

    monkeypatch.setattr(Checkpoints, "_write", slow)
    made = jax.tree.map(jax.numpy.asarray, filled(jax.eval_shape(state)))
    expected = jax.tree.map(np.array, made)
    checkpoints = opened(tmp_path)
    checkpoints.save(made)
    assert checkpoints.steps() == []
    eat = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf * 0, tree), donate_argnums=0)
    jax.block_until_ready(eat(made))
    release.set()
    checkpoints.wait()
    assert_equal(checkpoints.restore(expected), expected)


def test_a_full_disk_is_raised_once_and_leaves_nothing(tmp_path, opened, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    made = filled(jax.eval_shape(state))
    checkpoints = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpointing.records, "write_json", full)
        checkpoints.save(at(made, 1))
        with pytest.raises(OSError, match="No space left"):
            checkpoints.wait()
    assert list(tmp_path.iterdir()) == []
    checkpoints.save(at(made, 2))
    checkpoints.wait()
    assert checkpoints.steps() == [2]


def test_the_first_format_is_still_read(tmp_path, opened):
    """Written by the version that saved the state under default/, without a checksum."""
    zipfile.ZipFile(FIXTURES / "checkpoint_format_1.zip").extractall(tmp_path)
    like = jax.eval_shape(lambda: state(width=0.02, discriminator=0.02, classes=3))
    checkpoints = opened(tmp_path)
    assert checkpoints.steps() == [7]
    assert_equal(checkpoints.restore(like), at(filled(like), 7))
