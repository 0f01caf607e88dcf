"""What both rivals are made of."""

import dataclasses
import time
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import steps
from dakd_jax.models.weight_files import pretrained

LEVELS = ("auxiliary", "main")  # heads of a segmenter


@dataclasses.dataclass(frozen=True)
class How:
    """How a rival computes.

    Attributes:
      device: 'cpu' or 'cuda'.
      bfloat16: whether autocast computes in it.
      backend: of torch.compile; '' = eager.
    """

    device: str = "cpu"
    bfloat16: bool = False
    backend: str = ""

    def autocast(self):
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16)

    def compiled(self, function: Callable) -> Callable:
        """A function of tensors, as it will be called; compiled, it is one graph."""
        if not self.backend:
            return function
        return torch.compile(function, backend=self.backend, fullgraph=True, dynamic=False)

    def on_device(self, module: nn.Module) -> nn.Module:
        return module.to(self.device, memory_format=torch.channels_last)

    def batch(self, arrays: Mapping) -> dict[str, torch.Tensor]:
        """Arrays of a step on the device: pictures uint8 [B, H, W, 3], labels int64 [B, H, W]."""
        tensors = {name: torch.tensor(array, device=self.device) for name, array in arrays.items()}
        return {name: tensor.long() if name.endswith("label") else tensor for name, tensor in tensors.items()}

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def set_up(threads: int, few_channels: bool = False) -> None:
    """Of this process: threads of the CPU (0: as many as cores); on a GPU TF32 and measured kernels, as with XLA.

    few_channels: leaves oneDNN out, whose 3.12 crashes in gradients of such convolutions on CPUs without AVX-512.
    """
    if threads:
        torch.set_num_threads(threads)
    if few_channels:
        torch._C._set_mkldnn_enabled(False)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


class Rival:
    """What is measured: `step(batch)`, and here the forward pass of the student, a module of (pictures, levels)."""

    def __init__(self, student: nn.Module, how: How):
        self.student, self.how = student.train(), how
        self._forward = how.compiled(lambda pictures: self.student(pictures, levels=("main",))["main"])

    def evaluating(self, on: bool) -> None:
        """Whether the student has its running statistics, as `forward` wants, or those of a batch, as a step does."""
        self.student.train(not on)

    @torch.no_grad()
    def forward(self, batch) -> torch.Tensor:
        """Log-probabilities [B, C, H, W] of the main head on source pictures."""
        return self._forward(batch["source_image"])


def filled(module: nn.Module, variables: Mapping) -> nn.Module:
    """A module with our weights of the same names: {'params', and of a segmenter 'batch_stats'}."""
    state = {name: torch.tensor(array) for name, array in pretrained.to_state_dict(variables).items()}
    dtypes = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    module.to(*dtypes).load_state_dict(state)
    return module


def heads(segmenter: nn.Module, variables: Mapping) -> None:
    """Adds the 1x1 convolutions that ours has beside the trunk."""
    for name in ("seg1", "seg2", "seg1_skip"):
        if name in variables["params"]:
            given, classes = variables["params"][name]["kernel"].shape[2:]
            setattr(segmenter, name, nn.Conv2d(given, classes, 1))


def sgd(segmenter: nn.Module, optimizer, rate: float) -> torch.optim.SGD:
    """As an optimizers.SegmenterOptimizer of kind 'sgd' without clipping."""
    if optimizer.kind != "sgd" or optimizer.clip_norm:
        raise ValueError(f"{optimizer}: the rival has SGD without clipping alone")
    apart = [p for name, p in segmenter.named_parameters() if not name.startswith("base.")]
    groups = [
        {"params": list(segmenter.base.parameters()), "lr": rate},
        {"params": apart, "lr": rate * optimizer.head_factor},
    ]
    how = {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov, "weight_decay": optimizer.weight_decay}
    return torch.optim.SGD(groups, lr=rate, fused=True, **how)


def larger(x: torch.Tensor, factor: int, size: tuple[int, int]) -> torch.Tensor:
    """[B, C, h, w] in float32 at least: bilinear with aligned corners by `factor`, cut to (height, width)."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if factor > 1:
        x = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)
    return x[:, :, : size[0], : size[1]]


def log_probabilities(logits: Mapping[str, tuple], size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """{level: [B, C, height, width]} of a segmenter's logits and their strides."""
    return {of: F.log_softmax(larger(x, stride, size), dim=1) for of, (x, stride) in logits.items()}


def state_bytes(*of: nn.Module | torch.optim.Optimizer) -> int:
    """Of weights, their gradients, and what optimisers keep."""
    tensors = []
    for one in of:
        if isinstance(one, nn.Module):
            tensors += [*one.buffers(), *one.parameters(), *(p.grad for p in one.parameters() if p.grad is not None)]
        else:
            tensors += [value for state in one.state.values() for value in state.values() if torch.is_tensor(value)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def peak_flop(how: How) -> float:
    """FLOP per second of a large matrix product, the best of five."""
    side = steps.peak_side(how.device)
    factor = torch.randn(side, side, device=how.device, dtype=torch.bfloat16 if how.bfloat16 else torch.float32)
    seconds = []
    for _ in range(6):
        how.wait()
        began = time.perf_counter()
        factor @ factor
        how.wait()
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds[1:])
