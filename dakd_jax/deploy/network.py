"""What a finished network can be asked: labels, probabilities, colours, of pictures and films."""

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from dakd_jax.basics import palette
from dakd_jax.basics.errors import UserError
from dakd_jax.deploy.full_size import LABELS, PROBABILITIES, Answers
from dakd_jax.evaluation import predict
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


class ReadyNetwork:
    """What can be asked of a network, whatever computes it.

    Pictures are paths, Pillow's, or uint8 [H, W, 3] RGB, of any size; a file is read upright, by its EXIF orientation.
    Answers have the size of the upright picture, and are those of evaluation under the protocol 'native'.

    Attributes:
      classes: their names, in the order of the labels.
      colours: uint8 [C, 3] RGB, of each class.
      size: (width, height) that pictures are resized to.
      bit_depth: how many bits the values of wide pictures use, 0 for unknown.
      licences: {data set: its licence in a line, None where that is unknown} of what it was trained on.
    """

    classes: tuple[str, ...]
    colours: np.ndarray
    size: tuple[int, int]
    bit_depth: int
    licences: Mapping[str, str | None]

    def identity(self) -> dict:
        """All that its answers depend on, as plain data."""
        raise NotImplementedError

    def answers(self, inputs: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], what) -> list[Answers]:
        """What is asked for of each of some network_inputs.

        Args:
          sizes: (height, width) of their pictures.
          what: as of full_size.answers.
        """
        raise NotImplementedError

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
            waiting.append(self.upright(picture))
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
        pixels, labels = np.asarray(self.upright(picture)), np.asarray(labels)
        if pixels.shape[:2] != labels.shape:
            raise UserError(
                f"the picture is {pixels.shape[1]}x{pixels.shape[0]} (width x height) and its labels are of the shape "
                f"{list(labels.shape)}; hand in what predict says of this picture"
            )
        return ((pixels.astype(np.uint16) + self.palette(labels) + 1) // 2).astype(np.uint8)

    def network_input(self, picture: Image.Image, size: tuple[int, int] | None = None) -> np.ndarray:
        """An upright RGB picture at the network's size, or at another (width, height), uint8 [h, w, 3]."""
        return handed_in.resized(picture, size or self.size, RULES.resample)

    def upright(self, picture: Picture) -> Image.Image:
        """A picture as RGB, turned as it should be seen. Raises ValueError where it cannot be read."""
        return handed_in.upright(picture, self.bit_depth)

    def _answer(self, picture: Picture, what: str) -> np.ndarray:
        opened = self.upright(picture)
        return self.answers([self.network_input(opened)], [opened.size[::-1]], [what])[0][what]

    def _labels_of(self, pictures: list[Image.Image]) -> list[np.ndarray]:
        sizes = [picture.size[::-1] for picture in pictures]
        return [found[LABELS] for found in self.answers([*map(self.network_input, pictures)], sizes, [LABELS])]
