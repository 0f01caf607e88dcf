"""From a network and labelled pictures to a confusion matrix, under a named protocol."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import metrics
from dakd_jax.models import resizing
from dakd_jax.models.segmenter import Heads, Segmenter, forward, log_probabilities

Networks = Mapping[str, tuple[Segmenter, dict]]  # name to the network and its weights

# Raise it when the code changes the numbers of an unchanged protocol, here or in protocols/, or what the classes are:
# all that is kept of evaluations is then made anew.
NUMERICS_VERSION = 1

_COUNTED = ""  # no picture's name


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How pictures go in and labels are compared.

    Attributes:
      normaliser: a key of preprocessing.NORMALISERS; '' = the network's own.
      resample: Pillow filter that resizes the picture to the network's size.
      image_size: (width, height) of the network's input; None = the training size of the target.
      label_size: (width, height) that labels are compared at; None = native.
      statistics: 'running', or those of each single picture ('picture').
    """

    normaliser: str = ""
    resample: str = "bicubic"
    image_size: tuple[int, int] | None = None
    label_size: tuple[int, int] | None = None
    statistics: str = "running"

    @property
    def how(self) -> dict[str, str]:
        """Arguments of `predict`."""
        return {"normaliser": self.normaliser, "statistics": self.statistics}


PROTOCOLS = {
    "native": Protocol(),
    "native_picture_statistics": Protocol(statistics="picture"),
    # The evaluation script of the released code: another input than in training, batch norm in train mode.
    "released": Protocol("rgb_unit", "bilinear", (1024, 512), (1024, 512), "picture"),
}


def protocol(name: str) -> Protocol:
    """The protocol called `name`; UserError lists the known ones."""
    if name not in PROTOCOLS:
        raise UserError(f"config.eval.protocol={name!r}: expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def resized_log_probabilities(variables, images, *, model, size, normaliser="", statistics="running") -> jax.Array:
    """Log-probabilities of the main head at any size, not normalised again after resizing; arguments as `predict`.

    Those at picture size (aligned corners), resized bilinearly with half-pixel centres.

    Returns:
      float32 [B, height, width, C].
    """

    def heads(batch) -> Heads:
        how = {"statistics": "batch" if statistics == "picture" else statistics, "normaliser": normaliser}
        return forward(model, variables, batch, **how)[0]

    # Under 'picture' each one is normalised by itself, whatever batch it travels in.
    if statistics == "picture":
        logits = jax.lax.map(lambda image: heads(image[None]).main[0], images)
        stride = jax.eval_shape(heads, images[:1]).main_stride
    else:
        found = heads(images)
        logits, stride = found.main, found.main_stride
    return resizing.resize_half_pixel(log_probabilities(logits, images.shape[1:3], stride), size)


@functools.partial(jax.jit, static_argnames=("model", "normaliser", "statistics", "size"))
def predict(
    variables: dict,
    images: jax.Array,
    *,
    model: Segmenter,
    size: tuple[int, int],
    normaliser: str = "",
    statistics: str = "running",
) -> jax.Array:
    """Most likely class of the main head at any size: where `resized_log_probabilities` is largest.

    Args:
      images: uint8 [B, h, w, 3] RGB.
      size: (height, width) of the answer.

    Returns:
      uint8 [B, height, width].
    """
    how = {"model": model, "size": size, "normaliser": normaliser, "statistics": statistics}
    return jnp.argmax(resized_log_probabilities(variables, images, **how), axis=-1).astype(jnp.uint8)


@functools.partial(jax.jit, static_argnames=("num_classes",))
def _count_each(labels, predictions, *, num_classes):
    """int32 [B, C, C] of labels and predictions [B, H, W]."""

    def count(label, prediction):
        return metrics.confusion_matrix(label[None], prediction[None], num_classes=num_classes)

    return jax.vmap(count)(labels, predictions)


class Alone:
    """Who makes one pass over pictures: this process, on one device. training/runtime/sharding.py: Devices is another.

    Attributes:
      host: (index, number) of this process, of those that share the pictures.
    """

    host = (0, 1)

    def place(self, variables: dict, batches: Iterable[dict]) -> tuple[dict, Iterable[dict]]:
        """The weights and batches as the devices take them."""
        return variables, batches

    def gathered(self, arrays: dict[str, np.ndarray] | None) -> list[dict[str, np.ndarray]]:
        """The arrays of every process, in their order; called with None by one that gives up."""
        return [arrays]


ALONE = Alone()


def gathered_by(among: Alone, count: Callable[[], dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """What `count` gives in every process, in their order; what it raises lets the others know."""
    try:
        found = count()
    except BaseException:
        among.gathered(None)
        raise
    return among.gathered(found)


class PictureCounts(NamedTuple):
    """What one pass counted of N pictures.

    Attributes:
      names: of the pictures, in order.
      confusions: {network: int64 [N, C, C] indexed [picture, label, prediction]}.
      kept: {picture: {network: uint8 [H, W]}} of the pictures that were asked for.
    """

    names: tuple[str, ...]
    confusions: dict[str, np.ndarray]
    kept: dict[str, dict[str, np.ndarray]]


def count_pictures(
    networks: Networks,
    batches: Iterable[dict],
    rules: Protocol,
    *,
    keep: frozenset[str] = frozenset(),
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> PictureCounts:
    """One pass over `batches` (image, label, mask, names) with all networks, each picture counted by itself.

    Args:
      keep: names of the pictures whose predictions are kept.
      on_batch: told the number of pictures of each batch; what it raises ends the pass.
    """
    networks = {name: (model, jax.device_put(variables)) for name, (model, variables) in networks.items()}
    counted = {
        name: [np.zeros((0, model.num_classes, model.num_classes), np.int64)] for name, (model, _) in networks.items()
    }
    names, kept = [], {}
    for batch in batches:
        labels, mask = batch["label"], np.asarray(batch["mask"])
        for network, (model, variables) in networks.items():
            found = predict(variables, batch["image"], model=model, size=labels.shape[1:], **rules.how)
            counted[network].append(np.asarray(_count_each(labels, found, num_classes=model.num_classes))[mask])
            for i, name in enumerate(batch["names"]):
                if name in keep:
                    kept.setdefault(name, {})[network] = np.asarray(found[i])
        names += itertools.compress(batch["names"], mask)
        on_batch(int(np.sum(mask)))
    confusions = {network: np.concatenate(parts).astype(np.int64) for network, parts in counted.items()}
    return PictureCounts(tuple(names), confusions, kept)


def evaluate(
    model: Segmenter, variables: dict, batches, rules: Protocol, *, among: Alone = ALONE, **how
) -> tuple[np.ndarray, dict]:
    """One pass over `batches` with one network; arguments as `count_pictures`.

    Args:
      among: who makes it; `batches` are those of this process.

    Returns:
      (confusion int64 [C, C] indexed [label, prediction], {name: uint8 [H, W]} of the pictures to keep), of all.
    """
    # Under 'picture' the pictures of a batch come one after the other: several devices would wait for each other.
    if rules.statistics != "picture":
        variables, batches = among.place(variables, batches)

    def count() -> dict[str, np.ndarray]:
        found = count_pictures({"": (model, variables)}, batches, rules, **how)
        return {_COUNTED: found.confusions[""].sum(axis=0)} | {name: maps[""] for name, maps in found.kept.items()}

    parts = gathered_by(among, count)
    confusion = sum(part.pop(_COUNTED) for part in parts)
    return confusion, {name: kept for part in parts for name, kept in part.items()}
