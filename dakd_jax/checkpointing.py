"""Training states on disk. The only file that knows orbax.

A checkpoint is a folder named after its step: `state/` (orbax), and `about.json` with the format, the identity of the
stage and a checksum of every tensor's bytes. It is written under a temporary name, then renamed.
"""

import json
import pathlib
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from dakd_jax import disk_faults, records
from dakd_jax.errors import UserError
from dakd_jax.named_leaves import named_leaves
from dakd_jax.train_state import TrainState

FORMAT = 2  # 1: the state under default/, without about.json
ABOUT, STATE, STATE_OF_FORMAT_1 = "about.json", "state", "default"
_UNFINISHED, _DAMAGED = ".unfinished-", "damaged-"
MOST_DIFFERENCES = 8  # listed in one message


class Checkpoints:
    """The checkpoints of one stage: everything that training changes, every so many steps.

    A save does not stall the step: the state is copied on the device, and a thread writes the copy. The next save
    waits for it. A fault of the disk is raised by the next save(), wait() or close().

    Args:
      folder: of the stage's checkpoints.
      keep: how many of the newest stay, >= 1.
      keep_every: those at multiples of so many steps stay as well; 0 for none.
      best: step of one that stays as well; may be set anew before a save.
      identity: of the stage, as JSON-safe data, see stage_identity.py.
      report: told in one line about each damaged checkpoint.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        keep: int,
        keep_every: int = 0,
        best: int | None = None,
        identity: dict | None = None,
        report: Callable[[str], None] = lambda line: None,
    ):
        self._folder, self._keep, self._keep_every = pathlib.Path(folder).resolve(), keep, keep_every
        self._identity, self._report, self.best = identity or {}, report, best
        self.told: dict = {}  # what was saved beside the state that was restored
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in (*self._folder.glob(f"{_UNFINISHED}*"), *self._folder.glob("*.orbax-checkpoint-tmp*")):
            shutil.rmtree(leftover)  # of a process that was killed
        self._orbax = ocp.Checkpointer(ocp.StandardCheckpointHandler())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future | None = None

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are whole, in order."""
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())

    def save(self, state: TrainState, told: dict | None = None) -> None:
        """Begins to save under the state's own step; does nothing if that step is saved already.

        Args:
          told: JSON-safe data that goes with the state; comes back as `told`.

        Raises:
          OSError: no space or no permission, in this save or the one before.
        """
        self.wait()
        step = int(state.step)
        if (self._folder / str(step)).exists():
            return
        # Asked beforehand: orbax fails from several threads at once, each with a page on stderr.
        disk_faults.require_space(self._folder, sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
        self._pending = self._thread.submit(self._write, step, _copy(state), told or {})

    def wait(self) -> None:
        """Waits for the save under way. Raises OSError: no space or no permission."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.result()
        except Exception as error:
            if fault := disk_faults.find(error, self._folder):
                raise fault from error
            raise

    def restore(self, like: TrainState) -> TrainState | None:
        """The newest state that is sound, None when there is none; `like` gives the shapes and dtypes.

        A damaged checkpoint is reported and set aside as damaged-STEP, and the one before it is used.

        Raises:
          UserError: a checkpoint of another stage, network or format.
        """
        self.wait()
        for step in reversed(self.steps()):
            if (state := self.read(step, like)) is not None:
                about = records.read_json(self._folder / str(step) / ABOUT) or {}
                self.told = about.get("told", {})
                return state
        return None

    def read(self, step: int, like: TrainState) -> TrainState | None:
        """The state of one of steps(); None when it is damaged, and then it is set aside. Raises as restore()."""
        self.wait()
        try:
            return self._read(self._folder / str(step), like)
        except UserError:
            raise
        except Exception as error:  # whatever orbax raises on lost, cut or flipped bytes
            self._set_aside(step, " ".join(str(error).split())[:160])
            return None

    def close(self) -> None:
        """Waits for the save under way, and lets go of the folder. Raises OSError as wait() does."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            self._orbax.close()

    def _write(self, step: int, state: TrainState, told: dict) -> None:
        state = jax.tree.map(np.asarray, state)
        unfinished = self._folder / f"{_UNFINISHED}{step}"
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir()
            self._orbax.save(unfinished / STATE, args=ocp.args.StandardSave(state))
            about = {"format": FORMAT, "step": step, "identity": self._identity, "checksum": checksum(state)}
            records.write_json(unfinished / ABOUT, about | {"told": told})
            unfinished.rename(self._folder / str(step))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        for old in self.steps()[: -self._keep]:
            if not (self._keep_every and old % self._keep_every == 0) and old != self.best:
                shutil.rmtree(self._folder / str(old))

    def _read(self, path: pathlib.Path, like: TrainState) -> TrainState:
        """Raises UserError: of something else; ValueError and others: damaged."""
        old = (path / STATE_OF_FORMAT_1).is_dir()
        about = {} if old else json.loads((path / ABOUT).read_text())
        if not old:
            self._refuse_others(path, about)
        stored = path / (STATE_OF_FORMAT_1 if old else STATE)
        if difference := _difference(self._orbax.metadata(stored).item_metadata.tree, like):
            raise self._other(path, difference)
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        state = self._orbax.restore(stored, args=ocp.args.StandardRestore(abstract))
        if not old and checksum(state) != about["checksum"]:
            raise ValueError("its checksum is not that of what was saved")
        return state

    def _refuse_others(self, path: pathlib.Path, about: dict) -> None:
        if about["format"] != FORMAT:
            raise self._other(path, f"format {about['format']}, this version reads 1 and {FORMAT}")
        there, here = records.flatten(about["identity"]), records.flatten(records.plain(self._identity))
        differences = [
            f"{name} is {there.get(name, 'absent')} in it, {here.get(name, 'absent')} here"
            for name in {**here, **there}
            if there.get(name) != here.get(name)
        ]
        if differences:
            more = f" and {len(differences) - MOST_DIFFERENCES} more" * (len(differences) > MOST_DIFFERENCES)
            raise self._other(path, "; ".join(differences[:MOST_DIFFERENCES]) + more)

    def _other(self, path: pathlib.Path, difference: str) -> UserError:
        return UserError(
            f"checkpoint {path} does not fit ({difference}); delete that folder to go on from the one "
            f"before, or {self._folder} to start anew"
        )

    def _set_aside(self, step: int, reason: str) -> None:
        aside = self._folder / f"{_DAMAGED}{step}"
        shutil.rmtree(aside, ignore_errors=True)
        (self._folder / str(step)).rename(aside)
        before = self.steps()
        left = f"the newest one left is {before[-1]}" if before else "none is left, starting anew"
        self._report(f"checkpoint {step} is damaged ({reason}): set aside as {aside}; {left}")


def checksum(state: TrainState) -> str:
    """sha256 in hex over names, dtypes, shapes and bytes of all tensors."""
    return records.hash_arrays({name: np.asarray(leaf) for name, leaf in named_leaves(state).items()})


@jax.jit
def _copy(state: TrainState) -> TrainState:
    """New buffers: the step that follows eats those of the state."""
    return jax.tree.map(jnp.copy, state)


def _difference(stored, like: TrainState) -> str:
    """The first tensor in which a stored state differs from `like`, '' when none does; reads no tensor."""

    found, wanted = ({n: tuple(leaf.shape) for n, leaf in named_leaves(tree).items()} for tree in (stored, like))
    for name in {**wanted, **found}:
        if found.get(name) != wanted.get(name):
            there, here = (f"of shape {s[name]}" if name in s else "absent" for s in (found, wanted))
            return f"{name} is {there} in it, {here} in this network"
    return ""
