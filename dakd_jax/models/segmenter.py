"""A backbone with a main and an auxiliary head (paper section 3; released model files), and its one forward pass."""

import functools
import zlib
from collections.abc import Callable, Mapping

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from dakd_jax.models import batch_norm, convolution, resizing
from dakd_jax.models.backbones import BACKBONES, SKIP, Backbone
from dakd_jax.models.precision import computing_params, in_dtype_of_kernel, widened
from dakd_jax.models.preprocessing import NORMALISERS

STATISTICS = ("running", "batch")  # of batch norm
_BLOCK = "block"


class Heads(flax.struct.PyTreeNode):
    """What a segmenter gives.

    Attributes:
      main, auxiliary: logits [B, ceil(H / stride), ceil(W / stride), classes], each at a stride of its own.
      features: {name: array} of the backbone.
      main_stride, auxiliary_stride: in pixels of the picture.
    """

    main: jax.Array
    auxiliary: jax.Array
    features: dict[str, jax.Array]
    main_stride: int = flax.struct.field(pytree_node=False)
    auxiliary_stride: int = flax.struct.field(pytree_node=False)

    def log_probabilities(self, size: tuple[int, int]) -> dict[str, jax.Array]:
        """{'auxiliary', 'main': log-probabilities [B, height, width, classes]} at picture size."""
        return {
            "auxiliary": log_probabilities(self.auxiliary, size, self.auxiliary_stride),
            "main": log_probabilities(self.main, size, self.main_stride),
        }


class Segmenter(nn.Module):
    """Pictures uint8 [B, H, W, 3] RGB to Heads.

    Where '' or 0 is given the backbone's own value is put in.

    Attributes:
      arch: a key of backbones.BACKBONES.
      num_classes: 19 for Cityscapes.
      width: multiplies all channel counts.
      auxiliary_tap, main_tap: names of the features under the two heads.
      normaliser: a key of preprocessing.NORMALISERS: that of the trunk's weights.
      output_stride: one that the backbone offers.
      decoder: one of backbones.DECODERS.
      spec: the backbone that `arch` names now, and no argument: a module whose backbone has been registered anew since
        (a notebook's cell) is another one, for which jax compiles anew.
    """

    arch: str
    num_classes: int
    width: float = 1.0
    auxiliary_tap: str = ""
    normaliser: str = ""
    main_tap: str = ""
    output_stride: int = 0
    decoder: str = ""
    spec: Backbone | None = None

    def __post_init__(self):
        spec = self.spec or BACKBONES[self.arch]
        object.__setattr__(self, "spec", spec)
        own = {name: getattr(spec, name) for name in ("auxiliary_tap", "main_tap", "normaliser")}
        for name, value in {**own, "output_stride": spec.output_strides[0], "decoder": spec.own_decoder}.items():
            object.__setattr__(self, name, getattr(self, name) or value)
        super().__post_init__()

    def setup(self):
        self.base = self.spec.build(self.width, self.output_stride)
        self.seg1, self.seg2, self.seg1_skip = (self._head() for _ in range(3))

    def __call__(self, images: jax.Array, *, train: bool, normaliser: str = "", dtype=jnp.float32) -> Heads:
        """`normaliser` takes the place of the network's own; `dtype` is that of the normalised pictures."""
        return self.heads(NORMALISERS[normaliser or self.normaliser](images, dtype), train=train)

    def heads(self, x: jax.Array, *, train: bool) -> Heads:
        """Of pictures [B, H, W, 3] that are normalised already."""
        features = {feature.name: feature for feature in self.base(x, train=train)}
        main, auxiliary = features[self.main_tap], features[self.auxiliary_tap]
        logits, stride = self._with_skip(self.seg1(main.array), main.stride, features)
        return Heads(
            main=logits,
            auxiliary=self.seg2(auxiliary.array),
            features={name: feature.array for name, feature in features.items()},
            main_stride=stride,
            auxiliary_stride=auxiliary.stride,
        )

    def _with_skip(self, logits, stride, features):
        """(main logits, their stride): with the decoder 'skip' those of the shallower feature added, at its stride."""
        if self.decoder != SKIP:
            return logits, stride
        skip = features[self.spec.skip_tap]
        if stride > skip.stride:
            larger = resizing.upsample_aligned(widened(logits), stride // skip.stride)
            logits = resizing.crop(larger, skip.array.shape[1:3])
        return logits + self.seg1_skip(skip.array), skip.stride

    def _head(self):
        return nn.Conv(
            self.num_classes,
            (1, 1),
            kernel_init=nn.initializers.normal(0.01),
            promote_dtype=in_dtype_of_kernel,
            conv_general_dilated=convolution.conv_general_dilated,
        )


def forward(
    model: Segmenter,
    variables: dict,
    images: jax.Array,
    *,
    statistics: str = "running",
    precision: str = "float32",
    normaliser: str = "",
    groups: int = 1,
) -> tuple[Heads, dict]:
    """(Heads, new batch statistics) of a segmenter on uint8 pictures [B, H, W, 3] RGB.

    Args:
      variables: {'params', 'batch_stats'}.
      statistics: of batch norm: the 'running' ones, or those of this 'batch'; with 'running' they stay as they are.
      precision: what the network computes in, a key of precision.PRECISIONS.
      normaliser: takes the place of the network's own; '' for that.
      groups: equal parts of the batch, each with statistics of its own where they are those of the 'batch'.
    """
    how = {"statistics": statistics, "precision": precision, "normaliser": normaliser, "groups": groups}
    heads, updates = apply(model, variables, images, **how)
    return heads, updates.get("batch_stats", variables.get("batch_stats", {}))


def apply(
    model, variables, images, *, statistics, precision="float32", normaliser="", collections=(), groups=1, **more
):
    """As forward, with further collections and arguments of flax.linen.Module.apply; gives all changed collections."""
    if statistics not in STATISTICS:
        raise ValueError(f"statistics={statistics!r}: expected one of {', '.join(STATISTICS)}")
    params = variables.get("params", {})
    # The reference subtracts the mean in the network's dtype; without any parameter there is none to follow.
    dtype = next((leaf.dtype for leaf in jax.tree.leaves(params)), jnp.float32)
    with batch_norm.in_groups(groups):
        return model.apply(
            variables | {"params": computing_params(params, precision)},
            images,
            train=statistics == "batch",
            normaliser=normaliser,
            dtype=dtype,
            mutable=["batch_stats", *collections],
            **more,
        )


def block_by_block(run: Callable) -> Callable:
    """`run`, which runs a segmenter; of its backbone what blocks give stays for the way back, the rest is run again.

    A block is a module of modules, without parameters of its own, that gives one array: the residual blocks and plain
    layers of every backbone.
    """

    def named(*given):
        with nn.intercept_methods(_naming_blocks):
            return run(*given)

    return jax.checkpoint(named, policy=jax.checkpoint_policies.save_only_these_names(_BLOCK))


def _naming_blocks(call, args, kwargs, context):
    given = call(*args, **kwargs)
    parameters = context.module.variables.get("params", {}).values()
    composed = parameters and all(isinstance(of, Mapping) for of in parameters)
    return checkpoint_name(given, _BLOCK) if composed and isinstance(given, jax.Array) else given


def log_probabilities(logits: jax.Array, size: tuple[int, int], stride: int) -> jax.Array:
    """Logits [B, h, w, C] at a stride to log-probabilities [B, height, width, C] at picture size.

    Bilinear with aligned corners by that factor, cropped to the picture, then log-softmax over classes, in float32 at
    least.
    """
    full = resizing.crop(resizing.upsample_aligned(widened(logits), stride), size)
    return jax.nn.log_softmax(full, axis=-1)


def log_probabilities_of_rows(logits: jax.Array, size: tuple[int, int], stride: int, start, count: int) -> jax.Array:
    """[B, count, width, C]: `count` rows of log_probabilities from `start` on, and nothing else is computed."""
    found = resizing.upsample_aligned_rows(widened(logits), stride, start, count)
    return jax.nn.log_softmax(found[:, :, : size[1]], axis=-1)


def init_key(seed: int, role: str) -> jax.Array:
    """The key from which the weights of a role ('student', 'teacher', 'discriminator/main') start."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(role.encode()))


def init_segmenter(model: Segmenter, seed: int, role: str) -> dict:
    """{'params', 'batch_stats'} of a segmenter; a pure function of (model, seed, role)."""
    return _compiled_init(model, init_key(seed, role))


def init_variables(model: Segmenter, key: jax.Array) -> dict:
    """{'params', 'batch_stats'} from a key, to be traced."""
    variables = model.init(key, jnp.zeros((1, 32, 32, 3), jnp.uint8), train=False)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


_compiled_init = jax.jit(init_variables, static_argnames=("model",))


@functools.cache
def shapes_of(model: Segmenter) -> dict:
    """{'params', 'batch_stats'} of jax.ShapeDtypeStruct, to be read alone; the network is traced once."""
    return jax.eval_shape(lambda: init_variables(model, init_key(0, "")))


def blank_segmenter(model: Segmenter) -> dict:
    """{'params', 'batch_stats'} of zeros, to be filled from a file; compiles nothing."""
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes_of(model))
