"""A pickle machine that builds data only: it imports nothing, calls nothing, allocates what it read.

pickletools tells the opcodes apart and decodes their arguments. Python's own unpickler is not used even with a guarded
find_class, because a hostile or damaged file can still make it reserve gigabytes (memo indices), hash bottomless tuples
or call methods of what it built.
"""

import pickletools
import struct
from collections.abc import Callable, Mapping

from dakd_jax.models.weight_files.torch_files.faults import Unreadable, damaged, shown
from dakd_jax.models.weight_files.torch_files.objects import Global, Opaque

Reducers = Mapping[Global, Callable[[tuple], object]]

_RENAMED_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # Python 2 -> Python 3
_NO_SENSE = "its pickle makes no sense"
# The argument is the value.
_VALUES = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip


def _key(value: object) -> object:
    """Return value as a dictionary key: plain scalars, else a unique object, so that hashing is cheap."""
    if isinstance(value, int):
        return value if value.bit_length() <= 64 else Opaque(None)
    return value if value is None or isinstance(value, (str, bytes, float)) else Opaque(None)


class Unpickler:
    """Runs the pickle that begins where `file` (seekable, binary) stands, and leaves it after the pickle's end.

    Args:
      size: bytes of the file.
      reducers: the calls that are known, from their arguments to what they give; every other one is an Opaque.
      persistent_load: from a persistent id to the object; None where there can be none.
    """

    def __init__(self, file, size: int, *, reducers: Reducers | None = None, persistent_load=None):
        self._file = file
        self._stack: list = []
        self._outer: list[list] = []  # stacks below the marks
        self._memo: dict[int, object] = {}
        self._persistent_load = persistent_load
        self._copies = size  # an honest file spends at least one byte on each item of a container
        self._reducers = {
            Global("collections", "OrderedDict"): self._new_dict,
            Global("collections", "defaultdict"): lambda args: {},
            Global("builtins", "dict"): self._new_dict,
            Global("builtins", "set"): self._new_set,
            Global("builtins", "frozenset"): self._new_set,
            Global("copyreg", "_reconstructor"): lambda args: Opaque(args[0]),
            Global("copyreg", "__newobj__"): lambda args: Opaque(args[0]),
            **(reducers or {}),
        }

    def load(self) -> object:
        """Return the object tree: scalars, str, bytes, containers, Global, Opaque and what reducers return.

        Raises Unreadable for damaged data and for opcodes that a checkpoint has no use for.
        """
        try:
            for opcode, argument, _ in pickletools.genops(self._file):
                if opcode.name in _OPERATIONS:
                    _OPERATIONS[opcode.name](self, argument)
                elif opcode.name != "STOP":
                    raise damaged(f"the pickle opcode {opcode.name} has no place in it")
            return self._stack.pop()
        except (IndexError, KeyError, ValueError, OverflowError, struct.error) as error:
            raise damaged(_NO_SENSE) from error

    # The stack

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _push_mark(self) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _pop_mark(self) -> list:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _pop_last(self, count: int) -> tuple:
        if len(self._stack) < count:
            raise damaged(_NO_SENSE)
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        return items

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_mark()

    def _remember(self, index: int | None) -> None:
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    # Containers

    def _copied(self, items: object) -> list:
        if not isinstance(items, (list, tuple, set)):
            raise damaged(_NO_SENSE)
        self._copies -= len(items)
        if self._copies < 0:
            raise damaged("its pickle copies itself")
        return list(items)

    def _new_dict(self, args: tuple) -> dict:
        target = {}
        for pair in self._copied(args[0]) if args and not isinstance(args[0], dict) else ():
            key, value = self._copied(pair)
            self._set(target, key, value)
        if args and isinstance(args[0], dict):
            target.update((key, args[0][key]) for key in self._copied(tuple(args[0])))
        return target

    def _new_set(self, args: tuple) -> set:
        return {_key(item) for item in (self._copied(args[0]) if args else ())}

    def _set(self, target: dict, key: object, value: object) -> None:
        key = _key(key)
        if isinstance(key, str) and key in target:
            raise Unreadable(f"holds the name {shown(key)} twice; save it again with unique names")
        target[key] = value

    def _append(self, items: list) -> None:
        target = self._stack[-1]
        if isinstance(target, set):
            target.update(_key(item) for item in items)
        elif isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Opaque):  # whose elements have no names: nobody asks for them
            raise damaged(_NO_SENSE)

    def _set_items(self, items: list) -> None:
        target = self._stack[-1]
        target = target.entries if isinstance(target, Opaque) else target
        if not isinstance(target, dict) or len(items) % 2:
            raise damaged(_NO_SENSE)
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(target, key, value)

    def _push_dict(self) -> None:
        items = self._pop_mark()
        self._push({})
        self._set_items(items)

    # Names and objects

    def _push_global(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise damaged(_NO_SENSE)
        self._push(Global(_RENAMED_MODULES.get(module, module), name))

    def _call(self, function: object, args: object) -> None:
        """Stand in for function(*args): a known constructor of plain data, or an inert placeholder."""
        if not isinstance(args, tuple):
            raise damaged(_NO_SENSE)
        reducer = self._reducers.get(function) if isinstance(function, Global) else None
        self._push(reducer(args) if reducer else Opaque(function))

    def _call_named(self, name: str) -> None:
        args = self._pop_mark()
        self._push_global(*name.split(" ", 1))
        self._call(self._stack.pop(), tuple(args))

    def _call_marked(self) -> None:
        function, *args = self._pop_mark()
        self._call(function, tuple(args))

    def _build(self) -> None:
        target, state = self._pop_last(2)
        if isinstance(target, Opaque):
            target.state = state
        self._push(target)

    def _push_persistent(self, identity: object) -> None:
        if self._persistent_load is None:
            raise damaged("a storage where none can be")
        self._push(self._persistent_load(identity))


# By the opcode's name: the machine and the opcode's argument to nothing.
_OPERATIONS: dict[str, Callable[[Unpickler, object], object]] = {
    **dict.fromkeys(_VALUES, Unpickler._push),
    **dict.fromkeys(("PROTO", "FRAME"), lambda vm, arg: None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Unpickler._remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda vm, arg: vm._push(vm._memo[arg])),
    "NONE": lambda vm, arg: vm._push(None),
    "NEWTRUE": lambda vm, arg: vm._push(True),
    "NEWFALSE": lambda vm, arg: vm._push(False),
    "EMPTY_TUPLE": lambda vm, arg: vm._push(()),
    "EMPTY_LIST": lambda vm, arg: vm._push([]),
    "EMPTY_DICT": lambda vm, arg: vm._push({}),
    "EMPTY_SET": lambda vm, arg: vm._push(set()),
    "TUPLE1": lambda vm, arg: vm._push(vm._pop_last(1)),
    "TUPLE2": lambda vm, arg: vm._push(vm._pop_last(2)),
    "TUPLE3": lambda vm, arg: vm._push(vm._pop_last(3)),
    "MARK": lambda vm, arg: vm._push_mark(),
    "POP": lambda vm, arg: vm._pop(),
    "POP_MARK": lambda vm, arg: vm._pop_mark(),
    "DUP": lambda vm, arg: vm._push(vm._stack[-1]),
    "TUPLE": lambda vm, arg: vm._push(tuple(vm._pop_mark())),
    "LIST": lambda vm, arg: vm._push(vm._pop_mark()),
    "DICT": lambda vm, arg: vm._push_dict(),
    "FROZENSET": lambda vm, arg: vm._push({_key(item) for item in vm._pop_mark()}),
    "ADDITEMS": lambda vm, arg: vm._append(vm._pop_mark()),
    "APPEND": lambda vm, arg: vm._append([vm._stack.pop()]),
    "APPENDS": lambda vm, arg: vm._append(vm._pop_mark()),
    "SETITEM": lambda vm, arg: vm._set_items(list(vm._pop_last(2))),
    "SETITEMS": lambda vm, arg: vm._set_items(vm._pop_mark()),
    "GLOBAL": lambda vm, arg: vm._push_global(*arg.split(" ", 1)),
    "STACK_GLOBAL": lambda vm, arg: vm._push_global(*vm._pop_last(2)),
    "INST": Unpickler._call_named,
    "OBJ": lambda vm, arg: vm._call_marked(),
    "NEWOBJ": lambda vm, arg: vm._call(*vm._pop_last(2)),
    "NEWOBJ_EX": lambda vm, arg: vm._call(*vm._pop_last(3)[:2]),  # without the keywords
    "REDUCE": lambda vm, arg: vm._call(*vm._pop_last(2)),
    "BUILD": lambda vm, arg: vm._build(),
    "PERSID": Unpickler._push_persistent,
    "BINPERSID": lambda vm, arg: vm._push_persistent(vm._stack.pop()),
}
