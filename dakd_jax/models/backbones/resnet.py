"""ResNet 18 to 101 (He et al., CVPR 2016), dilated as torchvision has them, the stride on the 3x3 convolution."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator

import jax
from flax import linen as nn

from dakd_jax.basics.errors import UserError
from dakd_jax.models.backbones import BACKBONES, Backbone, Feature, Published
from dakd_jax.models.batch_norm import BatchNorm
from dakd_jax.models.residual import Block, conv

STEM = 64  # channels
CHANNELS = (64, 128, 256, 512)  # of the blocks of layers 1 to 4, within
OUTPUT_STRIDES = (8, 16, 32)


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """Blocks of layers 1 to 4, whether they are bottlenecks, and beginnings of the checksums of published trunks."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    checksums: tuple[str, ...]


# The checksums are those in the names of torchvision's files, newest weights first.
ARCHITECTURES = {
    "resnet18": ResNetSpec((2, 2, 2, 2), False, ("f37072fd",)),
    "resnet34": ResNetSpec((3, 4, 6, 3), False, ("b627a593",)),
    "resnet50": ResNetSpec((3, 4, 6, 3), True, ("11ad3fa6", "0676ba61")),
    "resnet101": ResNetSpec((3, 4, 23, 3), True, ("cd907fc2", "63fe2227")),
}


class Layer(nn.Module):
    """Residual blocks of one size, the first of which strides, or is dilated in its place.

    Attributes:
      dilation: up to the 3x3 convolution that would stride, and after it.
    """

    features: int
    blocks: int
    stride: int
    dilation: tuple[int, int]
    bottleneck: bool
    batch_norm: Callable[..., nn.Module] = BatchNorm

    @nn.compact
    def __call__(self, x, *, train):
        before, after = self.dilation
        # A basic block has a 3x3 convolution behind the one that would stride; a bottleneck has that one alone.
        first = (before, before if self.bottleneck else after)
        for i in range(self.blocks):
            how = {"stride": self.stride, "dilation": first} if i == 0 else {"dilation": (after, after)}
            block = Block(self.features, bottleneck=self.bottleneck, batch_norm=self.batch_norm, name=str(i), **how)
            x = block(x, train=train)
        return x


class ResNet(nn.Module):
    """[B, H, W, 3] normalised pictures to the outputs of the stem and layers 1 to 4: stem, layer1, ..., layer4.

    Attributes:
      arch: a key of ARCHITECTURES.
      width: multiplier of all channel counts, 1.0 for the published networks.
      output_stride: of layer 4.
      batch_norm: makes a batch norm layer of a name.
    """

    arch: str
    width: float = 1.0
    output_stride: int = OUTPUT_STRIDES[0]
    batch_norm: Callable[..., nn.Module] = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[Feature, ...]:
        x = conv(self._scaled(STEM), 7, stride=2, name="conv1")(x)
        x = nn.relu(self.batch_norm(name="bn1")(x, train=train))
        features = [Feature(x, 2, "stem")]
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        spec, stride, dilation = ARCHITECTURES[self.arch], 4, 1
        for i, blocks in enumerate(spec.blocks):
            wanted = 2 if i else 1
            step = wanted if stride * wanted <= self.output_stride else 1
            spread = dilation * wanted // step
            x = Layer(
                self._scaled(CHANNELS[i]),
                blocks,
                step,
                (dilation, spread),
                spec.bottleneck,
                self.batch_norm,
                name=f"layer{i + 1}",
            )(x, train=train)
            stride, dilation = stride * step, spread
            features.append(Feature(x, stride, f"layer{i + 1}"))
        return tuple(features)

    def _scaled(self, channels):
        return max(4, round(self.width * channels))


def find_imagenet(arch: str) -> pathlib.Path:
    """The file of an ImageNet trunk in the caches of torch hub or of the Hugging Face hub, whose checksum is right.

    Raises:
      UserError: there is none, or it is damaged.
    """
    for path, checksum in _cached(arch):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(checksum):
            raise UserError(f"{path}: its sha256 begins with {found[:8]}, expected {checksum[:8]}: remove it")
        return path
    names = " or ".join(f"{arch}-{checksum}.pth" for checksum in ARCHITECTURES[arch].checksums)
    raise UserError(
        f"no ImageNet weights of {arch} lie in the usual caches ({names} in {_torch_hub()}, a timm/{arch}.* in "
        f"{_hugging_face()}); copy one there, or name a file in place of 'imagenet'"
    )


def _torch_hub() -> pathlib.Path:
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return pathlib.Path(os.environ.get("TORCH_HOME", f"{caches}/torch")).expanduser() / "hub" / "checkpoints"


def _hugging_face() -> pathlib.Path:
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", f"{caches}/huggingface")
    return pathlib.Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()


def _cached(arch: str) -> Iterator[tuple[pathlib.Path, str]]:
    """(file, beginning of its sha256) of what lies in the caches; the Hugging Face hub names its blobs by sha256."""
    for checksum in ARCHITECTURES[arch].checksums:
        path = _torch_hub() / f"{arch}-{checksum}.pth"
        if path.is_file():
            yield path, checksum
    for path in sorted(_hugging_face().glob(f"models--timm--{arch}.*/snapshots/*/model.safetensors")):
        if re.fullmatch("[0-9a-f]{64}", path.resolve().name):
            yield path, path.resolve().name


def _register(arch: str) -> None:
    def make(width: float, output_stride: int, batch_norm: Callable[..., nn.Module]) -> ResNet:
        return ResNet(arch, width, output_stride, batch_norm)

    published = Published(
        source="torchvision's and timm's files",
        unused=re.compile(r"fc\."),  # the classifier
        find_imagenet=functools.partial(find_imagenet, arch),
    )
    spec = Backbone(
        make=make,
        normaliser="rgb_mean_std",
        main_tap="layer4",
        auxiliary_tap="layer3",
        skip_tap="layer1",
        decoder="linear",
        output_strides=OUTPUT_STRIDES,
        published=published,
    )
    BACKBONES.register(arch, spec)


for _arch in ARCHITECTURES:
    _register(_arch)
