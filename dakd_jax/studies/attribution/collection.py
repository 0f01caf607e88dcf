"""From finished stages to their attribution: one pass over target val with all networks, then the gradients."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.basics.errors import UserError
from dakd_jax.basics.progress import StageProgress
from dakd_jax.evaluation import predict
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives.context import SOURCE, TARGET
from dakd_jax.stages import settings, weights
from dakd_jax.studies.attribution import TEACHER, Alignment, Attribution, NetworkCounts, counting
from dakd_jax.studies.attribution.gradients import align
from dakd_jax.training.checkpointing import Checkpoints
from dakd_jax.training.stage_job import StageSettings
from dakd_jax.training.step import step_setup

GRADIENT_BATCHES = 4  # the training's first ones: the same for all networks

_OBJECTS_ARE = {
    True: "Objects are the labelled instances, and connected pixels of the classes without instances.",
    False: "Objects are connected pixels of one class.",
}


class Roles(NamedTuple):
    """Who is who in a plan: the undistilled student, and the distilled networks."""

    reference: str
    cases: tuple[str, ...]


def roles(plan, mode: str = "attribution") -> Roles:
    """Roles of a plan {name: stages.PlannedStage} that is finished; `mode` is named in mistakes.

    Raises:
      UserError: a network is missing or not finished.
    """
    cases = tuple(name for name, planned in plan.items() if planned.stage.distils)
    reference = next((name for name in ("student_continued", "student") if name in plan), "")
    there = ", ".join(plan)
    if not cases or not reference:
        raise UserError(
            f"--mode={mode} compares cases with the undistilled student, but the plan holds {there}: "
            "name both in config.goal, for example --config.goal=\"('student', 'case_d')\""
        )
    if mode == "attribution" and TEACHER not in plan:  # where files take the places of all cases
        raise UserError(f"--mode={mode} needs the teacher as well, but the plan holds {there}: add it to config.goal")
    missing = [name for name, planned in plan.items() if not planned.finished]
    if missing:
        raise UserError(
            f"--mode={mode} wants a finished plan; train {', '.join(missing)} first "
            "(the same command with --mode=train)"
        )
    return Roles(reference, cases)


@functools.partial(jax.jit, static_argnames=("model", "normaliser", "statistics", "size"))
def predict_with_confidence(variables, images, *, model: Segmenter, size, normaliser="", statistics="running"):
    """As evaluate.predict, with the probability of each answer.

    Returns:
      uint8 [B, height, width] of classes and float32 [B, height, width]: the class's share after the log-probabilities
      were resized and normalised again.
    """
    how = {"model": model, "size": size, "normaliser": normaliser, "statistics": statistics}
    scores = predict.resized_log_probabilities(variables, images, **how)
    confidence = jnp.exp(jnp.max(scores, axis=-1) - jax.nn.logsumexp(scores, axis=-1))
    return jnp.argmax(scores, axis=-1).astype(jnp.uint8), confidence


class Snapshots(NamedTuple):
    """What is left of a stage's training.

    Attributes:
      over_training: {step: {'params', 'batch_stats'}} of the checkpoints that were kept.
      adaptation: {method: its state} beside the finished weights; None where it was not kept.
    """

    over_training: dict[int, dict]
    adaptation: dict | None


def snapshots(experiment, planned, chosen: StageSettings) -> Snapshots:
    """Reads the checkpoints of a finished stage of a stages.Experiment."""
    folder = planned.folder / "checkpoints"
    if planned.replaced_by or not folder.is_dir():
        return Snapshots({}, None)
    finished = weights.content_hash(experiment.variables(planned.name))
    checkpoints = Checkpoints(folder, keep=1, identity=planned.identity)
    found, adaptation = {}, None
    try:
        like = step_setup.blank(chosen)
        for step in checkpoints.steps():
            if (state := checkpoints.read(step, like)) is None:
                continue
            found[step] = {"params": state.params, "batch_stats": state.batch_stats}
            if weights.content_hash(found[step]) == finished:
                adaptation = state.adaptation
    finally:
        checkpoints.close()
    return Snapshots(found, adaptation)


class Collector:
    """Collects the attribution of one stages.Experiment whose plan is finished.

    Raises:
      UserError: see roles(); or there is nothing to evaluate on.
    """

    def __init__(self, experiment):
        self.roles = roles(experiment.plan)
        if not experiment.evaluator:
            raise UserError("--mode=attribution needs labelled pictures of target val, and there are none")
        self._experiment, self._rules = experiment, experiment.evaluator.rules
        self._num_classes = len(experiment.feed.class_names)

    def collect(self) -> Attribution:
        """The whole attribution."""
        e, compared = self._experiment, (self.roles.reference, *self.roles.cases)
        kept = {name: snapshots(e, e.plan[name], self._settings(name)) for name in compared}
        networks, confidence, over_training, pictures = self._count(
            {name: snapshot.over_training for name, snapshot in kept.items()}
        )
        alignments, notes = {}, [_OBJECTS_ARE[with_instances(e)]]
        for name in compared:
            alignments[name], note = self._align(name, kept[name].adaptation)
            notes += [note] * bool(note)
        return Attribution(
            class_names=tuple(e.feed.class_names),
            titles={name: planned.stage.title for name, planned in e.plan.items()},
            reference=self.roles.reference,
            cases=self.roles.cases,
            pictures=pictures,
            networks=networks,
            confidence=confidence,
            over_training=over_training,
            alignments=alignments,
            notes=tuple(notes),
        )

    def _settings(self, name) -> StageSettings:
        stage = self._experiment.plan[name].stage
        return settings.stage_settings(self._experiment.config, stage, self._num_classes)

    def _all_terms(self, options):
        """The terms of a network and the distillation terms of the cases: one compilation serves all networks."""
        of_cases = (term for case in self.roles.cases for term in self._settings(case).options.terms)
        names = {one.term.name for one in options.terms}
        return (*options.terms, *{o.term.name: o for o in of_cases if o.term.name not in names}.values())

    def _predict(self, name, variables, batch: "_Labelled"):
        model = self._settings(name).models.segmenter
        run = predict_with_confidence if name == TEACHER else predict.predict
        images = batch.teachers if name == TEACHER else batch.images
        return run(variables, images, model=model, size=batch.labels[0].shape, **self._rules.how)

    def _count(self, over_training: dict[str, dict[int, dict]]):
        """One pass: (counts of the networks, confidence sums, counts over training, number of pictures)."""
        e = self._experiment
        variables = {(name, None): jax.device_put(e.variables(name)) for name in e.plan}
        variables |= {(name, step): then for name, steps in over_training.items() for step, then in steps.items()}
        tally = _Tally(self._num_classes, self.roles.reference)
        with StageProgress(e.console, "Attribution", len(e.feed.evaluation_names()), unit="picture") as progress:
            for batch in _labelled_pictures(e):
                found = jax.device_get([self._predict(name, of, batch) for (name, _), of in variables.items()])
                maps = dict(zip(variables, found, strict=True))
                maps[TEACHER, None], confidence = maps[TEACHER, None]
                for i, label in enumerate(batch.labels):
                    predictions = {key: of_all[i] for key, of_all in maps.items()}
                    tally.add(label, predictions, confidence[i], batch.instances[i])
                progress.update(tally.pictures)
        return tally.networks, tally.confidence, tally.over_training, tally.pictures

    def _align(self, name: str, adaptation: dict | None) -> tuple[Alignment, str]:
        """(alignment, note) of a network's gradients on the first batches of its training."""
        e, chosen, stage = self._experiment, self._settings(name), self._experiment.plan[name].stage
        factors, note, methods = chosen.weights, "", chosen.options.methods
        if adaptation is None:  # a new one, with new discriminators, would say nothing about the training
            factors = factors.replace(methods={of: dict.fromkeys(w, 0.0) for of, w in factors.methods.items()})
            note = _left_out(stage.title, methods)
        # With a teacher for all, one compilation serves all; it is not run where nothing is distilled.
        models = dataclasses.replace(chosen.models, teacher=self._settings(TEACHER).models.segmenter)
        options = dataclasses.replace(chosen.options, terms=self._all_terms(chosen.options))
        chosen = dataclasses.replace(chosen, models=models, options=options)
        state = step_setup.first_state(chosen, e.config.seed, e.variables(name), adaptation)
        batches = e.feed.train_batches(
            seed=e.config.seed,
            start_step=0,
            labelled=stage.labelled,
            with_target=stage.adapt,
            mix_classes=stage.distil_target,
            extras=step_setup.data_wanted(chosen.options),
            taught_on=(SOURCE, *[TARGET] * stage.adapt),
            clean=chosen.clean,
        )
        try:
            few = itertools.islice(batches, GRADIENT_BATCHES)
            return align(state, e.variables(TEACHER), few, factors, models=models, options=options), note
        finally:
            if hasattr(batches, "close"):  # a loader's threads
                batches.close()


def _left_out(title: str, methods) -> str:
    """What is said of a network whose methods' state was not kept; '' without any."""
    if not methods:
        return ""
    if [method.NAME for method in methods] == ["adversarial"]:
        return f"{title}: the adversarial term is left out, its discriminators were not kept."
    names = ", ".join(method.NAME.replace("_", " ") for method in methods)
    return f"{title}: what its adaptation methods add ({names}) is left out, their state was not kept."


class _Labelled(NamedTuple):
    """A batch: images uint8 [B, h, w, 3], and of its n <= B pictures labels uint8 [H, W] and instances or None.

    `teachers` are the images as the teacher sees them.
    """

    images: np.ndarray
    teachers: np.ndarray
    labels: list[np.ndarray]
    instances: list[np.ndarray | None]


def _labelled_pictures(experiment) -> Iterator[_Labelled]:
    """One pass over target val under the experiment's protocol, with instances where there are any at that size."""
    rules, feed, ours = experiment.evaluator.rules, experiment.feed, experiment.evaluator
    teachers = ours.of("teacher")
    if not with_instances(experiment):
        passes = zip(ours.batches(), teachers.batches(), strict=True) if teachers is not ours else None
        for batch, seen in passes or ((batch, batch) for batch in ours.batches()):
            labels = list(batch["label"][batch["mask"]])
            yield _Labelled(batch["image"], seen["image"], labels, [None] * len(labels))
        return
    view, seen = ((of.image_size, rules.resample) for of in (ours, teachers))
    views, batch_size = tuple(dict.fromkeys((view, seen))), ours.settings.batch_size
    for batch in feed.protocol_batches(views=views, label_sizes=(None,), batch_size=batch_size):
        of_all = batch["views"]
        yield _Labelled(of_all[view], of_all[seen], list(batch["labels"][None]), batch["instances"])


def with_instances(experiment) -> bool:
    """Whether objects are the labelled instances: all pictures have them, and labels are scored at native size."""
    return experiment.evaluator.rules.label_size is None and not experiment.feed.instances_problem()


class _Tally:
    """Counts of all pictures so far."""

    def __init__(self, num_classes: int, reference: str):
        self._num_classes, self._reference = num_classes, reference
        self.networks: dict[str, NetworkCounts] = {}
        self.over_training: dict[str, dict[int, np.ndarray]] = {}
        self.confidence = np.zeros((num_classes, counting.BINS))
        self.pictures = 0

    def add(self, label, predictions: dict, confidence, instances=None) -> None:
        """Adds a picture: {(network, step, None for the finished one): [H, W]}, the teacher's confidence [H, W]."""
        n, teacher, reference = self._num_classes, predictions[TEACHER, None], predictions[self._reference, None]
        picture = counting.truth(label, teacher, confidence, reference, n, instances)
        for (name, step), prediction in predictions.items():
            if step is None:
                counts = counting.count(picture, prediction, n)
                self.networks[name] = self.networks[name] + counts if name in self.networks else counts
            else:
                steps = self.over_training.setdefault(name, {})
                steps[step] = steps.get(step, 0) + counting.quasi_counts(picture, prediction, n)
        self.confidence += counting.confidence_sums(picture, confidence, n)
        self.pictures += 1
