"""What is written of a picture or of a film's frame, from what the networks say of it."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from dakd_jax.deploy import full_size
from dakd_jax.deploy.full_size import Answers
from dakd_jax.deploy.network import ReadyNetwork
from dakd_jax.deploy.predicting import answer_files

GAP = 4  # pixels between two pictures side by side


def network_inputs(networks: Sequence[ReadyNetwork], picture: Image.Image) -> tuple[np.ndarray, ...]:
    """An upright RGB picture as each network wants it, uint8 [h, w, 3]."""
    return tuple(network.network_input(picture) for network in networks)


def said(networks: Sequence[ReadyNetwork], inputs: Sequence[np.ndarray], size, kinds) -> list[Answers]:
    """All that `kinds` need of the first network, and the labels of another one.

    Args:
      inputs: one picture's, for each network.
      size: (width, height) of the picture.
    """
    what = [full_size.LABELS] + [full_size.CONFIDENCE] * (answer_files.CONFIDENCE in kinds)
    return [
        network.answers([pixels], [size[::-1]], what if network is networks[0] else what[:1])[0]
        for network, pixels in zip(networks, inputs, strict=True)
    ]


def arrays(networks, pixels: np.ndarray, found: Sequence[Answers], kinds) -> dict[str, np.ndarray]:
    """What is written of a picture, by kind.

    Args:
      pixels: uint8 [H, W, 3] RGB.
      found: what `said` says.
    """
    labels = found[0][full_size.LABELS]
    over = [network.overlay(pixels, one[full_size.LABELS]) for network, one in zip(networks, found, strict=True)]
    make: dict[str, Callable[[], np.ndarray]] = {
        answer_files.LABELS: lambda: labels,
        answer_files.COLOURS: lambda: networks[0].palette(labels),
        answer_files.OVERLAYS: lambda: over[0],
        answer_files.CONFIDENCE: lambda: found[0][full_size.CONFIDENCE],
        answer_files.BESIDE: lambda: side_by_side(*over),
    }
    return {kind: make[kind]() for kind in kinds}


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two uint8 [H, W, 3] as one, with a white line between them."""
    return np.concatenate([left, np.full((len(left), GAP, 3), 255, np.uint8), right], axis=1)
