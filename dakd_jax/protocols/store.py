"""The matrix of finished networks, counted once and kept beside their weights."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from dakd_jax import kept_arrays, records
from dakd_jax.progress import StageProgress
from dakd_jax.protocols import matrix
from dakd_jax.protocols.cityscapes_scores import Groups, InstanceCounts
from dakd_jax.protocols.definitions import Row
from dakd_jax.protocols.matrix import Counts
from dakd_jax.protocols.networks import Network
from dakd_jax.protocols.predicting import Predictor

# Raise it when the code changes the numbers of an unchanged protocol: what is stored is then counted anew.
NUMERICS_VERSION = 1


class MatrixStore:
    """Scores networks on target val under every protocol.

    Args:
      config: see configs/base.py.
      feed: the data, see data_pipelines/feed.py.
      rows: the protocols by name.
    """

    def __init__(self, config, feed, rows: dict[str, Row], console: Console):
        self.groups = Groups(feed.class_names, feed.categories, feed.mean_instance_sizes)
        self.predictor = Predictor(rows, config.data.target_size)
        self._config, self._feed, self._console = config, feed, console

    def ensure(self, networks: Sequence[Network]) -> None:
        """Counts what is not stored yet, in one pass for all networks."""
        missing = [network for network in networks if self._kept(network) is None]
        if not missing:
            return
        batches = self._feed.protocol_batches(
            views=self.predictor.views,
            label_sizes=self.predictor.label_sizes,
            batch_size=self._config.eval.batch_size,
        )
        loaded = {network.name: (network.model, network.variables()) for network in missing}
        total, done = len(self._feed.evaluation_names()), 0
        title = f"{len(self.predictor.rows)} protocols, {len(missing)} network{'s' * (len(missing) > 1)}"
        with StageProgress(self._console, title, total, unit="picture") as progress:

            def count(pictures):
                nonlocal done
                done += pictures
                progress.update(done)

            found = matrix.score(loaded, batches, self.predictor, self.groups, on_batch=count)
        for network in missing:
            self._write(network, found[network.name])

    def stored(self, network: Network) -> dict[str, Counts]:
        """{protocol: Counts} of a network that was counted."""
        arrays = self._kept(network)
        return {name: _counts(arrays, name, len(self.groups.class_names)) for name in self.predictor.rows}

    @functools.cached_property
    def _rules(self) -> dict:
        """All that the counts depend on but the network, as plain data."""
        return records.plain(
            {
                "numerics": NUMERICS_VERSION,
                "protocols": {name: dataclasses.asdict(row.rules) for name, row in self.predictor.rows.items()},
                "training_size": self._config.data.target_size,
                "data": self._feed.protocol_fingerprint(),
            }
        )

    def _file(self, network: Network) -> pathlib.Path:
        return network.folder / f"protocols-{records.hash_json(self._rules)[:8]}.npz"

    def _kept(self, network: Network) -> dict[str, np.ndarray] | None:
        return kept_arrays.kept(self._file(network), self._of(network))

    def _of(self, network: Network) -> dict:
        return self._rules | {"network": network.hash}

    def _write(self, network: Network, found: dict[str, Counts]) -> None:
        arrays = {f"confusion/{name}": counts.confusion for name, counts in found.items()}
        for name, counts in found.items():
            if counts.instances is not None:
                both = counts.instances.classes, counts.instances.categories
                arrays[f"instances/{name}"] = np.concatenate(both, axis=1)
        path = self._file(network)
        kept_arrays.keep(path, self._of(network), arrays)
        told = {name: counts.as_json(self.groups) for name, counts in found.items()}
        records.write_json(path.with_suffix(".json"), {"hash": network.hash, "scores": told})


def _counts(arrays: dict[str, np.ndarray], name: str, num_classes: int) -> Counts:
    both = arrays.get(f"instances/{name}")
    instances = None if both is None else InstanceCounts(both[:, :num_classes], both[:, num_classes:])
    return Counts(arrays[f"confusion/{name}"], instances)
