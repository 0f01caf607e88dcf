"""Training states on disk. The only file that knows orbax.

A checkpoint is a folder named after its step: `state/` (orbax), and `about.json` with the format, the identity of the
stage, a checksum of the tensors, and the size and hash of every file (checkpoint_files.py). It is written under a
temporary name, then renamed.
"""

import contextlib
import pathlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np

from dakd_jax.basics import disk_faults, records
from dakd_jax.basics.errors import UserError
from dakd_jax.training import checkpoint_files
from dakd_jax.training.checkpoint_files import DAMAGED, FORMAT, STATE, STATE_OF_FORMAT_1, Damaged
from dakd_jax.training.train_state import TrainState, as_format_3, copied, from_format_3, named_leaves

_UNFINISHED, _REMOVED = ".unfinished-", ".removed-"
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
        for pattern in (f"{_UNFINISHED}*", f"{_REMOVED}*", "*.orbax-checkpoint-tmp*"):
            for leftover in self._folder.glob(pattern):
                shutil.rmtree(leftover)  # of a process that was killed
        import orbax.checkpoint as ocp  # a second, which a command that trains nothing is spared

        # Of several processes the first one alone has checkpoints: orbax would wait for the others.
        of = {"primary_host": 0, "active_processes": {0}, "barrier_sync_key_prefix": "first"}
        first = {"multiprocessing_options": ocp.options.MultiprocessingOptions(**of)} if jax.process_count() > 1 else {}
        self._ocp, self._orbax = ocp, ocp.Checkpointer(ocp.StandardCheckpointHandler(**first), **first)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future | None = None

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are whole, in order."""
        return checkpoint_files.steps(self._folder)

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
        self._pending = self._thread.submit(self._write, step, copied(state), told or {})

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
        """The newest state that is sound, None when there never was a checkpoint; `like` gives the shapes and dtypes.

        A damaged checkpoint is reported and set aside as damaged-STEP, and the one before it is used.

        Raises:
          UserError: a checkpoint of another stage, network or format; or all are damaged.
          UnreadableCheckpoint: a fault of the disk or of this process that stays; the checkpoint does as well.
          others: from orbax on files that are as they were saved, memory that runs out for one.
        """
        state = self.newest(like)
        if state is None and (damaged := checkpoint_files.damaged(self._folder)):
            which = f"all {len(damaged)} checkpoints" if damaged[1:] else "the only checkpoint"
            raise UserError(
                f"{which} of {self._folder} {'are' if damaged[1:] else 'is'} damaged ({', '.join(damaged)}): put the "
                f"files back from a backup and rename {DAMAGED}STEP to STEP, or delete that folder to train this stage "
                "anew"
            )
        return state

    def newest(self, like: TrainState) -> TrainState | None:
        """As restore(), but None also where all are damaged."""
        self.wait()
        with checkpoint_files.reading(self._folder):
            steps = disk_faults.retried(self.steps)
        for step in reversed(steps):
            if found := self._sound(step, like):
                state, self.told = found
                return state
        return None

    def read(self, step: int, like: TrainState) -> TrainState | None:
        """The state of one of steps(); None when it is damaged, and then it is set aside. Raises as restore()."""
        self.wait()
        found = self._sound(step, like)
        return found and found[0]

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
            self._orbax.save(unfinished / STATE, args=self._ocp.args.StandardSave(state))
            about = {"step": step, "identity": self._identity, "checksum": checksum(state), "told": told}
            checkpoint_files.write_about(unfinished, about)
            unfinished.rename(self._folder / str(step))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        for old in self.steps()[: -self._keep]:
            if not (self._keep_every and old % self._keep_every == 0) and old != self.best:
                removed = (self._folder / str(old)).rename(self._folder / f"{_REMOVED}{old}")
                shutil.rmtree(removed)  # under another name: half of it is no checkpoint

    def _sound(self, step: int, like: TrainState) -> tuple[TrainState, dict] | None:
        """(state, what was told with it) of a checkpoint; None when it is damaged, and then it is set aside."""
        path = self._folder / str(step)
        try:
            with checkpoint_files.reading(path):
                return self._read(path, like)
        except Damaged as damage:
            self._set_aside(step, str(damage))
            return None

    def _read(self, path: pathlib.Path, like: TrainState) -> tuple[TrainState, dict]:
        """(state, told). Raises UserError: of something else; Damaged; others: the disk, orbax."""
        about = checkpoint_files.read_about(path)
        self._refuse_others(path, about)
        for problem in checkpoint_files.problems(path, about):
            raise Damaged(problem)
        stored = path / (STATE_OF_FORMAT_1 if about["format"] == 1 else STATE)
        with _noted(path, about):
            tree = disk_faults.retried(lambda: self._orbax.metadata(stored).item_metadata.tree)
        stored_like = as_format_3(like) if about["format"] <= 3 else like
        if difference := _difference(tree, stored_like):
            raise self._other(path, difference)
        wanted = jax.tree.map(self._ocp.utils.to_shape_dtype_struct, stored_like)
        restore = self._ocp.args.StandardRestore(wanted)
        with _noted(path, about):
            state = disk_faults.retried(lambda: self._orbax.restore(stored, args=restore))
        if about["format"] > 1 and checksum(state) != about["checksum"]:
            if about["format"] == 2:  # without hashes of its files
                raise Damaged("its checksum is not that of what was saved")
            raise RuntimeError(
                f"{path}: its files are those that were saved, but not the tensors read from them; that may be faulty "
                "memory: try again, or delete that folder to go on from the one before"
            )
        return from_format_3(state, like) if about["format"] <= 3 else state, about.get("told", {})

    def _refuse_others(self, path: pathlib.Path, about: dict) -> None:
        if not checkpoint_files.is_known(about):
            raise self._other(path, f"format {about['format']}, this version reads 1 to {FORMAT}")
        if about["format"] == 1:  # says nothing of its stage
            return
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
        aside = self._folder / f"{DAMAGED}{step}"
        shutil.rmtree(aside, ignore_errors=True)
        (self._folder / str(step)).rename(aside)
        before = self.steps()
        left = f"the newest one left is {before[-1]}" if before else "none is left"
        self._report(f"checkpoint {step} is damaged ({reason}): set aside as {aside}; {left}")


def checksum(state) -> str:
    """sha256 in hex over names, dtypes, shapes and bytes of all tensors."""
    return records.hash_arrays({name: np.asarray(leaf) for name, leaf in named_leaves(state).items()})


@contextlib.contextmanager
def _noted(path: pathlib.Path, about: dict) -> Iterator[None]:
    """Adds to an exception of orbax which checkpoint it was, and what its files are known to be."""
    try:
        yield
    except Exception as error:
        if "files" in about:
            error.add_note(f"checkpoint {path} was left where it is: its files are those that were saved")
        else:
            error.add_note(
                f"checkpoint {path} is of format {about['format']}, which has no hashes of its files, and was left "
                "where it is: if they are damaged, delete that folder to go on from the one before"
            )
        raise


def _difference(stored, like) -> str:
    """The first tensor in which a stored state differs from `like`, '' when none does; reads no tensor."""

    found, wanted = ({n: tuple(leaf.shape) for n, leaf in named_leaves(tree).items()} for tree in (stored, like))
    for name in {**wanted, **found}:
        if found.get(name) != wanted.get(name):
            there, here = (f"of shape {s[name]}" if name in s else "absent" for s in (found, wanted))
            return f"{name} is {there} in it, {here} in this network"
    return ""
