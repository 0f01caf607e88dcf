"""A pickle machine that builds data only: it imports nothing, calls nothing, allocates what it read.

Python's own unpickler is not used even with a guarded find_class, because a hostile or damaged file can
still make it reserve gigabytes (memo indices, byte counts), hash bottomless tuples or call methods of what
it built.
"""

import codecs
import struct
from collections.abc import Callable, Mapping

from dakd_jax.torch_files.faults import Unreadable, damaged, shown
from dakd_jax.torch_files.objects import Global, Opaque

_RENAMED_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # Python 2 -> Python 3


Reducers = Mapping[Global, Callable[[tuple], object]]

_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
_OLD_BOOLEANS = {b"00": False, b"01": True}
_EMPTY = {b")": tuple, b"]": list, b"}": dict, b"\x8f": set}
_FIXED = {b"J": "<i", b"K": "<B", b"M": "<H", b"G": ">d"}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
_COUNTED = {  # opcode -> format of the byte count, what the bytes are
    b"T": ("<i", "old"),
    b"U": ("<B", "old"),
    b"X": ("<I", "text"),
    b"\x8c": ("<B", "text"),
    b"\x8d": ("<Q", "text"),
    b"B": ("<I", "bytes"),
    b"C": ("<B", "bytes"),
    b"\x8e": ("<Q", "bytes"),
    b"\x96": ("<Q", "bytes"),
    b"\x8a": ("<B", "integer"),
    b"\x8b": ("<i", "integer"),
}
_MEMO_PUT = {b"q": "<B", b"r": "<I"}
_MEMO_GET = {b"h": "<B", b"j": "<I"}


def _old_text(raw: bytes) -> str:
    """Decode a byte string of Python 2, which may be text or binary."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


_DECODERS = {
    "old": _old_text,
    "text": lambda raw: raw.decode("utf-8", "surrogatepass"),
    "bytes": bytes,
    "integer": lambda raw: int.from_bytes(raw, "little", signed=True),
}


def _key(value: object) -> object:
    """Return value as a dictionary key: plain scalars, else a unique object, so that hashing is cheap."""
    if isinstance(value, int):
        return value if value.bit_length() <= 64 else Opaque(None)
    return value if value is None or isinstance(value, (str, bytes, float)) else Opaque(None)


class Unpickler:
    """Runs one pickle in data (bytes or mmap) from position on, and leaves position after its last byte."""

    def __init__(self, data, position: int = 0, *, reducers: Reducers | None = None, persistent_load=None):
        self.data = data
        self.position = position
        self._stack: list = []
        self._outer: list[list] = []  # stacks below the marks
        self._memo: dict[int, object] = {}
        self._persistent_load = persistent_load
        self._copies = len(data)  # an honest file spends at least one byte on each item of a container
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
            while (code := self._take(1)) != b".":
                self._run(code)
            return self._stack.pop()
        except (IndexError, KeyError, ValueError, OverflowError, struct.error) as error:
            raise damaged("its pickle makes no sense") from error

    def _run(self, code: bytes) -> None:
        if code in _CONSTANTS:
            self._push(_CONSTANTS[code])
        elif code in _EMPTY:
            self._push(_EMPTY[code]())
        elif code in _FIXED:
            self._push(self._number(_FIXED[code]))
        elif code in _COUNTED:
            count_format, content = _COUNTED[code]
            self._push(_DECODERS[content](self._take(self._number(count_format))))
        elif code in _MEMO_PUT:
            self._memo[self._number(_MEMO_PUT[code])] = self._stack[-1]
        elif code in _MEMO_GET:
            self._push(self._memo[self._number(_MEMO_GET[code])])
        elif code in _TUPLES:
            self._push(self._pop_last(_TUPLES[code]))
        elif code in _OPERATIONS:
            _OPERATIONS[code](self)
        else:
            raise damaged(f"unknown pickle opcode {code!r}")

    # Reading

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise damaged("its pickle ends too early")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def _number(self, layout: str) -> int | float:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise damaged("its pickle ends too early")
        return self._take(end + 1 - self.position)[:-1]

    # The stack

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop_mark(self) -> list:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _pop_last(self, count: int) -> tuple:
        if len(self._stack) < count:
            raise damaged("its pickle makes no sense")
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        return items

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_mark()

    def _push_mark(self) -> None:
        self._outer.append(self._stack)
        self._stack = []

    # Containers

    def _copied(self, items: object) -> list:
        if not isinstance(items, (list, tuple, set)):
            raise damaged("its pickle makes no sense")
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
        elif isinstance(target, list | Opaque):
            (target if isinstance(target, list) else target.elements).extend(items)
        else:
            raise damaged("its pickle makes no sense")

    def _set_items(self, items: list) -> None:
        target = self._stack[-1]
        target = target.entries if isinstance(target, Opaque) else target
        if not isinstance(target, dict) or len(items) % 2:
            raise damaged("its pickle makes no sense")
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(target, key, value)

    def _push_dict(self) -> None:
        items = self._pop_mark()
        self._push({})
        self._set_items(items)

    # Text forms of protocol 0

    def _push_integer(self) -> None:
        line = self._line()
        self._push(_OLD_BOOLEANS[line] if line in _OLD_BOOLEANS else int(line.rstrip(b"L")))

    def _push_quoted(self) -> None:
        line = self._line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise damaged("its pickle makes no sense")
        self._push(_old_text(codecs.escape_decode(line[1:-1])[0]))

    # Names and objects

    def _push_global(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise damaged("its pickle makes no sense")
        self._push(Global(_RENAMED_MODULES.get(module, module), name))

    def _call(self, function: object, args: object) -> None:
        """Stand in for function(*args): a known constructor of plain data, or an inert placeholder."""
        if not isinstance(args, tuple):
            raise damaged("its pickle makes no sense")
        reducer = self._reducers.get(function) if isinstance(function, Global) else None
        self._push(reducer(args) if reducer else Opaque(function))

    def _call_marked(self, *, named: bool) -> None:
        if named:
            self._push_name_lines()
            function = self._stack.pop()
            args = self._pop_mark()
        else:
            function, *args = self._pop_mark()
        self._call(function, tuple(args))

    def _push_name_lines(self) -> None:
        self._push_global(_old_text(self._line()), _old_text(self._line()))

    def _build(self) -> None:
        target, state = self._pop_last(2)
        if isinstance(target, Opaque):
            target.state = state
        self._push(target)

    def _push_persistent(self, identity: object) -> None:
        if self._persistent_load is None:
            raise damaged("a storage where none can be")
        self._push(self._persistent_load(identity))


_OPERATIONS: dict[bytes, Callable[[Unpickler], object]] = {
    b"\x80": lambda vm: vm._take(1),  # protocol
    b"\x95": lambda vm: vm._take(8),  # frame
    b"(": Unpickler._push_mark,
    b"0": Unpickler._pop,
    b"1": Unpickler._pop_mark,
    b"2": lambda vm: vm._push(vm._stack[-1]),
    b"I": Unpickler._push_integer,
    b"L": Unpickler._push_integer,
    b"F": lambda vm: vm._push(float(vm._line())),
    b"S": Unpickler._push_quoted,
    b"V": lambda vm: vm._push(vm._line().decode("raw-unicode-escape")),
    b"t": lambda vm: vm._push(tuple(vm._pop_mark())),
    b"l": lambda vm: vm._push(vm._pop_mark()),
    b"d": Unpickler._push_dict,
    b"\x91": lambda vm: vm._push({_key(item) for item in vm._pop_mark()}),
    b"\x90": lambda vm: vm._append(vm._pop_mark()),
    b"a": lambda vm: vm._append([vm._stack.pop()]),
    b"e": lambda vm: vm._append(vm._pop_mark()),
    b"s": lambda vm: vm._set_items(list(vm._pop_last(2))),
    b"u": lambda vm: vm._set_items(vm._pop_mark()),
    b"p": lambda vm: vm._memo.__setitem__(int(vm._line()), vm._stack[-1]),
    b"g": lambda vm: vm._push(vm._memo[int(vm._line())]),
    b"\x94": lambda vm: vm._memo.__setitem__(len(vm._memo), vm._stack[-1]),
    b"c": Unpickler._push_name_lines,
    b"\x93": lambda vm: vm._push_global(*vm._pop_last(2)),
    b"i": lambda vm: vm._call_marked(named=True),
    b"o": lambda vm: vm._call_marked(named=False),
    b"\x81": lambda vm: vm._call(*vm._pop_last(2)),
    b"\x92": lambda vm: vm._call(*vm._pop_last(3)[:2]),  # without the keywords
    b"R": lambda vm: vm._call(*vm._pop_last(2)),
    b"b": Unpickler._build,
    b"P": lambda vm: vm._push_persistent(_old_text(vm._line())),
    b"Q": lambda vm: vm._push_persistent(vm._stack.pop()),
}
