"""Dilated residual networks (Yu, Koltun, Funkhouser, CVPR 2017), architectures C and D, as one table."""

import dataclasses
import functools
import re
from collections.abc import Callable

import jax
import numpy as np
from flax import linen as nn

from dakd_jax.models.backbones import BACKBONES, Backbone, Feature, Published
from dakd_jax.models.batch_norm import BatchNorm
from dakd_jax.models.residual import Block, conv

STRIDES = (1, 1, 2, 4, 8, 8, 8, 8, 8)  # of layers 0 to 8: from layer 5 on they are dilated instead
OUTPUT_STRIDE = STRIDES[-1]
CHANNELS = (16, 32, 64, 128, 256, 512, 512, 512)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Family 'C' or 'D', blocks and channels of layers 1 to 8, and whether layers 3 to 6 use bottleneck blocks."""

    family: str
    blocks: tuple[int, ...]
    bottleneck: bool = False
    channels: tuple[int, ...] = CHANNELS

    def scaled_channels(self, width: float) -> tuple[int, ...]:
        """Channels of layers 1 to 8 at a width multiplier; never fewer than 4."""
        return tuple(max(4, round(c * width)) for c in self.channels)


ARCHITECTURES = {
    "drn_c_26": Architecture("C", (1, 1, 2, 2, 2, 2, 1, 1)),
    "drn_c_42": Architecture("C", (1, 1, 3, 4, 6, 3, 1, 1)),
    "drn_c_58": Architecture("C", (1, 1, 3, 4, 6, 3, 1, 1), bottleneck=True),
    "drn_d_22": Architecture("D", (1, 1, 2, 2, 2, 2, 1, 1)),
    "drn_d_24": Architecture("D", (1, 1, 2, 2, 2, 2, 2, 2)),
    "drn_d_38": Architecture("D", (1, 1, 3, 4, 6, 3, 1, 1)),
    "drn_d_40": Architecture("D", (1, 1, 3, 4, 6, 3, 2, 2)),
    "drn_d_54": Architecture("D", (1, 1, 3, 4, 6, 3, 1, 1), bottleneck=True),
    "drn_d_56": Architecture("D", (1, 1, 3, 4, 6, 3, 2, 2), bottleneck=True),
    "drn_d_105": Architecture("D", (1, 1, 3, 4, 23, 3, 1, 1), bottleneck=True),
    "drn_d_107": Architecture("D", (1, 1, 3, 4, 23, 3, 2, 2), bottleneck=True),
    # No published network: 5,074 parameters with 19 classes, for smoke tests of a whole run in seconds. A block in
    # layers 3, 4 and 6, and the plain layers 2 and 8: strides, dilation and taps as in all of family D.
    "tiny": Architecture("D", (0, 1, 1, 1, 0, 1, 0, 1), channels=(4, 4, 8, 8, 8, 8, 8, 8)),
}


class BlockLayer(nn.Module):
    """A layer of residual blocks; only the first one strides."""

    features: int
    blocks: int
    stride: int = 1
    dilation: int = 1
    new_level: bool = True
    bottleneck: bool = False
    residual: bool = True
    batch_norm: Callable[..., nn.Module] = BatchNorm

    @nn.compact
    def __call__(self, x, *, train):
        for i in range(self.blocks):
            halved = i == 0 and self.new_level and self.dilation > 1
            x = Block(
                self.features,
                stride=self.stride if i == 0 else 1,
                dilation=(self.dilation // 2 if halved else self.dilation, self.dilation),
                bottleneck=self.bottleneck,
                residual=self.residual,
                batch_norm=self.batch_norm,
                name=str(i),
            )(x, train=train)
        return x


class ConvLayer(nn.Module):
    """A layer of plain convolutions, each with batch norm and ReLU; named 0, 1, 3, 4, ... as in PyTorch."""

    features: int
    convs: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    batch_norm: Callable[..., nn.Module] = BatchNorm

    @nn.compact
    def __call__(self, x, *, train):
        for i in range(self.convs):
            stride = self.stride if i == 0 else 1
            x = conv(self.features, self.kernel, stride=stride, dilation=self.dilation, name=str(3 * i))(x)
            x = nn.relu(self.batch_norm(name=str(3 * i + 1))(x, train=train))
        return x


class DRN(nn.Module):
    """The trunk: [B, H, W, 3] normalised pictures to the outputs of layers 0 to 8, which are called layer0 to layer8.

    Attributes:
      arch: a key of ARCHITECTURES.
      width: multiplier of all channel counts, 1.0 for the published networks.
      batch_norm: makes a batch norm layer of a name.
    """

    arch: str
    width: float = 1.0
    batch_norm: Callable[..., nn.Module] = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[Feature, ...]:
        spec = ARCHITECTURES[self.arch]
        channels = spec.scaled_channels(self.width)
        outputs = [self._stem(x, spec, channels, train)]
        for layer in self._layers(spec, channels):
            outputs.append(layer(outputs[-1], train=train))
        pairs = enumerate(zip(outputs, STRIDES, strict=True))
        return tuple(Feature(x, stride, f"layer{i}") for i, (x, stride) in pairs)

    def _stem(self, x, spec, channels, train):
        if spec.family == "D":
            return ConvLayer(channels[0], 1, kernel=7, batch_norm=self.batch_norm, name="layer0")(x, train=train)
        x = conv(channels[0], 7, name="conv1")(x)
        return nn.relu(self.batch_norm(name="bn1")(x, train=train))

    def _layers(self, spec, channels):
        """Layers 1 to 8. Family C has basic blocks for the plain convolutions of D, the last two without residual."""
        n, d_family = spec.blocks, spec.family == "D"
        how = {"batch_norm": self.batch_norm}
        plain = ConvLayer if d_family else BlockLayer
        tail = how if d_family else how | {"residual": False, "new_level": False}
        deep = how | {"bottleneck": spec.bottleneck}
        return (
            plain(channels[0], n[0], name="layer1", **how),
            plain(channels[1], n[1], stride=2, name="layer2", **how),
            BlockLayer(channels[2], n[2], stride=2, name="layer3", **deep),
            BlockLayer(channels[3], n[3], stride=2, name="layer4", **deep),
            BlockLayer(channels[4], n[4], dilation=2, new_level=False, name="layer5", **deep),
            BlockLayer(channels[5], n[5], dilation=4, new_level=False, name="layer6", **deep),
            plain(channels[6], n[6], dilation=2, name="layer7", **tail),
            plain(channels[7], n[7], dilation=1, name="layer8", **tail),
        )


def _upsampling(classes: int) -> dict[str, np.ndarray]:
    """The released segmenter's transposed convolutions, which upsample by the output stride and are not trained."""
    size = 2 * OUTPUT_STRIDE
    line = 1 - np.abs(np.arange(size) - (size - 1) / 2) / OUTPUT_STRIDE
    kernel = np.outer(line, line)[None, None].astype(np.float32)
    return {f"up{i}.weight": np.tile(kernel, (classes, 1, 1, 1)) for i in (1, 2)}


PUBLISHED = Published(
    source="github.com/fyu/drn (its download host has been down for years)",
    # The ImageNet classifier, the upsampling above, and the projection of family C's residual-free layers.
    unused=re.compile(r"(base\.)?(fc|up1|up2|layer[78]\.0\.downsample)\."),
    beside=_upsampling,
)


def _make(arch: str, *, width: float, output_stride: int, batch_norm: Callable[..., nn.Module]) -> DRN:
    return DRN(arch, width, batch_norm)


for _arch in ARCHITECTURES:
    _spec = Backbone(
        make=functools.partial(_make, _arch),
        normaliser="bgr_minus_mean",
        main_tap="layer8",
        skip_tap="layer3",
        decoder="linear",
        auxiliary_tap="layer6",
        output_strides=(OUTPUT_STRIDE,),
        published=PUBLISHED,
    )
    BACKBONES.register(_arch, _spec)
