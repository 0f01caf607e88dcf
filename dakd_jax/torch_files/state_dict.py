"""Finds the named tensors of a checkpoint: a state dict, one among other entries, or a whole module."""

import numpy as np

from dakd_jax.torch_files.faults import Unreadable, shown
from dakd_jax.torch_files.objects import Opaque
from dakd_jax.torch_files.tensors import Tensor, is_unsupported, unsupported

_ENTRIES = ("state_dict", "model_state_dict", "model", "net")
_PREFIX = "module."  # what DataParallel puts in front of every name
_DEEPEST = 50
_LONGEST_NAME = 2000
_MOST_PARTS = 100_000


def collect(tree: object, most_bytes: int) -> dict[str, np.ndarray]:
    """Return the tensors below tree by dotted name, in the order of the file, without DataParallel's prefix.

    Raises Unreadable where there are none, where one is of an unsupported kind, or where all together would
    take more than most_bytes (a few bytes of a file can claim a huge expanded tensor).
    """
    tensors = _find(tree)
    if not tensors:
        raise Unreadable(f"holds no tensors under {', '.join(_ENTRIES)} or at its top; save model.state_dict()")
    if all(name.startswith(_PREFIX) for name in tensors):
        tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    if sum(tensor.nbytes for tensor in tensors.values()) > most_bytes:
        raise Unreadable("claims tensors far larger than the file; save it again with .contiguous() tensors")
    return {name: tensor.to_array() for name, tensor in tensors.items()}


def _find(tree: object, depth: int = 0) -> dict[str, Tensor]:
    if _is_module(tree):
        return _ModuleTensors(tree).tensors
    entries = tree.entries if isinstance(tree, Opaque) else tree
    if not isinstance(entries, dict) or depth > 3:
        return {}
    wrapped = {name: _find(entries[name], depth + 1) for name in _ENTRIES if name in entries}
    found = [name for name, tensors in wrapped.items() if tensors]
    if len(found) > 1:
        raise Unreadable(f"holds tensors under each of {', '.join(found)}; save the one that is meant alone")
    if found:
        return wrapped[found[0]]
    for name, value in entries.items():
        if isinstance(name, str) and is_unsupported(value):
            raise unsupported(name, value)
    return {name: value for name, value in entries.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _is_module(value: object) -> bool:
    return isinstance(value, Opaque) and isinstance(value.attributes.get("_modules"), dict)


class _ModuleTensors:
    """Collects what module.state_dict() would: parameters, persistent buffers, then the same of children."""

    def __init__(self, module: Opaque):
        self.tensors: dict[str, Tensor] = {}
        self._remaining = _MOST_PARTS
        self._add("", module, 0)

    def _add(self, prefix: str, module: Opaque, depth: int) -> None:
        # Modules may be shared, so a small file can describe an endless or exponentially large tree.
        if depth > _DEEPEST or len(prefix) > _LONGEST_NAME:
            raise Unreadable("holds modules nested too deeply; save model.state_dict() instead")
        transient = module.attributes.get("_non_persistent_buffers_set")
        for name, value in self._entries(module, "_parameters"):
            self._add_tensor(prefix + name, value)
        for name, value in self._entries(module, "_buffers"):
            if not isinstance(transient, set) or name not in transient:
                self._add_tensor(prefix + name, value)
        for name, child in self._entries(module, "_modules"):
            if _is_module(child):
                self._add(f"{prefix}{name}.", child, depth + 1)

    def _add_tensor(self, name: str, value: object) -> None:
        if value is None:  # such as the bias of a layer without one
            return
        if not isinstance(value, Tensor):
            raise unsupported(name, value)
        if name in self.tensors:
            raise Unreadable(f"holds the name {shown(name)} twice; save it again with unique names")
        self.tensors[name] = value

    def _entries(self, module: Opaque, group: str) -> list[tuple[str, object]]:
        entries = module.attributes.get(group)
        if not isinstance(entries, dict):
            return []
        self._remaining -= len(entries)
        if self._remaining < 0:
            raise Unreadable(f"holds a module of more than {_MOST_PARTS} parts; save model.state_dict() instead")
        return [(name, value) for name, value in entries.items() if isinstance(name, str)]
