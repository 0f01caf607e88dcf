"""Backbones, a plug: one file a family. The contract, and the registry of architectures (docs/EXTENDING.md)."""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from dakd_jax.basics.errors import UserError
from dakd_jax.basics.plugs import Registry
from dakd_jax.models import batch_norm

LINEAR, SKIP = "linear", "skip"
DECODERS = (LINEAR, SKIP)  # the heads alone, as the paper has them, or with the logits of a shallower feature added
NOTHING = re.compile(r"(?!)")
# (height, width) of the picture on which a backbone is tried: odd, and no multiple of any stride.
TRIED_ON = (65, 97)


class Feature(flax.struct.PyTreeNode):
    """One output of a backbone.

    Attributes:
      array: [B, ceil(H / stride), ceil(W / stride), channels] for pictures [B, H, W, 3].
      stride: in pixels of the picture.
      name: unique in the backbone; what taps are called by.
    """

    array: jax.Array
    stride: int = flax.struct.field(pytree_node=False)
    name: str = flax.struct.field(pytree_node=False)


@dataclasses.dataclass(frozen=True)
class Published:
    """Published weights of an architecture: PyTorch files, and how their names belong to ours.

    Our name of a parameter is its path in the Flax module, joined by dots, with PyTorch's names of leaves: `weight`,
    `bias`, `running_mean`, `running_var`, `num_batches_tracked`.

    Attributes:
      source: where they come from, for people.
      name: our name to the one in a published trunk. What a finished stage writes keeps ours, after 'base.'.
      unused: matches the beginning of names in published files that no network here has, as those of a classifier.
      beside: number of classes to the constant tensors that the released segmenter keeps in its files; written too.
      find_imagenet: the file of the ImageNet trunk on this machine, for `pretrained = "imagenet"`; never a download. It
        raises a UserError that says what brings one. None: there is no such place.
    """

    source: str = ""
    name: Callable[[str], str] = str
    unused: re.Pattern = NOTHING
    beside: Callable[[int], Mapping[str, np.ndarray]] = lambda classes: {}
    find_imagenet: Callable[[], pathlib.Path] | None = None


@dataclasses.dataclass(frozen=True)
class Backbone:
    """An architecture: what is registered in BACKBONES under its name.

    Attributes:
      make: (width, output_stride, batch_norm) to a Flax module that takes (x, *, train), with x normalised pictures
        [B, H, W, 3], and gives a tuple of Feature, shallow to deep. `width` multiplies channel counts; `batch_norm`
        makes a batch_norm.BatchNorm with the momentum and epsilon given here, and takes a `name`.
      normaliser: how pictures are prepared: a key of preprocessing.NORMALISERS.
      main_tap, auxiliary_tap: names of the features under the two heads, unless the config says otherwise.
      output_strides: those that `make` understands, the default first.
      skip_tap: name of a shallower feature, whose 1x1 convolution the decoder 'skip' adds to the main logits, at its
        own stride; '' for none.
      decoder: the one of DECODERS that is used unless the config says otherwise; '' is 'skip' where there is a
        skip_tap.
      momentum, epsilon: of batch norm; momentum is the weight of the new batch, as PyTorch has it.
      published: weights that others have published.
    """

    make: Callable[..., nn.Module]
    normaliser: str
    main_tap: str
    auxiliary_tap: str
    output_strides: tuple[int, ...]
    skip_tap: str = ""
    decoder: str = ""
    momentum: float = batch_norm.MOMENTUM
    epsilon: float = batch_norm.EPSILON
    published: Published = Published()

    @property
    def own_decoder(self) -> str:
        """The decoder without a choice in the config."""
        return self.decoder or (SKIP if self.skip_tap else LINEAR)

    def build(self, width: float, output_stride: int) -> nn.Module:
        """The module; an output stride of 0 is the default."""
        norm = functools.partial(batch_norm.BatchNorm, momentum=self.momentum, epsilon=self.epsilon)
        return self.make(width=width, output_stride=output_stride or self.output_strides[0], batch_norm=norm)


BACKBONES: Registry[Backbone] = Registry("backbone", __name__)


class Outline(NamedTuple):
    """Stride and channels of a feature."""

    stride: int
    channels: int


@functools.cache
def outlines(spec: Backbone, width: float, output_stride: int) -> dict[str, Outline]:
    """{name: Outline} of the features that a backbone gives, found by tracing it; computes and compiles nothing.

    Raises:
      UserError: it does not keep to the contract.
    """
    picture = jax.ShapeDtypeStruct((1, *TRIED_ON, 3), jnp.float32)
    try:
        module = spec.build(width, output_stride)
        features, _ = jax.eval_shape(
            lambda x: module.init_with_output({"params": jax.random.key(0)}, x, train=True), picture
        )
    except UserError:
        raise
    except Exception as error:  # whatever a hand-written module may raise
        raise UserError(f"its module fails: {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(features, tuple) or not features or not all(isinstance(one, Feature) for one in features):
        raise UserError(f"its module gives a {type(features).__name__}; expected a tuple of backbones.Feature")
    for one in features:
        _check(one)
    found = {one.name: Outline(one.stride, one.array.shape[-1]) for one in features}
    if len(found) < len(features):
        raise UserError(f"several of its features have one name: {', '.join(one.name for one in features)}")
    return found


def _check(feature: Feature) -> None:
    wanted = (1, *(-(-side // feature.stride) for side in TRIED_ON))
    if feature.array.shape[:-1] != wanted or feature.array.ndim != 4:
        raise UserError(
            f"its feature {feature.name!r} of stride {feature.stride} has the shape {feature.array.shape} for a "
            f"picture of {TRIED_ON[0]} x {TRIED_ON[1]}, expected ({', '.join(map(str, wanted))}, channels): sides "
            "divided by the stride, rounded up"
        )
