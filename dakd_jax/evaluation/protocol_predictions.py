"""A network's predictions under many protocols, from one batch of pictures."""

import functools
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.evaluation import predict
from dakd_jax.evaluation.protocols import Ensemble, NamedProtocol, SlidingWindow, scaled, window_starts
from dakd_jax.models.segmenter import Segmenter

RESAMPLE = "bicubic"  # of the inputs of ensembles, as in training


class Predictor:
    """Predicts under some protocols.

    Args:
      rows: the protocols by name.
      training_size: (width, height) of the networks' input in training.
    """

    def __init__(self, rows: Mapping[str, NamedProtocol], training_size: tuple[int, int]):
        self.rows, self._size = rows, tuple(training_size)

    @property
    def views(self) -> tuple:
        """((width, height), Pillow filter) of every picture that is wanted, each once."""
        wanted = []
        for row in self.rows.values():
            if isinstance(row.rules, predict.Protocol):
                wanted.append(self._view(row.rules))
            elif isinstance(row.rules, Ensemble):
                wanted += [self._scaled_view(scale) for scale in row.rules.scales]
        return tuple(dict.fromkeys(wanted))

    @property
    def label_sizes(self) -> tuple:
        """(width, height), or None for the native one, of all labels that are wanted, each once."""
        return tuple(dict.fromkeys(row.label_size for row in self.rows.values()))

    def _view(self, rules: predict.Protocol):
        return tuple(rules.image_size or self._size), rules.resample

    def _scaled_view(self, scale: float):
        return scaled(self._size, scale), RESAMPLE

    def predictions(self, model: Segmenter, variables: dict, batch: dict) -> Iterator[tuple[str, list[np.ndarray]]]:
        """What a network predicts for a batch.

        Args:
          batch: of data_pipelines/feeding/protocol_pictures.py, with self.views.

        Returns:
          (protocol, a list of uint8 [H, W], one for each picture, at the protocol's label size), protocol by protocol.
        """
        count, native = len(batch["names"]), tuple(batch["size"])
        by_picture = [self._averaged(model, variables, batch, i) for i in range(count)]
        for name, row in self.rows.items():
            if isinstance(row.rules, predict.Protocol):
                images, size = batch["views"][self._view(row.rules)], row.label_size and row.label_size[::-1]
                found = predict.predict(variables, images, model=model, size=size or native, **row.rules.how)
                yield name, list(np.asarray(found)[:count])
            else:
                yield name, [classes[name] for classes in by_picture]

    def _averaged(self, model, variables, batch, index: int) -> dict[str, np.ndarray]:
        """Predictions of one picture, uint8 [H, W], under every protocol that averages; each input runs once."""
        ensembles = {name: row.rules for name, row in self.rows.items() if isinstance(row.rules, Ensemble)}
        sums: dict[str, jax.Array] = {}
        inputs = {(s, m) for rules in ensembles.values() for s in rules.scales for m in {False, rules.mirror}}
        for scale, mirrored in sorted(inputs):
            image = batch["views"][self._scaled_view(scale)][index]
            found = probabilities(variables, image, model=model, size=tuple(batch["size"]), mirrored=mirrored)
            for name, rules in ensembles.items():
                if scale in rules.scales and (rules.mirror or not mirrored):
                    sums[name] = sums[name] + found if name in sums else found
        for name, row in self.rows.items():
            if isinstance(row.rules, SlidingWindow):
                picture = batch["pictures"][index]
                sums[name] = sliding_window(variables, picture, model=model, window=self._size[::-1])
        return {name: np.asarray(most_likely(total)) for name, total in sums.items()}


def probabilities(
    variables: dict, image: np.ndarray, *, model: Segmenter, size: tuple[int, int], mirrored: bool = False
) -> jax.Array:
    """Class probabilities of the main head; where one is largest is what evaluate.predict gives.

    Args:
      image: uint8 [h, w, 3] RGB.
      size: (height, width) of the answer.
      mirrored: whether the network sees the mirror image; the answer is mirrored back.

    Returns:
      float32 [height, width, C].
    """
    found = _probabilities(variables, image[:, ::-1] if mirrored else image, model=model, size=size)
    return found[:, ::-1] if mirrored else found


@functools.partial(jax.jit, static_argnames=("model", "size"))
def _probabilities(variables, image, *, model, size):
    found = predict.resized_log_probabilities(variables, image[None], model=model, size=size)
    return jax.nn.softmax(found, axis=-1)[0]


def sliding_window(variables: dict, picture: np.ndarray, *, model: Segmenter, window: tuple[int, int]) -> jax.Array:
    """Sums of the class probabilities of all windows, float32 [H, W, C]; at each pixel over the same number for all C.

    Args:
      picture: uint8 [H, W, 3] RGB.
      window: (height, width); a side that is longer than the picture's is cut to it.
    """
    sides = tuple(map(min, window, picture.shape[:2]))
    total = jnp.zeros((*picture.shape[:2], model.num_classes), jnp.float32)
    picture = jnp.asarray(picture)
    for top in window_starts(picture.shape[0], sides[0]):
        for left in window_starts(picture.shape[1], sides[1]):
            total = _add_window(total, variables, picture, (top, left), model=model, sides=sides)
    return total


@functools.partial(jax.jit, static_argnames=("model", "sides"), donate_argnames=("total",))
def _add_window(total, variables, picture, corner, *, model, sides):
    image = jax.lax.dynamic_slice(picture, (*corner, 0), (*sides, picture.shape[-1]))
    found = jnp.exp(predict.resized_log_probabilities(variables, image[None], model=model, size=sides))[0]
    before = jax.lax.dynamic_slice(total, (*corner, 0), found.shape)
    return jax.lax.dynamic_update_slice(total, before + found, (*corner, 0))


@jax.jit
def most_likely(sums: jax.Array) -> jax.Array:
    """Class with the largest sum of probabilities, [H, W, C] to uint8 [H, W]; of equal ones the first."""
    return jnp.argmax(sums, axis=-1).astype(jnp.uint8)
