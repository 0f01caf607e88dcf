"""Checkpoint files against PyTorch itself: what it writes is read, what is written it reads."""

import itertools
import sys
import types
from collections import OrderedDict

import handmade_checkpoints as handmade
import ml_dtypes
import numpy as np
import pytest

from dakd_jax.basics.errors import UserError
from dakd_jax.models.weight_files import torch_files

torch = pytest.importorskip("torch", reason="PyTorch, the reference of these tests, is not installed")
nn = torch.nn

FORMATS = {"zip": {}, "stream": {"_use_new_zipfile_serialization": False}}
every_format = pytest.mark.parametrize("layout", FORMATS)

USER_CODE = """
import torch
from torch import nn

class Strange(dict):
    pass

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.shortcut = None
        self.scale = nn.Parameter(torch.randn(2))
        self.register_parameter("absent", None)
        self.register_buffer("grid", torch.arange(5))
        self.register_buffer("cache", torch.ones(9), persistent=False)
        self.settings = Strange(a=[1, {2, 3}], hook=torch.relu, kind=torch.float32)
        self.device = torch.device("cpu")

    def __setstate__(self, state):
        raise AssertionError("code of the file ran")

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(OrderedDict(stem=Block(), body=nn.Sequential(Block(), nn.ReLU(), nn.Dropout(0.1))))
        self.tied = self.stem
        self.heads = nn.ModuleList([nn.Linear(4, 2), nn.ConvTranspose2d(4, 2, 2)])
        self.register_buffer("count", torch.tensor(3))
        self.weights = nn.ParameterDict({"b": nn.Parameter(torch.zeros(2)), "a": nn.Parameter(torch.ones(1))})
"""


def as_numpy(tensor):
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def assert_same(found, state_dict, prefix=""):
    assert list(found) == [name.removeprefix(prefix) for name in state_dict]
    for array, (name, tensor) in zip(found.values(), state_dict.items(), strict=True):
        expected = as_numpy(tensor)
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape), name
        assert array.tobytes() == expected.tobytes(), name


def saved(path, content, layout):
    torch.save(content, path, **FORMATS[layout])
    return path


def tensors():
    torch.manual_seed(0)
    base = torch.randn(6, 7)
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32)
    kinds += (torch.int16, torch.int8, torch.uint8, torch.bool)
    made = OrderedDict((str(kind), (torch.rand(3, 4) * 100).to(kind)) for kind in kinds)
    made |= {"base": base, "row": base[2], "part": base[1:4, 2:6:2], "transposed": base.t()}
    made |= {"expanded": base[0].expand(3, 7), "bn.num_batches_tracked": torch.tensor(12345678901)}
    made |= {"channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)}
    made |= {"empty": torch.zeros(0, 3), "parameter": nn.Parameter(torch.randn(2)), "tied": base}
    return made


@pytest.fixture
def vanished():
    """A module of user's classes, and the function that makes it disappear before the file is read."""
    module = types.ModuleType("vanished_module")
    module.OrderedDict = OrderedDict
    sys.modules["vanished_module"] = module
    exec(USER_CODE, module.__dict__)
    yield module, lambda: sys.modules.pop("vanished_module")
    sys.modules.pop("vanished_module", None)


@every_format
def test_every_dtype_and_layout_of_memory(tmp_path, layout):
    assert_same(torch_files.read(saved(tmp_path / "a.pth", tensors(), layout)), tensors())


@pytest.mark.parametrize("layout, protocol", itertools.product(FORMATS, [2, 3, 4, 5]))
def test_pickle_protocols(tmp_path, layout, protocol):
    torch.save(tensors(), tmp_path / "a.pth", pickle_protocol=protocol, **FORMATS[layout])
    assert_same(torch_files.read(tmp_path / "a.pth"), tensors())


@every_format
def test_checkpoint_of_a_training(tmp_path, layout):
    model = nn.DataParallel(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    content = {"epoch": 3, "arch": "drn", "optimizer": optimizer.state_dict(), "best": torch.tensor(0.5)}
    content |= {"rng": torch.get_rng_state(), "numpy": np.float64(3), "state_dict": model.state_dict()}
    found = torch_files.read(saved(tmp_path / "a.pth", content, layout))
    assert_same(found, model.state_dict(), prefix="module.")


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@every_format
def test_whole_module_of_classes_that_no_longer_exist(tmp_path, layout, vanished):
    module, vanish = vanished
    net = module.Net()
    expected = {name: value.clone() for name, value in net.state_dict().items()}
    assert "stem.cache" not in expected and "tied.conv.weight" in expected
    whole = saved(tmp_path / "a.pth", net, layout)
    inside = saved(tmp_path / "b.pth", {"epoch": 1, "model": nn.DataParallel(net)}, layout)
    vanish()
    assert_same(torch_files.read(whole), expected)
    assert_same(torch_files.read(inside), expected)
    assert "vanished_module" not in sys.modules


@every_format
def test_half_precision_module(tmp_path, layout):
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).to(torch.bfloat16)
    assert_same(torch_files.read(saved(tmp_path / "a.pth", net, layout)), net.state_dict())


def test_types_without_a_storage_class_of_their_own(tmp_path):
    content = {name: torch.arange(6).reshape(2, 3).t().to(getattr(torch, name)) for name in ("uint16", "uint64")}
    assert_same(torch_files.read(saved(tmp_path / "a.pth", content, "zip")), content)


def test_tensor_and_buffer_with_attributes(tmp_path):
    tensor, parameter = torch.randn(3), nn.Parameter(torch.randn(2))
    tensor.note, parameter.note = "kept", "kept"
    content = {"t": tensor, "p": parameter, "b": nn.Buffer(torch.ones(2))}
    assert_same(torch_files.read(saved(tmp_path / "a.pth", content, "zip")), content)


def test_file_without_checksums(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "a.pth", tensors(), "zip")
    finally:
        torch.serialization.set_crc32_options(True)
    assert_same(torch_files.read(path), tensors())


UNSUPPORTED = {
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "complex": lambda: torch.ones(3, dtype=torch.complex64),
    "conjugated": lambda: torch.ones(3, dtype=torch.complex64).conj(),
    "meta": lambda: torch.ones(3, device="meta"),
}


@pytest.mark.filterwarnings("ignore")
@every_format
@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_unsupported_tensors_are_named_if_asked_for(tmp_path, layout, kind):
    odd = UNSUPPORTED[kind]()
    path = saved(tmp_path / "a.pth", {"fine": torch.ones(2), "odd": odd}, layout)
    with pytest.raises(UserError, match="'odd'.*not supported"):
        torch_files.read(path)
    path = saved(tmp_path / "b.pth", {"optimizer": {"odd": odd}, "model": {"fine": torch.ones(2)}}, layout)
    assert_same(torch_files.read(path), {"fine": torch.ones(2)})


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused(tmp_path):
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "a.pt")
    with pytest.raises(UserError, match="TorchScript"):
        torch_files.read(tmp_path / "a.pt")


@pytest.mark.parametrize("options", [{}, {"mmap": True}])
def test_pytorch_reads_what_is_written(tmp_path, options):
    arrays = {name: as_numpy(value) for name, value in tensors().items()}
    torch_files.write(tmp_path / "a.pth", arrays)
    loaded = torch.load(tmp_path / "a.pth", weights_only=True, **options)
    assert type(loaded) is OrderedDict
    assert_same(arrays, loaded)
    assert all(value.is_contiguous() and not value.requires_grad for value in loaded.values())


def test_pytorch_agrees_on_the_handmade_files(tmp_path):
    """The old formats are made by hand: PyTorch must read the same from them."""
    base = handmade.Storage("11", np.arange(12, dtype=np.float32))
    made = {
        "a": handmade.Tensor(base, 1, (4, 2), (1, 4)),
        "b": handmade.Tensor(handmade.Storage("11", base.values, ("12", 5, 3)), 1, (2,), (1,)),
        "c": handmade.plain("13", np.int64(4)),
    }
    stream = tmp_path / "stream.pth"
    stream.write_bytes(handmade.stream_bytes(made))
    assert_same(torch_files.read(stream), torch.load(stream, weights_only=True))
