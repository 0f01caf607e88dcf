"""The named tensors of an object tree: of every dictionary in it, and of whole modules as state_dict() names them."""

from typing import NamedTuple

from dakd_jax.models.weight_files.torch_files.faults import Unreadable, damaged, shown
from dakd_jax.models.weight_files.torch_files.objects import Opaque
from dakd_jax.models.weight_files.torch_files.tensors import Tensor, UnreadableTensor, is_unsupported, unsupported

_DEEPEST = 50
_DEEPEST_CONTAINER = 8
_LONGEST_NAME = 2000
_MOST_TENSORS = 100_000
_MOST_PARTS = 2_000_000


class Entry(NamedTuple):
    """A tensor of a file.

    Attributes:
      where: dotted path of the dictionary or module that it lies in, '' for the top.
      name: in there.
      tensor: has .shape, .nbytes, .to_array(); what is read of an UnreadableTensor is an Unreadable.
    """

    where: str
    name: str
    tensor: Tensor | UnreadableTensor

    @property
    def full_name(self) -> str:
        """Dotted, from the top."""
        return f"{self.where}.{self.name}" if self.where else self.name


def entries(tree: object) -> list[Entry]:
    """Return all tensors that have a name, in the order of the file.

    Raises Unreadable where the tree has too many parts or modules nested too deeply: parts may be shared, so a small
    file can describe an endless or exponentially large tree.
    """
    return _Walk().of(tree)


class _Walk:
    def __init__(self):
        self._found: dict[tuple[str, str], Entry] = {}
        self._remaining = _MOST_PARTS

    def of(self, tree: object) -> list[Entry]:
        self._container("", tree, 0)
        return list(self._found.values())

    def _container(self, where: str, value: object, depth: int) -> None:
        if isinstance(value, Opaque) and isinstance(value.attributes.get("_modules"), dict):
            self._module(where, "", value, 0)
            return
        for name, part in self._parts(value):
            if isinstance(part, Tensor) or is_unsupported(part):
                if isinstance(name, str):  # a tensor in a list has no name
                    self._add(where, name, part)
            elif depth < _DEEPEST_CONTAINER and isinstance(part, (dict, list, tuple, Opaque)):
                self._container(f"{where}.{name}" if where else str(name), part, depth + 1)

    def _parts(self, value: object) -> list[tuple[object, object]]:
        if isinstance(value, (list, tuple)):
            return list(enumerate(self._count(value)))
        if isinstance(value, Opaque):
            value = {**value.attributes, **value.entries}
        named = value if isinstance(value, dict) else {}
        return [(name, part) for name, part in self._count(named).items() if isinstance(name, str)]

    def _count(self, parts):
        self._remaining -= len(parts)
        if self._remaining < 0:
            raise Unreadable(f"holds more than {_MOST_PARTS} parts; save model.state_dict() alone")
        return parts

    def _module(self, where: str, prefix: str, module: Opaque, depth: int) -> None:
        """Adds what module.state_dict() would: parameters, persistent buffers, then the same of children."""
        if depth > _DEEPEST or len(prefix) > _LONGEST_NAME:
            raise Unreadable("holds modules nested too deeply; save model.state_dict() instead")
        transient = module.attributes.get("_non_persistent_buffers_set")
        for group in ("_parameters", "_buffers"):
            for name, value in self._group(module, group):
                skipped = group == "_buffers" and isinstance(transient, set) and name in transient
                if value is not None and not skipped:  # None: such as the bias of a layer without one
                    self._add(where, prefix + name, value)
        for name, child in self._group(module, "_modules"):
            if isinstance(child, Opaque) and isinstance(child.attributes.get("_modules"), dict):
                self._module(where, f"{prefix}{name}.", child, depth + 1)

    def _group(self, module: Opaque, group: str) -> list[tuple[str, object]]:
        found = module.attributes.get(group)
        return self._parts(found) if isinstance(found, dict) else []

    def _add(self, where: str, name: str, value: object) -> None:
        if (where, name) in self._found:
            raise Unreadable(f"holds the name {shown(name)} twice; save it again with unique names")
        if len(where) + len(name) > _LONGEST_NAME:
            raise damaged("a name of no sensible length")
        if len(self._found) == _MOST_TENSORS:
            raise Unreadable(f"holds more than {_MOST_TENSORS} tensors; save model.state_dict() alone")
        if not isinstance(value, Tensor):
            value = unsupported(name, shown(value.kind_name if isinstance(value, Opaque) else value))
        self._found[where, name] = Entry(where, name, value)
