"""How the frozen teacher's answers come to a stage: kept from one epoch to the next, or asked for inside every step."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ml_collections import ConfigDict

from dakd_jax.basics import records
from dakd_jax.objectives import paradigms
from dakd_jax.objectives.context import LEVELS, SOURCE, TARGET
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages import settings, weights
from dakd_jax.training import step_setup
from dakd_jax.training.stage_job import StageSettings
from dakd_jax.training.teaching import asking
from dakd_jax.training.teaching.answer_files import FOLDER, AnswerFile
from dakd_jax.training.teaching.asking import AskedTeacher
from dakd_jax.training.teaching.forms import NetworkAnswers

KEPT = "kept"
_FORMAT = 1  # of the files; raise it when the same key comes to mean other numbers
_GB = 1e9


def why_not_kept(config: ConfigDict, stage: paradigms.Stage, chosen: StageSettings) -> dict[str, str]:
    """{domain that the teacher is asked about: why its answers are not kept, '' where they are}.

    Args:
      chosen: stage_settings of the stage.
    """
    if not chosen.models.teacher:
        return {}
    always = _why_never(config, stage, chosen)
    redrawn = {} if always else step_setup.redraws(chosen)
    found = {}
    for domain in chosen.taught_on:
        method = redrawn.get(domain)
        pasted = domain == TARGET and stage.distil_target and config.data.class_mix > 0
        found[domain] = (
            always
            or (f"adaptation method {method!r} shows other pictures every time" if method else "")
            or ("data.class_mix pastes something else every time" if pasted else "")
        )
    return found


def _why_never(config: ConfigDict, stage: paradigms.Stage, chosen: StageSettings) -> str:
    """Why no answers are kept on whichever domain; '' where nothing is in the way."""
    data = config.data
    if not config.teacher.cache_gb:
        return "teacher.cache_gb=0"
    if stage.labelled != SOURCE:
        return "it has the labels of another domain"
    if chosen.options.teacher_statistics != "running":
        return "with teacher.statistics='batch' an answer depends on the whole batch"
    if term := step_setup.read_of_teacher(chosen).get(step_setup.FEATURES):
        return f"loss term {term!r} compares features"
    if tuple(data.scale) != (1.0, 1.0) or any(data.crop):
        return "data.scale and data.crop show another part every time"
    if (any(data.colour_jitter) or any(data.blur)) and not chosen.clean:
        return "data.colour_jitter and data.blur show other colours every time; teacher.views.clean=True hides them"
    return ""


class Taught(NamedTuple):
    """A stage's settings, and all that its answers need.

    Attributes:
      settings: with the forms of the answers that come with the batch.
      teacher: what the step itself needs of it; None where all answers come with the batch.
      identified: domains of which batches must tell the pictures.
      added: to the batches of such answers.
      told: {domain: KEPT, or why they are not}, for the record.
    """

    settings: StageSettings
    teacher: dict | None
    identified: tuple[str, ...]
    added: Callable[[Iterator[dict]], Iterator[dict]]
    told: dict[str, str]


def untaught(chosen: StageSettings) -> Taught:
    """A stage without a teacher."""
    return Taught(chosen, None, (), lambda batches: batches, {})


class KeptAnswers:
    """What is kept of the answers to the stages of a plan, in a folder of the run that all of them share.

    Args:
      config: see configs/base.py.
      stages: {name: (stage, its settings)} of those that have a teacher.
    """

    def __init__(
        self,
        config: ConfigDict,
        feed: TrainingData,
        workdir: pathlib.Path,
        stages: Mapping[str, tuple[paradigms.Stage, StageSettings]],
    ):
        self._config, self.feed, self._folder, self._stages = config, feed, workdir / FOLDER, stages
        self._variants = 1 + bool(config.data.mirror)

    @functools.cached_property
    def why_not(self) -> dict[str, dict[str, str]]:
        """{stage: what why_not_kept says}."""
        return {name: why_not_kept(self._config, *of) for name, of in self._stages.items()}

    @functools.cached_property
    def forms(self) -> dict[str, NetworkAnswers]:
        """{domain: form} of the domains that some stage keeps answers on."""
        kept = {domain: name for name, why in self.why_not.items() for domain, reason in why.items() if not reason}
        return {
            domain: self._form(domain, self._stages[kept[domain]][1]) for domain in (SOURCE, TARGET) if domain in kept
        }

    def _form(self, domain: str, chosen: StageSettings) -> NetworkAnswers:
        width, height = settings.training_size(self._config, "teacher", domain)
        read = step_setup.read_of_teacher(chosen)
        return asking.form(
            chosen.models.teacher,
            (height, width),
            views=chosen.options.teacher_views,
            levels=tuple(level for level in LEVELS if level in read) or LEVELS,
            precision=chosen.options.precision,
            dtype=self._config.teacher.cache_dtype,
        )

    def count(self, domain: str) -> int:
        """How many training pictures a domain has."""
        return len(self.feed.training_pictures(domain).examples)

    @functools.cached_property
    def _share(self) -> float:
        """Of all answers, those that fit into teacher.cache_gb."""
        needed = sum(self._bytes(domain) for domain in self.forms)
        return min(1.0, self._config.teacher.cache_gb * _GB / needed) if needed else 1.0

    def _bytes(self, domain: str) -> int:
        file = self.file(domain, "", 0)
        return file.record_bytes * self.count(domain) * self._variants

    def file(self, domain: str, teacher: str, capacity: int | None = None, **how) -> AnswerFile:
        """Of the answers of a teacher with this content hash."""
        form, network = self.forms[domain], self._config.teacher
        pictures = self.feed.training_pictures(domain)
        of = {
            "format": _FORMAT,
            "teacher": teacher,
            "network": weights.counted_fields("teacher", network),
            "plugins": weights.plugins(network),
            "pictures": pictures.fingerprint,
            "size": settings.training_size(self._config, "teacher", domain),
            "views": dataclasses.asdict(form.views),
            "levels": [logits.level for logits in form.shown[0].logits],
            "precision": self._config.train.precision,
            # Elsewhere the last digits are others, and a run would not have the bits that it has by itself.
            "made_on": records.hardware() | records.versions(("jax", "jaxlib")),
        }
        if capacity is None:
            capacity = int(self._share * self.count(domain) * self._variants)
        how |= {"entries": form.entries, "dtype": form.dtype}
        return AnswerFile(self._folder, domain, of, capacity=capacity, **how)

    def asked(self, domain: str, teacher: dict, content_hash: str, **how) -> AskedTeacher:
        """Who answers on a domain; `how`: reserve and say of an AnswerFile."""
        _, chosen = next(iter(self._stages.values()))
        file = self.file(domain, content_hash, **how)
        made = {"precision": chosen.options.precision, "file": file, "count": self.count(domain)}
        return AskedTeacher(teacher, chosen.models.teacher, self.forms[domain], **made)

    def notes(self, content_hash: str) -> list[str]:
        """For people, by domain: which answers are kept, and why not.

        Args:
          content_hash: of the teacher, '' where it is not known yet.
        """
        found: dict[tuple[str, str], list[str]] = {}
        for name, why in self.why_not.items():
            for domain, reason in why.items():
                found.setdefault((domain, reason), []).append(name)
        return [
            f"teacher on {domain} pictures ({', '.join(names)}): "
            + (f"asked in every step: {reason}" if reason else self._note(domain, content_hash))
            for (domain, reason), names in found.items()
        ]

    def _note(self, domain: str, content_hash: str) -> str:
        file, slots = self.file(domain, content_hash), self.count(domain) * self._variants
        size = f"{file.capacity * file.record_bytes / _GB:.2g} GB in {self._folder}"
        if file.capacity == slots:
            line = f"each is asked once and its answer kept, {slots} answers, {size}"
        else:
            all_of_them = f"{slots * file.record_bytes / _GB:.2g}"
            line = (
                f"{file.capacity} of {slots} answers are kept, {size}; all with --config.teacher.cache_gb={all_of_them}"
            )
        there = file.count() if content_hash else 0
        return line + f"; {there} there already" * bool(there)

    def taught(self, name: str, teacher: dict, content_hash: str, **how) -> Taught:
        """How the stage `name` is taught.

        Args:
          teacher: {'params', 'batch_stats'}.
          how: reserve and say of an AnswerFile.
        """
        stage, chosen = self._stages[name]
        why = self.why_not[name]
        kept = tuple(domain for domain, reason in why.items() if not reason)
        told = {domain: reason or KEPT for domain, reason in why.items()}
        if not kept:
            return Taught(chosen, teacher, (), lambda batches: batches, told)
        by_itself = len(kept) == len(why)  # the step has no teacher, and so none for what it does not distil on either
        seen = [domain for domain in (SOURCE, TARGET) if domain in chosen.options.passes]
        blank = {domain: self._blank(domain) for domain in seen if by_itself and domain not in kept}
        forms = {domain: self.forms[domain] for domain in kept} | blank
        options = dataclasses.replace(chosen.options, answers=tuple(sorted(forms.items())))

        def added(batches: Iterator[dict]) -> Iterator[dict]:
            answering = {domain: self.asked(domain, teacher, content_hash, **how) for domain in kept}
            return asking.added(batches, answering, blank)

        chosen = dataclasses.replace(chosen, options=options)
        return Taught(chosen, None if by_itself else teacher, kept, added, told)

    def _blank(self, domain: str) -> NetworkAnswers:
        """The form of a domain that is not distilled on: that of stages which are, if there are such."""
        return self.forms.get(domain) or self._form(domain, next(iter(self._stages.values()))[1])
