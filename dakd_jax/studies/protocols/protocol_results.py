"""From the matrix of finished networks to the input of its page."""

from collections.abc import Iterable, Mapping, Sequence

from ml_collections import ConfigDict

from dakd_jax.basics import records
from dakd_jax.evaluation.protocols import SMALL, scaled
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages.networks import Network
from dakd_jax.studies.protocols.protocol_tables import ProtocolStudy, ScoredNetwork
from dakd_jax.studies.protocols.store import MatrixStore


def study(
    config: ConfigDict,
    feed: TrainingData,
    stores: Mapping[tuple[int, int], MatrixStore],
    networks: Sequence[Network],
    name: str,
    command: str,
) -> ProtocolStudy:
    """Everything that the page of counted networks shows.

    Args:
      stores: where networks were counted, by their training size.
      name: of the config file.
      command: that makes the same again.
    """
    scored = [
        ScoredNetwork(one.name, one.title, stores[one.size].stored(one), stores[one.size].groups) for one in networks
    ]
    return ProtocolStudy(
        title=config.title or f"{name}: {feed.benchmark}",
        command=command,
        benchmark=feed.benchmark,
        metric=config.eval.metric,
        rows=next(iter(stores.values())).predictor.rows,
        networks=scored,
        notes=_notes(config, feed, stores),
        record=records.environment()
        | {"config": records.plain(config), "networks": {one.name: one.hash for one in networks}},
    )


def _notes(config: ConfigDict, feed: TrainingData, training_sizes: Iterable[tuple[int, int]]) -> list[str]:
    notes = []
    for width, height in training_sizes:
        sizes = ", ".join("{}x{}".format(*scaled((width, height), scale)) for scale in config.eval.scales)
        notes.append(f"The training size is {width}x{height}; the scales make it {sizes}.")
    if problem := feed.instances_problem():
        notes.append(f"No instance-weighted scores: {problem}.")
    else:
        small = "x".join(map(str, SMALL))
        notes.append(f"Instance-weighted scores exist at native size only: not where labels are compared at {small}.")
    return notes
