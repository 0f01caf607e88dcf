"""A finished network that is ready to be used; `dakd_jax.load` makes it."""

import contextlib
import functools
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from dakd_jax.basics import palette
from dakd_jax.basics.errors import UserError
from dakd_jax.deploy import full_size
from dakd_jax.deploy.finding import Found
from dakd_jax.deploy.full_size import LABELS, PROBABILITIES, Answers
from dakd_jax.evaluation import predict
from dakd_jax.stages import weights
from data_pipelines.pictures import films, handed_in

RULES = predict.PROTOCOLS["native"]
TOGETHER = 4  # pictures that predict_batch hands to the network at once

Picture = str | os.PathLike | Image.Image | np.ndarray  # a path, one of Pillow's, uint8 [H, W, 3] RGB


class PredictedFrame(NamedTuple):
    """A frame of a film.

    Attributes:
      time: seconds since the first one.
      picture: uint8 [H, W, 3] RGB, upright.
      labels: uint8 [H, W].
    """

    time: float
    picture: np.ndarray
    labels: np.ndarray


class LoadedNetwork:
    """A network with its weights.

    Pictures are paths, Pillow's, or uint8 [H, W, 3] RGB, of any size; a file is read upright, by its EXIF orientation.
    Answers have the size of the upright picture, and are those of evaluation under the protocol 'native'.

    Attributes:
      classes: their names, in the order of the labels.
      colours: uint8 [C, 3] RGB, of each class.
      size: (width, height) that pictures are resized to.
      licences: {data set: its licence in a line, None where that is unknown} of what it was trained on.
    """

    def __init__(self, found: Found):
        self.found, self.model, self.size = found, found.model, found.size
        self.classes, self.colours, self.licences = found.classes, found.colours, found.licences
        self._variables = jax.device_put(weights.load(found.place, found.model))

    def __repr__(self) -> str:
        network, (width, height) = self.model, self.size
        return (
            f"{network.arch} x{network.width:g}, {len(self.classes)} classes, {width}x{height}, of {self.found.place}"
        )

    def predict(self, picture: Picture) -> np.ndarray:
        """The most likely class of each pixel, uint8 [H, W].

        Raises:
          ValueError: the picture cannot be read, in one line.
        """
        return self._answer(picture, LABELS)

    def predict_batch(self, pictures: Iterable[Picture]) -> list[np.ndarray]:
        """As predict, of each of several pictures, which may differ in size."""
        found, waiting = [], []
        for picture in pictures:
            waiting.append(self._opened(picture))
            if len(waiting) == TOGETHER:
                found += self._labels_of(waiting)
                waiting = []
        return found + [labels for one in waiting for labels in self._labels_of([one])]

    def predict_film(self, film: films.Source) -> Iterator[PredictedFrame]:
        """Frame by frame, as predict; warns at the end of what could not be read.

        Args:
          film: a path, the bytes of a film, or an open file of bytes.

        Raises:
          ValueError: the film cannot be read, in one line.
        """
        found = films.open_film(film)
        with contextlib.closing(found.frames()) as frames:
            for time, picture in frames:
                yield PredictedFrame(float(time), picture, self.predict(picture))
            if frames.lost:
                warnings.warn(f"{found.name}: {frames.lost}", stacklevel=2)

    def probabilities(self, picture: Picture) -> np.ndarray:
        """Of each class at each pixel, float32 [H, W, C]: 4 C bytes a pixel."""
        return self._answer(picture, PROBABILITIES)

    def palette(self, labels: np.ndarray) -> np.ndarray:
        """Labels [H, W] in the colours of their classes, uint8 [H, W, 3]; what is no class is black."""
        return palette.colourise(labels, self.colours)

    def overlay(self, picture: Picture, labels: np.ndarray) -> np.ndarray:
        """The picture with the colours of its labels over it, half and half, uint8 [H, W, 3]."""
        pixels, labels = np.asarray(self._opened(picture)), np.asarray(labels)
        if pixels.shape[:2] != labels.shape:
            raise UserError(
                f"the picture is {pixels.shape[1]}x{pixels.shape[0]} (width x height) and its labels are of the shape "
                f"{list(labels.shape)}; hand in what predict says of this picture"
            )
        return ((pixels.astype(np.uint16) + self.palette(labels) + 1) // 2).astype(np.uint8)

    def network_input(self, picture: Image.Image) -> np.ndarray:
        """An upright RGB picture at the network's size, uint8 [h, w, 3]."""
        return handed_in.resized(picture, self.size, RULES.resample)

    def answers(self, inputs: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], what) -> list[Answers]:
        """What is asked for of each of some network_inputs.

        Args:
          sizes: (height, width) of their pictures.
          what: as of full_size.answers.
        """
        values = _log_probabilities(self._variables, np.stack(inputs), model=self.model)
        return [full_size.answers(of_one, size, what) for of_one, size in zip(values, sizes, strict=True)]

    def _opened(self, picture: Picture) -> Image.Image:
        return handed_in.upright(picture, self.found.bit_depth)

    def _answer(self, picture: Picture, what: str) -> np.ndarray:
        opened = self._opened(picture)
        return self.answers([self.network_input(opened)], [opened.size[::-1]], [what])[0][what]

    def _labels_of(self, pictures: list[Image.Image]) -> list[np.ndarray]:
        sizes = [picture.size[::-1] for picture in pictures]
        return [found[LABELS] for found in self.answers([*map(self.network_input, pictures)], sizes, [LABELS])]


@functools.partial(jax.jit, static_argnames=("model",))
def _log_probabilities(variables, images, *, model):
    """Float32 [B, h, w, C] of uint8 pictures [B, h, w, 3], at their size."""
    return predict.resized_log_probabilities(variables, images, model=model, size=images.shape[1:3], **RULES.how)
