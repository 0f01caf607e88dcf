"""The networks that a card is about: where they lie, what is known of them, and how a teacher is asked."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from dakd_jax.basics.errors import UserError
from dakd_jax.deploy import finding
from dakd_jax.deploy.export import artefact
from dakd_jax.deploy.finding import Found
from dakd_jax.stages import settings, weights
from dakd_jax.training.teaching import Views


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network.

    Attributes:
      name: for people.
      path, how: as finding.find takes them.
      found: what that gives.
      stage: the hash of the finished stage that it is, None where no record says so.
      views: what a run's cases show it of a picture as their teacher; plain for any other network.
    """

    name: str
    path: str
    how: Mapping
    found: Found
    stage: str | None = None
    views: Views = Views()

    @property
    def run(self) -> pathlib.Path | None:
        """The folder of the run that it is a stage of."""
        folder = self.found.place.path.parent
        return folder.parent.parent if self.stage and folder.parent.name == "stages" else None

    @property
    def teaching(self) -> str:
        """How it is called as a teacher of several views."""
        scales = ", ".join(f"{scale:g}" for scale in self.views.scales)
        return f"{self.name} as it teaches (scales {scales}{', mirrored too' if self.views.mirror else ''})"


def find(path: str, **how) -> Subject:
    """Raises UserError where there is no such network, or it is not known what it is."""
    if artefact.looks_like(path):
        raise UserError(f"{path} is an export already; name the run or the weights that it was made of")
    found = finding.find(path, **how)
    told = weights.recorded(found.place.path) if not found.place.key else None
    if not told or not isinstance(told[1].get("hash"), str):
        return Subject(str(path), str(path), how, found)
    _, record, group = told
    views = _views(record["config"]) if group == "teacher" else Views()
    return Subject(str(record["stage"]), str(path), how, found, record["hash"], views)


def told_apart(subjects: Sequence[Subject]) -> list[Subject]:
    """With their paths in place of names that several have; one that is given twice is there once."""
    once: dict[tuple, Subject] = {}
    for one in subjects:
        once.setdefault((one.found.place.path.resolve(), one.found.place.key), one)
    subjects = list(once.values())
    names = [one.name for one in subjects]
    return [dataclasses.replace(one, name=one.path) if names.count(one.name) > 1 else one for one in subjects]


def _views(config: Mapping) -> Views:
    try:
        return settings.teacher_views(ConfigDict(config))
    except (KeyError, AttributeError, TypeError, ValueError):  # of a record that does not say it
        return Views()
