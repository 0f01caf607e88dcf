"""What is kept of the frozen teacher's answers from one epoch to the next, in the run's folder."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping

import jax
from ml_collections import ConfigDict
from rich.console import Console

from dakd_jax.basics import records
from dakd_jax.basics.progress import StageProgress
from dakd_jax.objectives import paradigms
from dakd_jax.objectives.context import LEVELS, SOURCE, TARGET
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages import settings, weights
from dakd_jax.stages.teacher_answers import Taught, asked_inside, why_not
from dakd_jax.training.stage_job import StageSettings
from dakd_jax.training.step import step_setup
from dakd_jax.training.teaching import asking
from dakd_jax.training.teaching.answer_files import FOLDER, AnswerFile
from dakd_jax.training.teaching.asking import AskedTeacher
from dakd_jax.training.teaching.forms import NetworkAnswers

KEPT = "kept"
_FORMAT = 1  # of the files; raise it when the same key comes to mean other numbers
_GB = 1e9


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
        """{stage: {domain: why answers are not kept, '' where they are}}."""
        return {name: self._why_not(*of) for name, of in self._stages.items()}

    def _why_not(self, stage: paradigms.Stage, chosen: StageSettings) -> dict[str, str]:
        config, data = self._config, self._config.data
        always = ""
        if not config.teacher.cache_gb:
            always = "teacher.cache_gb=0"
        elif jax.process_count() > 1:
            always = "several processes make this run, and each sees a part of every batch"
        elif chosen.options.teacher_statistics != "running":
            always = "with teacher.statistics='batch' an answer depends on the whole batch"
        elif (any(data.colour_jitter) or any(data.blur)) and not chosen.clean:
            always = "data.colour_jitter and data.blur change the colours every time; teacher.views.clean=True hides it"
        return dict.fromkeys(chosen.taught_on, always) if always else why_not(config, stage, chosen)

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

    def ask_all(self, teacher: dict, content_hash: str, console: Console, **how) -> None:
        """Asks for all answers that there is room for and that are not kept yet; with progress.

        Args:
          how: reserve and say of an AnswerFile.
        """
        for domain in self.forms:
            of = self.asked(domain, teacher, content_hash, **how)
            count, slots = self.count(domain), min(of.file.capacity, self.count(domain) * self._variants)
            missing = [slot for slot in range(slots) if of.file.read(slot) is None]
            with StageProgress(console, f"Teacher on {domain}", slots, slots - len(missing), "answer") as progress:
                self._ask(domain, of, [slot % count for slot in missing], [slot >= count for slot in missing], progress)

    def _ask(self, domain: str, of: AskedTeacher, indices: list[int], mirrored: list[bool], progress) -> None:
        images = self.feed.training_images(domain, indices, network="teacher")
        try:
            for index, flipped, image in zip(indices, mirrored, images, strict=True):
                if of.file.full:
                    return
                if image is not None:
                    of.ensure(index, flipped, image[:, ::-1] if flipped else image)
                progress.advance(1)
        finally:
            of.close()

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
            return asked_inside(chosen, teacher, told)
        by_itself = len(kept) == len(why)  # the step has no teacher, and so none for what it does not distil on either
        seen = [domain for domain in (SOURCE, TARGET) if domain in chosen.options.passes]
        blank = {domain: self._blank(domain) for domain in seen if by_itself and domain not in kept}
        forms = {domain: self.forms[domain] for domain in kept} | blank
        options = dataclasses.replace(chosen.options, answers=tuple(sorted(forms.items())))

        def added(batches: Iterator[dict]) -> Iterator[dict]:
            answering = {domain: self.asked(domain, teacher, content_hash, **how) for domain in kept}
            return asking.added(batches, answering, blank)

        chosen = dataclasses.replace(chosen, options=options)
        return Taught(chosen, None if by_itself else teacher, chosen.taught_on, kept, added, told)

    def _blank(self, domain: str) -> NetworkAnswers:
        """The form of a domain that is not distilled on: that of stages which are, if there are such."""
        return self.forms.get(domain) or self._form(domain, next(iter(self._stages.values()))[1])
