"""Residual blocks as PyTorch's residual networks have them, names and padding included (He et al., CVPR 2016)."""

from collections.abc import Callable

from flax import linen as nn

from dakd_jax.models import convolution
from dakd_jax.models.batch_norm import BatchNorm
from dakd_jax.models.convolution import initializers
from dakd_jax.models.precision import in_dtype_of_kernel

EXPANSION = 4  # channels of a bottleneck block's output, of those within


def conv(features: int, kernel: int, *, stride: int = 1, dilation: int = 1, name: str) -> nn.Conv:
    """A square convolution without bias, padded as PyTorch pads it (same on both sides)."""
    pad = dilation * (kernel - 1) // 2
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        padding=((pad, pad), (pad, pad)),
        kernel_dilation=dilation,
        use_bias=False,
        kernel_init=initializers.he_normal,
        promote_dtype=in_dtype_of_kernel,
        conv_general_dilated=convolution.conv_general_dilated,
        name=name,
    )


class Downsample(nn.Module):
    """The 1x1 projection of a residual branch whose shape changes."""

    features: int
    stride: int
    batch_norm: Callable[..., nn.Module] = BatchNorm

    @nn.compact
    def __call__(self, x, *, train):
        x = conv(self.features, 1, stride=self.stride, name="0")(x)
        return self.batch_norm(name="1")(x, train=train)


class Block(nn.Module):
    """A basic (two 3x3) or bottleneck (1x1, 3x3, 1x1) block.

    dilation: those of the first and second 3x3 convolution (a bottleneck has one 3x3 and uses the second).
    """

    features: int
    stride: int = 1
    dilation: tuple[int, int] = (1, 1)
    bottleneck: bool = False
    residual: bool = True
    batch_norm: Callable[..., nn.Module] = BatchNorm

    @nn.compact
    def __call__(self, x, *, train):
        first, second = self.dilation
        expansion = EXPANSION if self.bottleneck else 1
        if self.bottleneck:
            plan = ((1, 1, 1, 1), (3, self.stride, second, 1), (1, 1, 1, expansion))
        else:
            plan = ((3, self.stride, first, 1), (3, 1, second, 1))

        y = x
        for i, (kernel, stride, dilation, widen) in enumerate(plan, start=1):
            y = nn.relu(y) if i > 1 else y
            y = conv(self.features * widen, kernel, stride=stride, dilation=dilation, name=f"conv{i}")(y)
            y = self.batch_norm(name=f"bn{i}")(y, train=train)
        if self.residual:
            changes = self.stride != 1 or x.shape[-1] != self.features * expansion
            project = Downsample(self.features * expansion, self.stride, self.batch_norm, name="downsample")
            y += project(x, train=train) if changes else x
        return nn.relu(y)
