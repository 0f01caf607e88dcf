"""Pastes classes of a labelled source picture onto a target picture.

ClassMix (Olsson et al., WACV 2021) between domains, as in DACS (Tranheden et al., WACV 2021): half of the classes of
the source's label. Void is no class here and is never pasted.
"""

import numpy as np

from data_pipelines.augmentation import photometric
from data_pipelines.reading.label_spaces import IGNORE_LABEL
from data_pipelines.reading.loading import resize


def mix(
    source_image: np.ndarray, source_label: np.ndarray, target_image: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pastes a random half of the source's classes, rounded up, each with all of its pixels.

    Args:
      source_image: uint8 [H, W, 3]; resized (bicubic) to the target's size where that differs.
      source_label: uint8 [H, W] of train ids, 255 = void; resized (nearest). Classes count as they are after that.
      target_image: uint8 [H', W', 3], left as it is.
      rng: one raw number per class of the source is drawn.

    Returns:
      the mixed picture uint8 [H', W', 3] and uint8 [H', W']: the train id where a source pixel was pasted, 255
      elsewhere. A source that is all void pastes nothing.
    """
    size = (target_image.shape[1], target_image.shape[0])
    image, label = resize(source_image, size, "bicubic"), resize(source_label, size, "nearest")
    return _paste(image, label, target_image, _half(_classes(label), rng))


def mix_alike(
    source_image: np.ndarray, source_label: np.ndarray, target_image: np.ndarray, target_label: np.ndarray
) -> np.ndarray:
    """The picture of `mix` at another size.

    Args:
      source_image, source_label, target_image: as mix's, of that other size.
      target_label: uint8 [h, w] that `mix` gave: its classes are pasted.
    """
    size = (target_image.shape[1], target_image.shape[0])
    image, label = resize(source_image, size, "bicubic"), resize(source_label, size, "nearest")
    return _paste(image, label, target_image, _classes(target_label))[0]


def strongly_mixed(
    source_image: np.ndarray,
    source_label: np.ndarray,
    target_image: np.ndarray,
    rng: np.random.Generator,
    *,
    colour_jitter: tuple[float, ...],
    jitter_probability: float,
    blur: tuple[float, float],
    blur_probability: float,
) -> tuple[np.ndarray, np.ndarray]:
    """As `mix`; the mixture is then, each with its probability, jittered in its colours and blurred.

    Args:
      colour_jitter: see photometric.colour_jitter.
      blur: range of the Gaussian's sigma, pixels.
    """
    image, label = mix(source_image, source_label, target_image, rng)
    jitters, blurs, sigma = rng.random(3)
    if jitters < jitter_probability:
        image = photometric.colour_jitter(image, tuple(colour_jitter), rng)
    if blurs < blur_probability:
        image = photometric.gaussian_blur(image, blur[0] + sigma * (blur[1] - blur[0]))
    return image, label


def _paste(image, label, target_image, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`mix` of pictures and label of one size, for the classes that were chosen."""
    pasted_as = np.full(256, IGNORE_LABEL, np.uint8)
    pasted_as[chosen] = chosen
    target_label = pasted_as[label]
    return np.where(target_label[..., None] != IGNORE_LABEL, image, target_image), target_label


def _classes(label: np.ndarray) -> np.ndarray:
    """The train ids that occur in a label, sorted, without void."""
    present = np.flatnonzero(np.bincount(label.ravel(), minlength=256))
    return present[present != IGNORE_LABEL]


def _half(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random half of the classes, rounded up, every such half as likely as any other."""
    # Raw bits stay the same under every numpy, which is not promised of Generator.choice.
    order = np.argsort(rng.bit_generator.random_raw(len(classes)), kind="stable")
    return classes[order[: (len(classes) + 1) // 2]]
