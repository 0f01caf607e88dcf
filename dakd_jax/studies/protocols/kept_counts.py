"""What was counted of networks, in files beside their weights: of finished passes, and of one that was stopped."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from dakd_jax.basics import records
from dakd_jax.basics.kept_arrays import Kept
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
        return self._finished(network).beside

    def _finished(self, network: Network) -> Kept:
        return Kept(network.folder / f"{self._name}.npz", self._rules | {"network": network.hash})

    def _begun(self, network: Network) -> Kept:
        of = self._finished(network).of | {"batch_size": self._batch_size}
        return Kept(network.folder / f"unfinished-{self._name}.npz", of)

    def finished(self, network: Network) -> dict[str, Counts] | None:
        """{protocol: Counts}; None where it is not counted."""
        arrays = self._finished(network).read()
        return None if arrays is None else self._counts(arrays)

    def begun(self, network: Network) -> Counted | None:
        """What a pass had counted when it was stopped; None where there was none."""
        arrays = self._begun(network).read()
        return None if arrays is None else Counted(int(arrays[_PICTURES]), self._counts(arrays))

    def keep_begun(self, network: Network, found: Counted) -> None:
        """Of a pass that is under way."""
        self._begun(network).write(_arrays(found.protocols) | {_PICTURES: np.array(found.pictures)})

    def keep(self, network: Network, counts: dict[str, Counts], cost: Mapping) -> None:
        """Of a pass that came to its end; `cost` see cost.Meter."""
        self._finished(network).write(_arrays(counts))
        self.mend(network, counts, **cost)

    def mend(self, network: Network, counts: dict[str, Counts], **cost) -> None:
        """Does what `keep` left when it was killed after the counts."""
        scores = {name: of_one.as_json(self._groups) for name, of_one in counts.items()}
        self._finished(network).tell({"hash": network.hash, "scores": scores, **cost})
        self._begun(network).path.unlink(missing_ok=True)

    def _counts(self, arrays: dict[str, np.ndarray]) -> dict[str, Counts]:
        """The inverse of _arrays."""
        found, num_classes = {}, len(self._groups.class_names)
        for name in self._protocols:
            both = arrays.get(f"instances/{name}")
            instances = None if both is None else InstanceCounts(both[:, :num_classes], both[:, num_classes:])
            found[name] = Counts(arrays[f"confusion/{name}"], instances)
        return found


def _arrays(found: dict[str, Counts]) -> dict[str, np.ndarray]:
    arrays = {}
    for name, counts in found.items():
        arrays[f"confusion/{name}"] = counts.confusion
        if (both := counts.instances) is not None:
            arrays[f"instances/{name}"] = np.concatenate((both.classes, both.categories), axis=1)
    return arrays
