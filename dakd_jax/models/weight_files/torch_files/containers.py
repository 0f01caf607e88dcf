"""The two containers of torch.save: a zip archive (since 1.6), and a stream of pickles and raw storages (before).

Each reader takes the whole file as an mmap and returns the object tree with lazy tensors in it.
"""

import functools
import io
import struct
import zipfile
import zlib

from dakd_jax.models.weight_files.torch_files.faults import Unreadable, damaged
from dakd_jax.models.weight_files.torch_files.objects import Global, Opaque
from dakd_jax.models.weight_files.torch_files.tensors import REDUCERS, Storage, parse_storage_id, storage_dtype
from dakd_jax.models.weight_files.torch_files.unpickler import Unpickler

_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_VERSION = 1001
_NO_CHECKPOINT = "is not a PyTorch checkpoint"
_OTHER_SIZES = {"ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "QInt32Storage": 4}  # bytes of an element


def load(data) -> object:
    """Return the object tree of a checkpoint; raises Unreadable."""
    if data[:4] == b"PK\x03\x04":
        return _load_zip(data)
    if data[257:262] == b"ustar":
        raise Unreadable(
            "is a tar archive, as PyTorch 0.1 wrote its checkpoints; read it by torch.load and save it again by "
            "torch.save with PyTorch 0.4 or later, best 1.6 or later"
        )
    if data[:1] == b"\x80":
        return _load_stream(data)
    raise Unreadable(f"{_NO_CHECKPOINT}: it is neither a zip archive nor a pickle that torch.save wrote")


# Zip


class _Archive:
    """The records of an uncompressed zip archive, without their common folder."""

    def __init__(self, data):
        self._data = memoryview(data)
        try:
            with zipfile.ZipFile(data) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
            raise damaged("its zip directory is broken") from error
        self.records = {}
        self._contents: dict[str, memoryview] = {}
        self._unread = len(data)
        for entry in entries:
            name = entry.filename.partition("/")[2]
            if name in self.records:
                raise damaged("a record occurs twice")
            self.records[name] = entry

    def read(self, name: str) -> memoryview:
        """Return the bytes of a record."""
        if name not in self._contents:
            self._contents[name] = self._locate(name)
        return self._contents[name]

    def _locate(self, name: str) -> memoryview:
        entry = self.records.get(name)
        if entry is None:
            raise damaged("a record of its archive is missing")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise Unreadable("is a compressed or encrypted zip archive; extract it and save it again by torch.save")
        header = self._data[max(entry.header_offset, 0) :][:30]
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise damaged("its zip directory is broken")
        start = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
        content = self._data[start : start + entry.file_size]
        self._unread -= entry.file_size
        if self._unread < 0:
            raise damaged("its records overlap")
        # Where set_crc32_options(False) told torch to leave checksums out, they are zero.
        if len(content) != entry.file_size or (entry.CRC and zlib.crc32(content) != entry.CRC):
            raise damaged("a record of its archive is not what was written")
        return content


def _load_zip(data) -> object:
    archive = _Archive(data)
    if "constants.pkl" in archive.records:
        raise Unreadable("is a TorchScript archive; save model.state_dict() by torch.save instead")
    if "data.pkl" not in archive.records:
        raise Unreadable(f"{_NO_CHECKPOINT}: this zip archive holds no data.pkl")
    order = bytes(archive.read("byteorder")) if "byteorder" in archive.records else b"little"
    if order not in (b"little", b"big"):
        raise damaged("its byte order is unknown")

    def storage(identity: object) -> object:
        dtype, key, numel, _ = parse_storage_id(identity)
        if dtype is None:
            return Opaque(identity[1])
        fetch = functools.partial(archive.read, f"data/{key}")
        return Storage(dtype, numel, fetch, big_endian=order == b"big")

    pickled = archive.read("data.pkl")
    return Unpickler(io.BytesIO(pickled), len(pickled), reducers=REDUCERS, persistent_load=storage).load()


# Stream of pickles: magic number, version, system, the object tree, the keys of the storages, the storages


def _load_stream(data) -> object:
    data.seek(0)
    for expected in (_STREAM_MAGIC, _STREAM_VERSION):
        try:
            found = Unpickler(data, len(data)).load()
        except Unreadable:
            found = None
        if type(found) is not int or found != expected:
            raise Unreadable(f"{_NO_CHECKPOINT}: it is a pickle, but not one that torch.save wrote")
    Unpickler(data, len(data)).load()
    raw: dict[str, memoryview] = {}
    kinds: dict[str, Global] = {}  # key -> class

    def storage(identity: object) -> object:
        if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
            return identity[1]  # the class; the source code that comes with it is of no use
        dtype, key, numel, view = parse_storage_id(identity)
        if kinds.setdefault(key, identity[1]) != identity[1]:
            raise damaged("a storage of two types")
        if dtype is None:
            return Opaque(identity[1])
        whole = Storage(dtype, numel, functools.partial(_stored, raw, key))
        if view is None:
            return whole
        _, offset, size = view if isinstance(view, tuple) and len(view) == 3 else (None, None, None)
        return whole.view(offset, size)

    tree = Unpickler(data, len(data), reducers=REDUCERS, persistent_load=storage).load()
    keys = Unpickler(data, len(data)).load()
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in kinds or key in raw:
            raise damaged("its list of storages makes no sense")
        raw[key] = _next_storage(data, kinds[key])
    return tree


def _next_storage(data, kind: Global) -> memoryview:
    """Return the bytes of the storage whose element count comes next in data; kind gives the size of an element."""
    dtype = storage_dtype(kind)
    itemsize = dtype.itemsize if dtype is not None else _OTHER_SIZES.get(kind.name, 1)
    head, start = data.read(8), data.tell()
    numel = struct.unpack("<q", head)[0] if len(head) == 8 else -1
    if numel < 0 or start + numel * itemsize > len(data):
        raise damaged("it ends before its last storage")
    data.seek(start + numel * itemsize)
    return memoryview(data)[start : data.tell()]


def _stored(raw: dict[str, memoryview], key: str) -> memoryview:
    if key not in raw:
        raise damaged("a storage is missing")
    return raw[key]
