"""Answers that another program made take the place of the teacher: config.replace.teacher names their folder."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping

import jax
from ml_collections import ConfigDict

from dakd_jax.basics.errors import UserError
from dakd_jax.objectives import paradigms
from dakd_jax.objectives.context import SOURCE, TARGET
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages.teacher_answers import HANDED_IN, Taught, why_not
from dakd_jax.training.stage_job import StageSettings
from dakd_jax.training.teaching import answer_folder, asking
from dakd_jax.training.teaching.answer_folder import AnswerFolder, HandedInTeacher

BEGIN = "answers:"  # of their identity


class HandedInAnswers:
    """The answers in a folder, in place of those of a network.

    Args:
      config: see configs/base.py.

    Raises:
      UserError: the folder's manifest does not fit, or the teacher itself is wanted.
    """

    def __init__(self, config: ConfigDict, feed: TrainingData):
        self._config, self.feed = config, feed
        if "teacher" in config.goal:
            raise UserError(
                f"config.goal names 'teacher', and --config.replace.teacher={config.replace.teacher} holds answers and "
                "no network: leave it out of the goal"
            )

    @functools.cached_property
    def folder(self) -> AnswerFolder:
        """Whose manifest has been read."""
        return answer_folder.read(self._config.replace.teacher, tuple(self.feed.class_names))

    def _names(self, domain: str) -> list[str]:
        return [example.name for example in self.feed.training_pictures(domain).examples]

    @functools.cached_property
    def hash(self) -> str:
        """What stands for the answers in the identity of stages."""
        names = {domain: self._names(domain) for domain in self.folder.domains}
        return BEGIN + self.folder.content_hash(names)

    def check(self, stages: Mapping[str, tuple[paradigms.Stage, StageSettings]]) -> None:
        """Looks at all that the stages to come will ask for. Raises UserError."""
        if stages and jax.process_count() > 1:
            raise UserError(
                f"--config.replace.teacher={self._config.replace.teacher} holds answers to whole batches, and several "
                "processes make this run, each a part of every batch: use one process, with all devices of a machine"
            )
        for name, (stage, chosen) in stages.items():
            for domain, why in why_not(self._config, stage, chosen).items():
                if why:
                    raise UserError(
                        f"--config.replace.teacher={self._config.replace.teacher} holds answers to whole pictures, of "
                        f"no use to {name} on the {domain}: {why}; change that, or name a network"
                    )
        for domain in (SOURCE, TARGET):
            asking_for = [name for name, (_, chosen) in stages.items() if domain in chosen.taught_on]
            if asking_for:
                self.folder.require(domain, self._names(domain), asking_for[0])

    def notes(self) -> list[str]:
        """For people: what the folder holds."""
        found = []
        for domain, answers in self.folder.domains.items():
            height, width, _ = answers.form.shape
            found.append(
                f"teacher on {domain} pictures: {answers.form.kind}, {width}x{height}, in {answers.folder}"
                + f" (made by: {self.folder.made_by})" * bool(self.folder.made_by)
            )
        return found

    def taught(self, chosen: StageSettings) -> Taught:
        """How a stage is taught."""
        teachers = {
            domain: HandedInTeacher(self.folder.domains[domain], self._names(domain)) for domain in chosen.taught_on
        }
        forms = tuple(sorted((domain, of.form) for domain, of in teachers.items()))
        settings = dataclasses.replace(
            chosen,
            models=dataclasses.replace(chosen.models, teacher=None),
            options=dataclasses.replace(chosen.options, answers=forms),
        )

        def added(batches: Iterator[dict]) -> Iterator[dict]:
            return asking.added(batches, teachers)

        told = dict.fromkeys(chosen.taught_on, HANDED_IN + (self.folder.made_by or self.folder.path.name))
        return Taught(settings, None, (), chosen.taught_on, added, told)
