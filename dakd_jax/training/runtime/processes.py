"""The processes of one run, on one machine or several: how they find each other, and what they tell each other.

What is computed goes from device to device inside the compiled step (sharding.py). What is here is plain data, by way
of the key-value store of jax's coordination service, which lives in the first process.
"""

import io
import itertools
import json
import zlib
from typing import Any

import jax
import numpy as np

from dakd_jax.basics.errors import UserError

HEARTBEAT_SECONDS = 20  # a process that says nothing for so long is lost, and ends all
_START_SECONDS = 300  # within which all have to be there
_END_SECONDS = 24 * 3600  # that the others wait for the first one, which writes the report
_PART = 2**20  # bytes of a value: gRPC takes 4 MiB
_ONE_WAIT = 1000  # milliseconds; between two of them Python sees signals
_numbers, _told = itertools.count(), itertools.count()


class GivenUp(Exception):
    """Another process gave up what all do together."""


def join(coordinator: str, index: int = -1, count: int = 0) -> None:
    """Joins the processes of a run, before anything asks jax for a device.

    Args:
      coordinator: HOST:PORT of the first process, or 'auto': jax asks Slurm, Open MPI or Kubernetes.
      index, count: of the processes; with 'auto' they are found as well.

    Raises:
      UserError: they did not find each other.
    """
    found = {} if coordinator == "auto" else {"coordinator_address": coordinator}
    found |= {"num_processes": count, "process_id": index} if count else {}
    detects = {} if coordinator == "auto" else {"cluster_detection_method": "deactivate"}
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    try:
        jax.distributed.initialize(
            **found,
            **detects,
            initialization_timeout=_START_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_END_SECONDS,
        )
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"--coordinator={coordinator}: the processes of this run did not find each other ({said}); expected the "
            "first process at HOST:PORT, reachable from all, and --process=0 to --processes - 1 each once"
        ) from error


def leave() -> None:
    """At the end of a run that ended well: waits for the others, who end as well."""
    jax.distributed.shutdown()


def is_first() -> bool:
    """Whether this process is the only one, or the one that writes files and talks to people."""
    return jax.process_index() == 0


def gathered(arrays: dict[str, np.ndarray] | None) -> list[dict[str, np.ndarray]]:
    """What every process gave, in their order; every one has to call it, as often as the others.

    Args:
      arrays: by name; None: this process gives up, and does not wait for the others.

    Raises:
      GivenUp: another one gave up.
    """
    number, own = next(_numbers), jax.process_index()
    _put(f"gathered/{number}/{own}", b"" if arrays is None else _packed(arrays))
    if arrays is None:
        return []
    found = [_get(f"gathered/{number}/{index}") for index in range(jax.process_count())]
    if number:  # all have read what was before, or they would not be here
        _client().key_value_delete(f"gathered/{number - 1}/{own}")
    if not all(found):
        raise GivenUp
    return [_unpacked(of) for of in found]


def tell(what: dict) -> None:
    """The first process tells the others something, JSON-safe."""
    if jax.process_count() > 1:
        _put(f"told/{next(_told)}", json.dumps(what).encode())


def hear() -> dict:
    """The next that the first process tells; waits for it."""
    return json.loads(_get(f"told/{next(_told)}"))


def _client() -> Any:
    from jax._src import distributed  # jax has no public way to the store

    return distributed.global_state.client


def _put(key: str, value: bytes) -> None:
    parts = [value[at : at + _PART] for at in range(0, len(value), _PART)]
    for number, part in enumerate(parts):
        _client().key_value_set_bytes(f"{key}/{number}", part)
    _client().key_value_set_bytes(f"{key}/parts", str(len(parts)).encode())


def _get(key: str) -> bytes:
    parts = int(_waited(f"{key}/parts"))
    return b"".join(_waited(f"{key}/{number}") for number in range(parts))


def _waited(key: str) -> bytes:
    while True:
        try:
            return _client().blocking_key_value_get_bytes(key, _ONE_WAIT)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return zlib.compress(file.getvalue(), 1)


def _unpacked(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(zlib.decompress(data)), allow_pickle=False) as stored:
        return dict(stored)
