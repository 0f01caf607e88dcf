"""Tensors and storages as a checkpoint describes them, and their conversion to numpy arrays."""

import dataclasses
import math
from collections.abc import Callable

import ml_dtypes
import numpy as np

from dakd_jax.models.weight_files.torch_files.faults import Unreadable, damaged, shown
from dakd_jax.models.weight_files.torch_files.objects import Global, Opaque

STORAGE_DTYPES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
_UNTYPED = ("UntypedStorage", "_UntypedStorage")
_TENSOR_DTYPES = {dtype.name: dtype for dtype in STORAGE_DTYPES.values()} | {
    name: np.dtype(name) for name in ("uint16", "uint32", "uint64")
}
_LARGEST_SIZE = 2**62
_MOST_AXES = 64


@dataclasses.dataclass(eq=False)
class Storage:
    """numel elements from element start on of the bytes that fetch returns (when it is first needed)."""

    dtype: np.dtype
    numel: int
    fetch: Callable[[], memoryview]
    start: int = 0
    big_endian: bool = False

    def view(self, offset: int, numel: int) -> "Storage":
        """Return the part of this storage that begins at element offset."""
        if not is_size(offset) or not is_size(numel) or offset + numel > self.numel:
            raise damaged("a storage view outside its storage")
        return dataclasses.replace(self, start=self.start + offset, numel=numel)

    def content(self) -> memoryview:
        """Return its bytes."""
        first, size = self.start * self.dtype.itemsize, self.numel * self.dtype.itemsize
        part = self.fetch()[first : first + size]
        if len(part) != size:
            raise damaged("a storage is shorter than declared")
        return part


@dataclasses.dataclass(eq=False)
class Tensor:
    """A strided window on a storage; nothing is checked before to_array."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the array that to_array makes; raises Unreadable where the window leaves its storage."""
        _check_window(self, self.storage.numel * self.storage.dtype.itemsize // self.dtype.itemsize)
        return math.prod(self.shape) * self.dtype.itemsize

    def to_array(self) -> np.ndarray:
        """Return a new C-contiguous array in native byte order; raises Unreadable for impossible geometry."""
        if self.nbytes == 0:
            return np.zeros(self.shape, self.dtype)
        if self.storage.dtype.itemsize not in (1, self.dtype.itemsize):
            raise Unreadable("holds a tensor that reinterprets a storage of another type; this is not supported")
        word = np.dtype(f"u{self.dtype.itemsize}").newbyteorder(">" if self.storage.big_endian else "<")
        content = self.storage.content()
        words = np.frombuffer(content[: len(content) // word.itemsize * word.itemsize], word)[self.offset :]
        axes = zip(self.shape, self.strides, strict=True)
        strides = [stride * word.itemsize if size > 1 else 0 for size, stride in axes]
        window = np.lib.stride_tricks.as_strided(words, self.shape, strides, writeable=False)
        native = np.array(window, dtype=word.newbyteorder("="), order="C", copy=True)
        return native != 0 if self.dtype == np.bool_ else native.view(self.dtype)


def is_size(value: object) -> bool:
    """Return whether value is an integer that can count elements."""
    return type(value) is int and 0 <= value <= _LARGEST_SIZE


def _check_window(tensor: Tensor, numel: int) -> None:
    """Raise Unreadable unless every element of the tensor lies among the numel ones of its storage."""
    axes = (tensor.shape, tensor.strides)
    if not all(isinstance(axis, tuple) and len(axis) <= _MOST_AXES for axis in axes):
        raise damaged("a tensor without a shape")
    if len(tensor.shape) != len(tensor.strides) or not all(map(is_size, (*axes[0], *axes[1], tensor.offset))):
        raise damaged("a tensor with an impossible shape")
    if math.prod(max(size, 1) for size in tensor.shape) * tensor.dtype.itemsize > _LARGEST_SIZE:
        raise damaged("a tensor with an impossible shape")
    if 0 not in tensor.shape:
        last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
        if tensor.offset + last >= numel:
            raise damaged("a tensor outside its storage")


def storage_dtype(kind: object) -> np.dtype | None:
    """Return the dtype of a storage class, uint8 for an untyped one, None for one that numpy cannot hold."""
    if not isinstance(kind, Global) or kind.module.split(".")[0] != "torch" or not kind.name.endswith("Storage"):
        raise damaged("a storage of no known class")
    return np.dtype(np.uint8) if kind.name in _UNTYPED else STORAGE_DTYPES.get(kind.name)


def parse_storage_id(identity: object) -> tuple[np.dtype | None, str, int, object]:
    """Split ("storage", class, key, device, elements[, view]) into dtype, key, elements and view."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise damaged("a storage of no known form")
    _, kind, key, _, numel = identity[:5]
    if not isinstance(key, str) or not is_size(numel):
        raise damaged("a storage of no known form")
    return storage_dtype(kind), key, numel, identity[5] if len(identity) == 6 else None


def _sequence(value: object) -> object:
    return tuple(value) if isinstance(value, list) and len(value) <= _MOST_AXES else value


def _tensor(storage: object, offset: object, shape: object, strides: object, dtype: np.dtype | None) -> object:
    if isinstance(storage, Storage) and dtype is not None:
        return Tensor(storage, offset, _sequence(shape), _sequence(strides), dtype)
    # A storage of an unsupported type is an Opaque: so is its tensor, which matters only if it is asked for.
    return Opaque(storage.kind if isinstance(storage, Opaque) else None)


_LAZY_VIEW = Opaque(Global("torch", "Tensor with a conj or neg bit"))


def _is_lazy_view(metadata: tuple) -> bool:
    """Return whether the tensor is yet to be conjugated or negated by whoever reads it."""
    return bool(metadata) and isinstance(metadata[0], dict) and any(map(bool, metadata[0].values()))


def _rebuild(args: tuple) -> object:
    storage, offset, shape, strides = args[:4]
    if _is_lazy_view(args[6:]):
        return _LAZY_VIEW
    return _tensor(storage, offset, shape, strides, getattr(storage, "dtype", None))


def _rebuild_with_dtype(args: tuple) -> object:
    storage, offset, shape, strides, _, _, kind = args[:7]
    if _is_lazy_view(args[7:]) or not isinstance(kind, Global):
        return _LAZY_VIEW
    return _tensor(storage, offset, shape, strides, _TENSOR_DTYPES.get(kind.name))


def _first(args: tuple) -> object:
    return args[0]


def _rebuild_from_type(args: tuple) -> object:
    function, _, inner = args[:3]
    reducer = _PLAIN.get(function) if isinstance(function, Global) else None
    return reducer(inner) if reducer and isinstance(inner, tuple) else Opaque(function)


_PLAIN = {
    Global("torch._utils", "_rebuild_tensor"): _rebuild,
    Global("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    Global("torch._utils", "_rebuild_tensor_v3"): _rebuild_with_dtype,
    Global("torch._utils", "_rebuild_parameter"): _first,
    Global("torch._utils", "_rebuild_parameter_with_state"): _first,
}
REDUCERS = _PLAIN | {
    Global("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    Global("torch", "Size"): lambda args: _sequence(args[0]),
    # Before PyTorch 0.4 parameters and variables were saved as their class called with the tensor.
    Global("torch.nn.parameter", "Parameter"): _first,
    Global("torch.autograd.variable", "Variable"): _first,
}


def is_unsupported(value: object) -> bool:
    """Return whether value stands for a tensor of a kind that is not read: quantised, sparse, complex."""
    if not isinstance(value, Opaque) or not isinstance(value.kind, Global):
        return False
    name = value.kind.name
    return value is _LAZY_VIEW or name.startswith("_rebuild") or name.endswith(("Storage", "Parameter"))


class UnreadableTensor:
    """A named tensor that cannot be read: whatever is asked of it is the fault that says why."""

    def __init__(self, fault: Unreadable):
        self._fault = fault

    @property
    def nbytes(self) -> int:
        raise self._fault

    shape = nbytes

    def to_array(self) -> np.ndarray:
        raise self._fault


def unsupported(name: str, kind: object, way_out: str = "save it as a plain dense tensor") -> UnreadableTensor:
    """Return what stands for a tensor of a kind that is not read."""
    return UnreadableTensor(Unreadable(f"holds {shown(name)} as {kind}, which is not supported; {way_out}"))
