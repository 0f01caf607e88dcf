"""From a finished plan to its figures' pictures: scored once, selected, predicted once more, and kept."""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.basics.kept_arrays import Kept
from dakd_jax.basics.progress import StageProgress
from dakd_jax.evaluation import predict
from dakd_jax.evaluation.evaluation_store import Evaluator
from dakd_jax.objectives import paradigms
from dakd_jax.stages import settings, weights
from dakd_jax.studies.attribution.collection import roles
from dakd_jax.studies.pictures import Comparison, PictureScores, Shown, predicting, selection

FORMAT = 1  # raise it when the counting or predicting changes


class Gallery:
    """The pictures of one stages.Experiment whose plan is finished.

    Args:
      experiment: its stages' folders keep the scores.
      folder: keeps the predictions of what is shown.

    Raises:
      UserError: a stage is missing or not finished, config.figures names a case that is not in the plan, or there is
        nothing to evaluate on.
    """

    def __init__(self, experiment, folder: pathlib.Path):
        self.reference, cases = roles(experiment.plan, mode="figures")
        self.cases = tuple(name for name in paradigms.STAGES if name in cases)
        if not experiment.evaluator:
            raise UserError("--mode=figures needs labelled pictures of target val, and there are none")
        self._experiment, self._rules, self._folder = experiment, experiment.evaluator.rules, folder
        self.case = experiment.config.figures.case or self.cases[-1]
        if self.case not in self.cases:
            known = ", ".join(self.cases)
            raise UserError(f"config.figures.case={self.case!r}: expected a case of the plan, {known}")
        self._used: set[pathlib.Path] = set()

    def comparison(self, *, title: str, command: str) -> Comparison:
        """Scores and selections of all pictures; what is not kept is counted, in one pass for all networks."""
        e, wanted, rules = self._experiment, self._experiment.config.figures, self._rules
        size = "native size" if rules.label_size is None else "x".join(map(str, rules.label_size))
        found = Comparison(
            title=title,
            command=command,
            class_names=tuple(e.feed.class_names),
            palette=e.feed.palette,
            titles={name: planned.stage.title for name, planned in e.plan.items()},
            reference=self.reference,
            cases=self.cases,
            case=self.case,
            scores=self._scores(),
            selections={},
            notes=(
                f"Predicted and scored under the protocol '{e.evaluator.settings.protocol}', labels at {size}.",
                f"Random pictures: seed {e.config.seed}.",
            ),
        )
        names, changes, how = found.scores.names, found.changes(), {"count": wanted.count, "seed": e.config.seed}
        selections = {one: selection.select(one, names, changes, **how) for one in settings.words(wanted.select)}
        if by_name := settings.words(wanted.pictures):
            selections[selection.CHOSEN] = selection.chosen(by_name, names)
        return dataclasses.replace(found, selections={one: of for one, of in selections.items() if of})

    def _of(self, name: str) -> dict:
        """All that a network's predictions of target val depend on."""
        e, planned = self._experiment, self._experiment.plan[name]
        return records.plain(
            {
                "format": FORMAT,
                "weights": weights.hash_file(planned.replaced_by or planned.folder),
                "network": weights.network_fields(e.config[planned.stage.network]),
                **e.evaluator.of(e.plan[name].stage.network).identity,
            }
        )

    def _networks(self, names: Iterable[str]) -> predict.Networks:
        e = self._experiment
        networks = {name: e.config[e.plan[name].stage.network] for name in names}
        num_classes = len(e.feed.class_names)
        return {name: (settings.segmenter(of, num_classes), e.variables(name)) for name, of in networks.items()}

    def _by_evaluator(self, names: Iterable[str]) -> Iterator[tuple[Evaluator, list[str]]]:
        """Networks with the evaluator whose pictures they see: the teacher may see them at a size of its own."""
        plan, of = self._experiment.plan, self._experiment.evaluator.of
        for evaluator in dict.fromkeys((of("student"), of("teacher"))):
            if chosen := [name for name in names if of(plan[name].stage.network) is evaluator]:
                yield evaluator, chosen

    def _scores(self) -> PictureScores:
        e = self._experiment
        kept = {name: Kept.named(e.plan[name].folder, "picture_scores", self._of(name)) for name in e.plan}
        found = {name: scores.read() for name, scores in kept.items()}
        if missing := [name for name, arrays in found.items() if arrays is None]:
            total = len(e.feed.evaluation_names())
            for evaluator, of_size in self._by_evaluator(missing):
                networks, batches = self._networks(of_size), evaluator.batches()
                with StageProgress(e.console, "Scores of each picture", total, unit="picture") as bar:
                    counts = predict.count_pictures(networks, batches, self._rules, on_batch=bar.advance)
                for name in of_size:
                    confusions = counts.confusions[name].astype(np.int32)  # holds what one picture has
                    found[name] = {"names": np.array(counts.names), "confusions": confusions}
                    kept[name].write(found[name])
        names = tuple(map(str, found[self.case]["names"]))
        return PictureScores(names, {name: arrays["confusions"].astype(np.int64) for name, arrays in found.items()})

    def pictures(self, names: Sequence[str], networks: Sequence[str]) -> list[Shown]:
        """Some pictures with what some networks predict; each is predicted once and kept."""
        e = self._experiment
        loaded = self._load(names, e.evaluator)
        kept = {name: self._kept(name, networks) for name in names}
        maps = {name: of_picture.read() for name, of_picture in kept.items()}
        if missing := [name for name in names if maps[name] is None]:
            batch_size = e.evaluator.settings.batch_size
            maps |= {name: {} for name in missing}
            for evaluator, of_size in self._by_evaluator(networks):
                pictures = self._load(missing, evaluator)
                chosen = self._networks(of_size)
                for shown in predicting.predict_pictures(chosen, pictures, self._rules, batch_size=batch_size):
                    maps[shown.name] |= shown.predictions
            for name in missing:
                maps[name] = {network: maps[name][network] for network in networks}
                kept[name].write(maps[name])
        self._used |= {of_picture.path for of_picture in kept.values()}
        return [Shown(*picture, maps[picture[0]]) for picture in loaded]

    def _load(self, names: Sequence[str], evaluator: Evaluator) -> list[tuple]:
        size, rules = evaluator.image_size, self._rules
        return self._experiment.feed.pictures(
            names, image_size=size, label_size=rules.label_size, resample=rules.resample
        )

    def _kept(self, picture: str, networks: Sequence[str]) -> Kept:
        of = {"picture": picture, "networks": {name: self._of(name) for name in networks}}
        return Kept(self._folder / f"{records.hash_json(of)[:16]}.npz", of)

    def forget_the_rest(self) -> None:
        """Deletes predictions that were not asked for since this was made."""
        for path in self._folder.glob("*.npz"):
            if path not in self._used:
                path.unlink()
