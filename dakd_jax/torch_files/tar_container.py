"""The tar archive of PyTorch 0.1: members storages, tensors and pickle."""

import struct
import tarfile

from dakd_jax.torch_files.faults import Unreadable, damaged
from dakd_jax.torch_files.objects import Opaque
from dakd_jax.torch_files.raw_storages import ByteStream, read_raw_storage
from dakd_jax.torch_files.tensors import REDUCERS, Storage, Tensor, is_size, storage_dtype
from dakd_jax.torch_files.unpickler import Unpickler

_MEMBERS = ("storages", "tensors", "pickle")


def load_tar(data) -> object:
    """Return the object tree of a checkpoint in a tar archive; raises Unreadable."""
    parts = _members(data)
    objects: dict[str, object] = {}
    try:
        _read_storages(parts["storages"], objects)
        _read_tensors(parts["tensors"], objects)
    except (KeyError, struct.error) as error:
        raise damaged("its tar members make no sense") from error

    def lookup(identity: object) -> object:
        # A tuple is the class of a module with its source code, which is of no use.
        return identity[0] if isinstance(identity, tuple) else objects[_key(identity)]

    return Unpickler(parts["pickle"], reducers=REDUCERS, persistent_load=lookup).load()


def _members(data) -> dict[str, bytes]:
    try:
        with tarfile.open(fileobj=ByteStream(data), mode="r:") as archive:
            members = {name: archive.getmember(name) for name in _MEMBERS}
    except KeyError as error:
        raise Unreadable("is not a PyTorch checkpoint: this tar archive lacks the parts of one") from error
    except (tarfile.TarError, OSError, ValueError, OverflowError, EOFError) as error:
        raise damaged("its tar directory is broken") from error
    if any(not 0 <= member.offset_data <= member.offset_data + member.size <= len(data) for member in members.values()):
        raise damaged("its tar members make no sense")
    return {name: bytes(data[part.offset_data : part.offset_data + part.size]) for name, part in members.items()}


def _key(identity: object) -> str:
    if isinstance(identity, str) or is_size(identity):
        return str(identity)
    raise damaged("its tar members make no sense")


def _next(data: bytes, position: int) -> tuple[object, int]:
    part = Unpickler(data, position, reducers=REDUCERS)
    return part.load(), part.position


def _count(data: bytes, position: int) -> tuple[int, int]:
    value, position = _next(data, position)
    if not is_size(value):
        raise damaged("its tar members make no sense")
    return value, position


def _fields(value: object, length: int) -> tuple | list:
    if not isinstance(value, (tuple, list)) or len(value) != length:
        raise damaged("its tar members make no sense")
    return value


def _read_storages(data: bytes, objects: dict[str, object]) -> None:
    count, position = _count(data, 0)
    for _ in range(count):
        record, position = _next(data, position)
        key, _, kind = _fields(record, 3)
        dtype = storage_dtype(kind)
        content, position = read_raw_storage(data, position, kind)
        if dtype is None:
            objects[_key(key)] = Opaque(kind)
        else:
            objects[_key(key)] = Storage(dtype, len(content) // dtype.itemsize, lambda content=content: content)
    views, _ = _next(data, position)
    for view in views if isinstance(views, list) else ():
        target, root, offset, numel = _fields(view, 4)
        storage = objects[_key(root)]
        objects[_key(target)] = storage.view(offset, numel) if isinstance(storage, Storage) else storage


def _read_tensors(data: bytes, objects: dict[str, object]) -> None:
    count, position = _count(data, 0)
    for _ in range(count):
        record, position = _next(data, position)
        key, storage_key, _ = _fields(record, 3)
        (axes,) = struct.unpack_from("<i", data, position)
        if not 0 <= axes <= 64:
            raise damaged("a tensor with an impossible shape")
        numbers = struct.unpack_from(f"<{2 * axes + 1}q", data, position + 8)  # 4 of the 8 bytes are unused
        position += 8 + 8 * len(numbers)
        storage = objects[_key(storage_key)]
        if isinstance(storage, Storage):
            geometry = numbers[-1], numbers[:axes], numbers[axes : 2 * axes]
            objects[_key(key)] = Tensor(storage, *geometry, storage.dtype)
        else:
            objects[_key(key)] = storage
