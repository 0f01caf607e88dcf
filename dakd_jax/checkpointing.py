"""Training states on disk. The only file that knows orbax."""

import pathlib

import jax
import orbax.checkpoint as ocp

from dakd_jax.errors import UserError
from dakd_jax.train_state import TrainState


class Checkpoints:
    """The checkpoints of one stage: everything that training changes, every so many steps.

    Orbax writes to a temporary name and renames, so that a killed save is never taken for a checkpoint. Saves are
    asynchronous; close() waits for the last one.
    """

    def __init__(self, folder: pathlib.Path, keep: int):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options)
        self._folder = folder

    def latest(self) -> int | None:
        """Step of the newest checkpoint, None when there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Saves under the state's own step; does nothing if that step is saved already."""
        step = int(state.step)
        if step != self.latest():
            self._manager.save(step, args=ocp.args.StandardSave(state))

    def restore(self, like: TrainState) -> TrainState:
        """The newest state; `like` gives the shapes and dtypes.

        Raises:
          UserError: the checkpoint is of another network.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        try:
            state = self._manager.restore(self.latest(), args=ocp.args.StandardRestore(abstract))
        except (ValueError, KeyError) as error:
            raise UserError(
                f"checkpoint {self._folder}/{self.latest()} does not fit this network "
                f"({str(error).splitlines()[0][:120]}); delete the folder or choose another --workdir"
            ) from error
        # Orbax allows another shape with the same rank: that, too, is another network.
        for old, new in zip(jax.tree.leaves(like), jax.tree.leaves(state), strict=True):
            if old.shape != new.shape:
                raise UserError(
                    f"checkpoint {self._folder}/{self.latest()} holds a tensor of shape {new.shape} where this "
                    f"network has {old.shape}; delete the folder or choose another --workdir"
                )
        return state

    def close(self) -> None:
        """Waits for saves under way."""
        self._manager.wait_until_finished()
        self._manager.close()
