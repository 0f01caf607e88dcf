"""Training states on disk. The only file that knows orbax."""

import pathlib

import jax
import orbax.checkpoint as ocp

from dakd_jax import disk_faults
from dakd_jax.errors import UserError
from dakd_jax.train_state import TrainState


class Checkpoints:
    """The checkpoints of one stage: everything that training changes, every so many steps.

    Orbax writes to a temporary name and renames, so that a killed save is never taken for a checkpoint. A save is
    done when save() returns: a fault of the disk is then raised here, and not in a thread.
    """

    def __init__(self, folder: pathlib.Path, keep: int):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(
            folder.resolve(), options=options, item_handlers=ocp.StandardCheckpointHandler()
        )
        self._folder = folder

    def latest(self) -> int | None:
        """Step of the newest checkpoint, None when there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Saves under the state's own step; does nothing if that step is saved already.

        Raises:
          OSError: no space or no permission.
        """
        step = int(state.step)
        if step == self.latest():
            return
        # Asked beforehand: orbax fails from several threads at once, each with a page on stderr.
        disk_faults.require_space(self._folder, sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
        try:
            self._manager.save(step, args=ocp.args.StandardSave(state))
            self._manager.wait_until_finished()
        except Exception as error:
            if fault := disk_faults.find(error, self._folder):
                raise fault from error
            raise

    def restore(self, like: TrainState) -> TrainState:
        """The newest state; `like` gives the shapes and dtypes.

        Raises:
          UserError: the checkpoint is of another network.
        """
        step = self.latest()
        try:
            difference = _difference(self._manager.item_metadata(step).tree, like)
            if not difference:
                abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
                return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        except (ValueError, KeyError, AttributeError, FileNotFoundError) as error:  # what orbax raises on lost files
            difference = f"it cannot be read: {' '.join(str(error).split())[:120]}"
        raise UserError(
            f"checkpoint {self._folder}/{step} does not fit ({difference}); delete that folder to go on from the one "
            f"before, or {self._folder} to start anew"
        )

    def close(self) -> None:
        """Lets go of the folder."""
        self._manager.close()


def _difference(stored, like: TrainState) -> str:
    """The first tensor in which a stored state differs from `like`, '' when none does; reads no tensor."""

    def shapes(tree):
        flat, _ = jax.tree_util.tree_flatten_with_path(tree)
        return {jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape) for path, leaf in flat}

    found, wanted = shapes(stored), shapes(like)
    for name in {**wanted, **found}:
        if found.get(name) != wanted.get(name):
            there, here = (f"of shape {s[name]}" if name in s else "absent" for s in (found, wanted))
            return f"{name} is {there} in it, {here} in this network"
    return ""
