"""The matrix of finished networks: counted once in one pass for all, which goes on where it was stopped."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from dakd_jax.basics import records
from dakd_jax.basics.progress import StageProgress
from dakd_jax.evaluation import predict
from dakd_jax.evaluation.cityscapes_scores import Groups
from dakd_jax.evaluation.evaluation_store import EvaluationSettings
from dakd_jax.evaluation.protocol_predictions import Predictor
from dakd_jax.evaluation.protocols import NamedProtocol
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages.networks import Network
from dakd_jax.studies.protocols import cost, matrix
from dakd_jax.studies.protocols.kept_counts import KeptCounts
from dakd_jax.studies.protocols.matrix import Counted, Counts
from dakd_jax.training.runtime.interruption import Stopped, StopRequest

KEEP_SECONDS = 60.0  # between two writings of what was counted: so much a SIGKILL may lose


class MatrixStore:
    """Scores networks on target val under every protocol.

    Args:
      settings: how.
      feed: the data.
      rows: the protocols by name.
      clock: seconds.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        feed: TrainingData,
        rows: dict[str, NamedProtocol],
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.groups = Groups(feed.class_names, feed.categories, feed.mean_instance_sizes)
        self.predictor = Predictor(rows, settings.training_size)
        self._settings, self._feed, self._console, self._clock = settings, feed, console, clock
        self._files = KeptCounts(self._rules(), tuple(rows), self.groups, settings.batch_size)

    def _rules(self) -> dict:
        """All that the counts depend on but the network, as plain data."""
        return records.plain(
            {
                "numerics": predict.NUMERICS_VERSION,
                "protocols": {name: dataclasses.asdict(row.rules) for name, row in self.predictor.rows.items()},
                "training_size": self._settings.training_size,
                "data": self._feed.protocol_fingerprint(),
            }
        )

    def stored(self, network: Network) -> dict[str, Counts]:
        """{protocol: Counts} of a network that was counted."""
        return self._files.finished(network)

    def ensure(self, networks: Sequence[Network]) -> None:
        """Counts what is not stored yet, in one pass for all networks, from where an earlier one was stopped.

        Raises:
          Stopped: by a signal; what was counted is kept.
        """
        missing = []
        for network in networks:
            if (counts := self._files.finished(network)) is None:
                missing.append(network)
            else:
                self._files.mend(network, counts)
        if not missing:
            return
        with StopRequest() as stop:
            found, took = self._count(missing, stop)
            for network in missing:
                self._files.keep(network, found[network.name].protocols, took)
        if stop.made:
            raise Stopped(stop.made)

    def _count(self, missing: Sequence[Network], stop: StopRequest) -> tuple[dict[str, Counted], dict]:
        """(what was counted by the name of the network, what it took)."""
        begun = {network.name: self._files.begun(network) for network in missing}
        found = {name: there or matrix.nothing(self.predictor, self.groups) for name, there in begun.items()}
        total, before = len(self._feed.evaluation_names()), [counted.pictures for counted in found.values()]
        title = f"{len(self.predictor.rows)} protocols, {len(missing)} network{'s' * (len(missing) > 1)}"
        if any(begun.values()):
            self._say(f"{title}: goes on after picture {min(before)} of {total}, where it was stopped")
        files = {path for network in missing for path in _beside(self._files.told(network))}
        meter = cost.Meter(
            total * len(missing) - sum(before),
            cost.seconds_for_one(files),
            say=lambda line: self._say(f"{title}: {line}"),
            clock=self._clock,
        )
        told, kept = min(before), self._clock()
        with StageProgress(self._console, title, total, start=told, unit="picture") as progress:
            for _ in self._pass(missing, found):
                pictures = [counted.pictures for counted in found.values()]
                if min(pictures) > told:
                    told = min(pictures)
                    progress.update(told)
                    meter.update(sum(pictures) - sum(before))
                if stop.made or self._clock() - kept >= KEEP_SECONDS:
                    for network in missing:
                        self._files.keep_begun(network, found[network.name])
                    kept = self._clock()
                if stop.made:
                    self._say(f"{title}: stopped after picture {told}; what was counted is kept")
                    raise Stopped(stop.made)
        return found, meter.as_json()

    def _pass(self, missing: Sequence[Network], found: dict[str, Counted]) -> Iterator[None]:
        """Counts the pictures that are missing in `found`; yields whenever a network has counted a batch."""
        first = min(counted.pictures for counted in found.values())
        batches = self._feed.protocol_batches(
            views=self.predictor.views,
            label_sizes=self.predictor.label_sizes,
            batch_size=self._settings.batch_size,
            skip=frozenset(self._feed.evaluation_names()[:first]),
        )
        loaded = {network.name: (network.model, network.variables()) for network in missing}
        return matrix.score(loaded, batches, self.predictor, self.groups, found)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


def counted(
    settings: EvaluationSettings,
    feed: TrainingData,
    rows: dict[str, NamedProtocol],
    console: Console,
    networks: Sequence[Network],
) -> dict[tuple[int, int], MatrixStore]:
    """{training size: store in which all networks of that size are counted}; arguments as MatrixStore's."""
    stores = {}
    for size in dict.fromkeys(network.size for network in networks):
        stores[size] = MatrixStore(dataclasses.replace(settings, training_size=size), feed, rows, console)
        stores[size].ensure([network for network in networks if network.size == size])
    return stores


def _beside(path):
    """This file of all networks of a workdir."""
    return path.parent.parent.glob(f"*/{path.name}")
