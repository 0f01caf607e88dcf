"""What was counted of networks, in files beside their weights: of finished passes, and of one that was stopped."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from dakd_jax.basics import kept_arrays, records
from dakd_jax.evaluation.cityscapes_scores import Groups, InstanceCounts
from dakd_jax.stages.networks import Network
from dakd_jax.studies.protocols.matrix import Counted, Counts

_PICTURES = "pictures"


class KeptCounts:
    """Files of counts under the same rules.

    Args:
      rules: all that the counts depend on but the network, as plain data.
      protocols: names of the protocols.
      groups: of the classes.
      batch_size: a pass that was stopped goes on only in batches of this size, so that its bits are the same.
    """

    def __init__(self, rules: dict, protocols: Sequence[str], groups: Groups, batch_size: int):
        self._rules, self._protocols, self._groups = rules, tuple(protocols), groups
        self._name, self._batch_size = f"protocols-{records.hash_json(rules)[:8]}", batch_size

    def told(self, network: Network) -> pathlib.Path:
        """The JSON file, for people: derived from the counts."""
        return network.folder / f"{self._name}.json"

    def _file(self, network: Network) -> pathlib.Path:
        return network.folder / f"{self._name}.npz"

    def _begun_file(self, network: Network) -> pathlib.Path:
        return network.folder / f"unfinished-{self._name}.npz"

    def _of(self, network: Network) -> dict:
        return self._rules | {"network": network.hash}

    def _of_begun(self, network: Network) -> dict:
        return self._of(network) | {"batch_size": self._batch_size}

    def finished(self, network: Network) -> dict[str, Counts] | None:
        """{protocol: Counts}; None where it is not counted."""
        arrays = kept_arrays.kept(self._file(network), self._of(network))
        return None if arrays is None else self._counts(arrays)

    def begun(self, network: Network) -> Counted | None:
        """What a pass had counted when it was stopped; None where there was none."""
        arrays = kept_arrays.kept(self._begun_file(network), self._of_begun(network))
        return None if arrays is None else Counted(int(arrays[_PICTURES]), self._counts(arrays))

    def keep_begun(self, network: Network, found: Counted) -> None:
        """Of a pass that is under way."""
        arrays = _arrays(found.protocols) | {_PICTURES: np.array(found.pictures)}
        kept_arrays.keep(self._begun_file(network), self._of_begun(network), arrays)

    def keep(self, network: Network, counts: dict[str, Counts], cost: Mapping) -> None:
        """Of a pass that came to its end; `cost` see cost.Meter."""
        kept_arrays.keep(self._file(network), self._of(network), _arrays(counts))
        records.write_json(self.told(network), self._telling(network, counts) | dict(cost))
        self._begun_file(network).unlink(missing_ok=True)

    def mend(self, network: Network, counts: dict[str, Counts]) -> None:
        """Does what `keep` left when it was killed after the counts."""
        telling, there = self._telling(network, counts), records.read_json(self.told(network)) or {}
        if {key: there.get(key) for key in telling} != telling:
            records.write_json(self.told(network), telling)
        self._begun_file(network).unlink(missing_ok=True)

    def _telling(self, network: Network, counts: dict[str, Counts]) -> dict:
        scores = {name: of_one.as_json(self._groups) for name, of_one in counts.items()}
        return {"hash": network.hash, "scores": scores}

    def _counts(self, arrays: dict[str, np.ndarray]) -> dict[str, Counts]:
        """The inverse of _arrays."""
        found, num_classes = {}, len(self._groups.class_names)
        for name in self._protocols:
            both = arrays.get(f"instances/{name}")
            instances = None if both is None else InstanceCounts(both[:, :num_classes], both[:, num_classes:])
            found[name] = Counts(arrays[f"confusion/{name}"], instances)
        return found


def _arrays(found: dict[str, Counts]) -> dict[str, np.ndarray]:
    arrays = {f"confusion/{name}": counts.confusion for name, counts in found.items()}
    for name, counts in found.items():
        if counts.instances is not None:
            both = counts.instances.classes, counts.instances.categories
            arrays[f"instances/{name}"] = np.concatenate(both, axis=1)
    return arrays
