"""Data parallelism: on which devices the state and the batches of a step lie. Nothing else knows meshes.

The state and the teacher are on every device, each device has its part of a batch, and the compiled program (jax.jit)
adds up over the devices where the numbers need it: losses are those of the whole batch. One device of one process does
as if there were no such thing.
"""

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dakd_jax.basics.errors import UserError
from dakd_jax.training.runtime import processes
from dakd_jax.training.runtime.interruption import StopRequest

BATCH = "batch"  # the axis of the mesh
STOP = "stop"  # in a batch, int32 [devices]: the signal that the device's process was asked to stop by; 0 for none
_LATE = 2  # steps after which a vote is read: by then the device has it, and the host waits for nothing


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices that share a step.

    Attributes:
      devices: of all processes, those of a process together; as many of each.
      processes: how many there are.
      index: of this one.
      share: pictures of a batch on each device.
    """

    devices: tuple[jax.Device, ...]
    processes: int = 1
    index: int = 0
    share: int = 0

    @property
    def alone(self) -> bool:
        """Whether it is one device."""
        return len(self.devices) == 1

    @property
    def leader(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.index == 0

    @property
    def host(self) -> tuple[int, int]:
        """(index, number) of this process, for what reads its own part of the data."""
        return self.index, self.processes

    def __str__(self) -> str:
        """For people, as '8 devices' or '16 devices of 2 processes'; '' for one device."""
        of = f" of {self.processes} processes" if self.processes > 1 else ""
        return "" if self.alone else f"{len(self.devices)} devices{of}"

    @functools.cached_property
    def _own(self) -> tuple[jax.Device, ...]:
        return tuple(device for device in self.devices if device.process_index == self.index)

    def replicated(self, tree: Any) -> Any:
        """A tree of arrays, those of the first process, on every device; each process gives one of these shapes."""
        if self.alone:
            return tree
        if self.processes > 1:
            tree = multihost_utils.broadcast_one_to_all(tree)
        return jax.tree.map(functools.partial(_everywhere, _sharding(self.devices)), tree)

    def local(self, tree: Any) -> Any:
        """Of replicated arrays what this process's first device has."""
        return tree if self.alone else jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)

    def placed(self, batch: dict, stop: StopRequest | None = None) -> dict:
        """Each device's part of a batch on that device.

        Args:
          batch: this process's part: arrays [B / processes, ...]; B is a multiple of the number of devices.
          stop: of this process; with several processes it goes along, see Votes.
        """
        if self.alone:
            return jax.device_put(batch)
        if self.processes > 1:
            asked = (stop.made or 0) if stop else 0
            batch = batch | {STOP: np.full(len(self._own), asked, np.int32)}
        share = _sharding(self.devices, BATCH)
        return {name: jax.make_array_from_process_local_data(share, np.asarray(of)) for name, of in batch.items()}

    def compiled(self, step: Callable, options: tuple[tuple[str, str], ...] = ()) -> Callable:
        """train_step, or what is called as it is, compiled for these devices; `options`: for the compiler, as pairs."""
        if self.alone and not options:
            return step
        return _over(step, self.devices, options)

    # What evaluation.predict.Alone describes.

    def place(self, variables: dict, batches: Iterable[dict]) -> tuple[dict, Iterable[dict]]:
        """Weights, and batches of pictures to look at, on this process's devices: as many batches at once."""
        own = self._own
        if len(own) == 1:
            return variables, batches
        share, everywhere = _sharding(own, BATCH), _sharding(own)
        return jax.device_put(variables, everywhere), _together(batches, len(own), share)

    def gathered(self, arrays: dict[str, np.ndarray] | None) -> list[dict[str, np.ndarray]]:
        """What every process gave, in their order; None gives up, see processes.gathered."""
        return processes.gathered(arrays) if self.processes > 1 else [arrays]


def choose(batch_size: int, wanted: int = 0) -> Devices:
    """The devices that share a step.

    Args:
      batch_size: of all of them together.
      wanted: how many, 0: as many as there are and divide the batch.

    Raises:
      UserError: there are fewer, or they do not divide the batch.
    """
    everyone, count = jax.devices(), jax.process_count()
    each = min(sum(device.process_index == process for device in everyone) for process in range(count))
    if batch_size % count:
        near = count * -(-batch_size // count)
        raise UserError(
            f"config.data.batch_size={batch_size} does not divide among {count} processes: choose a multiple, as "
            f"--config.data.batch_size={near}, or start as many processes as divide it"
        )
    fitting = [count * own for own in range(1, each + 1) if batch_size % (count * own) == 0]
    if wanted and wanted not in fitting:
        of = f" of {count} processes" * (count > 1)
        why = f"data.batch_size={batch_size} does not divide among so many{of}"
        if wanted > count * each:
            why = f"there are {count * each}{of}"
        raise UserError(
            f"config.train.devices={wanted}: {why}; choose {', '.join(map(str, fitting))} (0: the most), "
            "or another --config.data.batch_size"
        )
    own = (wanted or fitting[-1]) // count
    chosen = [[device for device in everyone if device.process_index == process][:own] for process in range(count)]
    together = tuple(device for of in chosen for device in of)
    return Devices(together, count, jax.process_index(), batch_size // len(together))


class Votes:
    """The processes stop after the same step, whichever of them was asked to.

    A process's request goes to the devices with its batches; the step's program takes the greatest of all, and every
    process reads it _LATE steps later. One process alone stops at once.
    """

    def __init__(self, devices: Devices, stop: StopRequest):
        self._devices, self._stop, self._waiting, self._agreed = devices, stop, deque(), None

    @property
    def made(self) -> int | None:
        """The signal that all stop by; None for none."""
        return self._agreed if self._devices.processes > 1 else self._stop.made

    def add(self, losses: dict) -> None:
        """Takes the vote out of what a step returned."""
        if STOP in losses:
            self._waiting.append(losses.pop(STOP))
            if len(self._waiting) > _LATE:
                self._settle(int(self._waiting.popleft()))

    def ask(self) -> None:
        """Asks all processes now; every one has to call it."""
        if self._devices.processes > 1:
            asked = np.array(self._stop.made or 0)
            self._settle(max(int(of[STOP]) for of in self._devices.gathered({STOP: asked})))

    def _settle(self, number: int) -> None:
        if number:
            self._agreed = self._stop.made = number


@functools.cache
def _mesh(devices: tuple[jax.Device, ...]) -> Mesh:
    return Mesh(np.array(devices), (BATCH,), axis_types=(AxisType.Auto,))


def _sharding(devices: tuple[jax.Device, ...], *axes: str) -> NamedSharding:
    return NamedSharding(_mesh(devices), PartitionSpec(*axes))


def _everywhere(sharding: NamedSharding, value: Any) -> jax.Array:
    if sharding.is_fully_addressable:
        return jax.device_put(value, sharding)
    value = np.asarray(value)
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


@functools.cache
def _over(step: Callable, devices: tuple[jax.Device, ...], options: tuple[tuple[str, str], ...]) -> Callable:
    """Left to itself the compiler might leave parts of the state on different devices."""

    @functools.partial(
        jax.jit,
        static_argnames=("models", "options", "optimizer"),
        donate_argnames=("state",),
        out_shardings=_sharding(devices) if len(devices) > 1 else None,
        compiler_options=dict(options),
    )
    def shared(state, teacher, batch, weights, rates, *, models, options, optimizer):
        asked = {STOP: batch[STOP].max()} if STOP in batch else {}
        batch = {name: of for name, of in batch.items() if name != STOP}
        how = {"models": models, "options": options, "optimizer": optimizer}
        state, losses = step.__wrapped__(state, teacher, batch, weights, rates, **how)
        return state, losses | asked

    return shared


def _together(batches: Iterable[dict], count: int, sharding: NamedSharding) -> Iterator[dict]:
    """`count` batches of equal shapes as one, its arrays on the devices; filled up with padding (mask False)."""
    group: list[dict] = []
    for batch in batches:
        if group and (len(group) == count or _shapes(batch) != _shapes(group[0])):
            yield _joined(group, count, sharding)
            group = []
        group.append(batch)
    if group:
        yield _joined(group, count, sharding)


def _shapes(batch: dict) -> dict:
    return {name: np.shape(of) for name, of in batch.items()}


def _joined(group: list[dict], count: int, sharding: NamedSharding) -> dict:
    missing, found = count - len(group), {}
    for name, first in group[0].items():
        parts = [batch[name] for batch in group]
        if name == "names":
            found[name] = sum(parts, ()) + ("",) * (missing * len(first))
            continue
        whole = np.concatenate([*parts, *[np.zeros_like(first)] * missing])
        found[name] = whole if name == "mask" else jax.device_put(whole, sharding)
    return found
