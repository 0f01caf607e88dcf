"""What finished networks make of the pictures of target val, each by itself."""

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np

from dakd_jax.evaluation import metrics, predict
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.studies.pictures import Shown

Networks = Mapping[str, tuple[Segmenter, dict]]  # name to the network and its weights


@functools.partial(jax.jit, static_argnames=("num_classes",))
def _count_each(labels, predictions, *, num_classes):
    """int32 [B, C, C] of labels and predictions [B, H, W]."""

    def count(label, prediction):
        return metrics.confusion_matrix(label[None], prediction[None], num_classes=num_classes)

    return jax.vmap(count)(labels, predictions)


def _predict(model: Segmenter, variables: dict, images, size: tuple[int, int], rules: predict.Protocol):
    how = {"normaliser": rules.normaliser, "statistics": rules.statistics}
    return predict.predict(variables, images, model=model, size=size, **how)


def score(
    networks: Networks,
    batches: Iterable[dict],
    rules: predict.Protocol,
    *,
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """One pass over `batches` (image, label, mask, names) with all networks; no prediction is kept.

    Args:
      on_batch: told the number of pictures of each batch.

    Returns:
      N names, and {network: int64 [N, C, C] indexed [picture, label, prediction]}.
    """
    names: list[str] = []
    counted: dict[str, list[np.ndarray]] = {name: [] for name in networks}
    networks = {name: (model, jax.device_put(variables)) for name, (model, variables) in networks.items()}
    for batch in batches:
        labels, mask = batch["label"], batch["mask"]
        for name, (model, variables) in networks.items():
            predictions = _predict(model, variables, batch["image"], labels.shape[1:], rules)
            counted[name].append(np.asarray(_count_each(labels, predictions, num_classes=model.num_classes))[mask])
        names += itertools.compress(batch["names"], mask)
        on_batch(int(mask.sum()))
    return tuple(names), {name: np.concatenate(parts).astype(np.int64) for name, parts in counted.items()}


def predict_pictures(
    networks: Networks, pictures: Sequence[tuple], rules: predict.Protocol, *, batch_size: int
) -> list[Shown]:
    """Predictions of some pictures, as `score` made and counted them: in batches of the same shape.

    Args:
      pictures: (name, image uint8 [h, w, 3], label uint8 [H, W]); images of one size.
      batch_size: of the pass.
    """
    found = []
    for size, same in itertools.groupby(pictures, key=lambda picture: picture[2].shape):
        while group := list(itertools.islice(same, batch_size)):
            images = np.zeros((batch_size, *group[0][1].shape), np.uint8)
            images[: len(group)] = [image for _, image, _ in group]
            maps = {
                name: np.asarray(_predict(model, variables, images, size, rules))
                for name, (model, variables) in networks.items()
            }
            found += [
                Shown(*picture, {name: of_all[i] for name, of_all in maps.items()}) for i, picture in enumerate(group)
            ]
    return found
