"""What networks say of one picture, and all that the page shows and hands out of it."""

import dataclasses
import functools
import io
import re
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from dakd_jax.basics.errors import UserError
from dakd_jax.deploy.full_size import LABELS
from dakd_jax.deploy.network import ReadyNetwork
from dakd_jax.deploy.predicting.answers import network_inputs, said
from data_pipelines.pictures import handed_in

VIEW = 2048  # pixels of the longer side of what the page shows; what it hands out is not made smaller
KINDS = ("labels", "colours", "overlay")
_NO_CLASS = 255
_QUALITY = 95  # of JPEG, at which no edge shows
_LITTLE_COMPRESSION = 1


@dataclasses.dataclass(frozen=True)
class Answer:
    """Of one picture.

    Attributes:
      pixels: uint8 [H, W, 3], upright.
      labels: of each network, uint8 [H, W].
    """

    pixels: np.ndarray
    labels: tuple[np.ndarray, ...]

    @property
    def num_bytes(self) -> int:
        """Of its arrays."""
        return self.pixels.nbytes + sum(labels.nbytes for labels in self.labels)

    @functools.cached_property
    def view_size(self) -> tuple[int, int]:
        """(width, height) of what the page shows."""
        height, width = self.pixels.shape[:2]
        shrink = min(1, VIEW / max(width, height))
        return max(1, round(width * shrink)), max(1, round(height * shrink))

    def view(self) -> bytes:
        """The picture as JPEG, of view_size."""
        picture = Image.fromarray(self.pixels)
        if picture.size != self.view_size:
            picture = picture.resize(self.view_size, Image.Resampling.BOX)
        return _encoded(picture, "jpeg", quality=_QUALITY, subsampling=0)

    def view_labels(self, number: int) -> bytes:
        """Labels of a network, a byte for each pixel of view_size: those of the nearest pixels."""
        width, height = self.view_size
        labels = self.labels[number]
        rows, columns = (
            (np.arange(there) * 2 + 1) * size // (2 * there)
            for there, size in zip((height, width), labels.shape, strict=True)
        )
        return labels[rows[:, None], columns].tobytes()

    def file(self, network: ReadyNetwork, number: int, kind: str) -> bytes:
        """A PNG of one of KINDS at the size of the picture, of the network of that number."""
        make: dict[str, Callable[[], np.ndarray]] = {
            "labels": lambda: self.labels[number],
            "colours": lambda: network.palette(self.labels[number]),
            "overlay": lambda: network.overlay(self.pixels, self.labels[number]),
        }
        return _encoded(Image.fromarray(make[kind]()), "png", compress_level=_LITTLE_COMPRESSION)

    def told(self, networks: Sequence[ReadyNetwork]) -> dict:
        """Sizes, the pixels of each class for each network, and the share at which two networks differ."""
        areas = [
            np.bincount(labels.ravel(), minlength=len(network.classes)).tolist()
            for network, labels in zip(networks, self.labels, strict=True)
        ]
        height, width = self.pixels.shape[:2]
        return {"size": (width, height), "view": self.view_size, "areas": areas, "differing": self._differing(networks)}

    def _differing(self, networks: Sequence[ReadyNetwork]) -> float | None:
        if len(networks) < 2:
            return None
        first, second = self.labels
        return float(np.mean(first != common_labels(networks)[second]))


def common_labels(networks: Sequence[ReadyNetwork]) -> np.ndarray:
    """Of each label of the second network that of the class with this name in the first one, 255 for none; uint8 [256].

    Raises:
      UserError: they have no class in common.
    """
    first, second = (network.classes for network in networks)
    if not set(first) & set(second):
        raise UserError(f"{networks[0]} and {networks[1]} have no class in common; name another --beside")
    table = np.full(256, _NO_CLASS, np.uint8)
    table[: len(second)] = [first.index(name) if name in first else _NO_CLASS for name in second]
    return table


def of_picture(networks: Sequence[ReadyNetwork], content: bytes, name: str, most_pixels: int) -> Answer:
    """Of the content of a picture's file; of wide pictures as the first network has it. Raises DataError."""
    bit_depth = networks[0].bit_depth
    return of_pixels(networks, handed_in.upright_of_bytes(content, name, bit_depth=bit_depth, most_pixels=most_pixels))


def of_pixels(networks: Sequence[ReadyNetwork], picture: Image.Image) -> Answer:
    """Of an upright RGB picture."""
    found = said(networks, network_inputs(networks, picture), picture.size, KINDS)
    return Answer(np.asarray(picture), tuple(one[LABELS] for one in found))


def shown_name(name: str) -> str:
    """A file's name as it may be told: without folders, and what cannot be printed; it never leads anywhere."""
    last = re.split(r"[\\/]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable()).strip()[:100] or "the picture"


def _encoded(picture: Image.Image, kind: str, **how) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **how)
    return content.getvalue()
