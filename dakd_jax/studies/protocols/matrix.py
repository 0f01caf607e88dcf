"""One pass over labelled pictures that scores several networks under every protocol."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax
import numpy as np

from dakd_jax.evaluation import cityscapes_scores, metrics
from dakd_jax.evaluation.cityscapes_scores import Groups, InstanceCounts, Objects
from dakd_jax.evaluation.protocol_predictions import Predictor
from dakd_jax.models.segmenter import Segmenter

_count = jax.jit(metrics.confusion_matrix, static_argnames=("num_classes",))


@dataclasses.dataclass(eq=False)
class Counts:
    """What was counted of one network under one protocol.

    Attributes:
      confusion: int64 [C, C], indexed [label, prediction].
      instances: None where there are no instances, or labels are not compared at their native size.
    """

    confusion: np.ndarray
    instances: InstanceCounts | None

    def as_json(self, groups: Groups) -> dict:
        """All scores as fractions, None for NaN."""
        found = cityscapes_scores.scores(self.confusion, self.instances, groups)
        means = {f"mean_{name}": _none_if_nan(value) for name, value in found.means.items()}
        arrays = {name: getattr(found, name) for name in ("class_iiou", "category_iou", "category_iiou")}
        lists = {name: [_none_if_nan(value) for value in values] for name, values in arrays.items()}
        return {**metrics.scores(self.confusion).as_dict(), **means, **lists}


@dataclasses.dataclass(eq=False)
class Counted:
    """What was counted of one network so far.

    Attributes:
      pictures: how many, from the first one on.
      protocols: {protocol: Counts}.
    """

    pictures: int
    protocols: dict[str, Counts]


def nothing(predictor: Predictor, groups: Groups) -> Counted:
    """Of no picture yet."""
    size = len(groups.class_names)
    found = {
        name: Counts(np.zeros((size, size), np.int64), groups.counts() if row.label_size is None else None)
        for name, row in predictor.rows.items()
    }
    return Counted(0, found)


def score(
    networks: Mapping[str, tuple[Segmenter, dict]],
    batches: Iterable[dict],
    predictor: Predictor,
    groups: Groups,
    found: Mapping[str, Counted],
) -> Iterator[None]:
    """Counts everything in one pass; each picture that a network has not counted yet.

    Yields whenever a network has counted a batch, and `found` is whole.

    Args:
      networks: name to network and its weights; all of the classes of `groups`.
      batches: of data_pipelines/feeding/protocol_pictures.py, with the predictor's views and label sizes, from the
        first picture on that one of the networks lacks.
      found: of each network what was counted, by the same batches; grows in place.

    Raises:
      ValueError: a network's counts ended within a batch, so that pictures would count twice or not at all.
    """
    place = min(counted.pictures for counted in found.values())
    for batch in batches:
        objects = [None if one is None else Objects(one) for one in batch["instances"]]
        end = place + len(batch["names"])
        for name, (model, variables) in networks.items():
            if found[name].pictures >= end:  # before an earlier stop
                continue
            if found[name].pictures != place:
                raise ValueError(f"{name} was counted up to {found[name].pictures}, within {place} to {end}")
            for protocol, predictions in predictor.predictions(model, variables, batch):
                labels = batch["labels"][predictor.rows[protocol].label_size]
                _add(found[name].protocols[protocol], labels, predictions, objects, groups)
            found[name].pictures = end
            yield
        place = end


def _add(counts: Counts, labels, predictions: Sequence[np.ndarray], objects, groups: Groups) -> None:
    for label, prediction, of_picture in zip(labels, predictions, objects, strict=True):
        part = _count(label[None], prediction[None], num_classes=len(groups.class_names))
        counts.confusion += np.asarray(part, np.int64)
        if of_picture is None:
            counts.instances = None
        elif counts.instances is not None:
            counts.instances.add(of_picture, prediction, groups)


def _none_if_nan(value) -> float | None:
    return None if np.isnan(value) else float(value)
