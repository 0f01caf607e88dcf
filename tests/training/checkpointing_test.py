"""Checkpoints hold everything, are of the stage that reads them, and do not stall the step."""

import json
import shutil
import threading

import jax
import numpy as np
import pytest
import saved_states
from saved_states import assert_equal, at, filled, state

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.training.checkpointing import Checkpoints

opened, originals = saved_states.opened, saved_states.originals


@pytest.fixture
def saved(tmp_path, originals):
    """(folder with the checkpoints of steps 1 and 2, the state of 2)."""
    shutil.copytree(originals[0], tmp_path / "checkpoints")
    return tmp_path / "checkpoints", originals[1][2]


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
    with pytest.raises(UserError, match="format 99, this version reads 1 to 4"):
        opened(saved[0]).restore(jax.eval_shape(state))


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
    shutil.copytree(folder / "2", folder / ".removed-0")
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
        patch.setattr(records, "write_json", full)
        checkpoints.save(at(made, 1))
        with pytest.raises(OSError, match="No space left"):
            checkpoints.wait()
    assert list(tmp_path.iterdir()) == []
    checkpoints.save(at(made, 2))
    checkpoints.wait()
    assert checkpoints.steps() == [2]
