"""Stages that know what they need: the plan, and running it so that finished work is reused."""

import dataclasses
import functools
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import rich.box
import rich.table
from ml_collections import ConfigDict
from rich.console import Console

from dakd_jax.basics import records, workdir_lock
from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import checkpoint_choice
from dakd_jax.evaluation.evaluation_store import Evaluator
from dakd_jax.models.backbones import BACKBONES
from dakd_jax.models.segmenter import blank_segmenter
from dakd_jax.objectives import paradigms
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages import preflight, settings, stage_identity, teacher_answers, weights
from dakd_jax.stages.teacher_answers import Taught
from dakd_jax.stages.teacher_answers.handed_in import HandedInAnswers
from dakd_jax.stages.teacher_answers.kept import KeptAnswers
from dakd_jax.training import checkpoint_files
from dakd_jax.training.loop import train, within_budget
from dakd_jax.training.runtime import processes, sharding
from dakd_jax.training.stage_job import StageJob, StageSettings
from dakd_jax.training.step import step_setup
from dakd_jax.training.teaching import answer_folder, asking


@dataclasses.dataclass(frozen=True)
class PlannedStage:
    """One line of the plan.

    Attributes:
      name, stage: which network.
      identity: all that changes its numbers, as plain data; {} when a file takes its place.
      hash: of the identity, or weights.file_identity.
      folder: where it is trained or stored.
      replaced_by: path of the checkpoint that takes its place, '' for none.
    """

    name: str
    stage: paradigms.Stage
    identity: dict
    hash: str
    folder: pathlib.Path
    replaced_by: str = ""

    @property
    def finished(self) -> bool:
        """Whether its weights are there."""
        record = records.read_json(self.folder / "record.json") or {}
        return bool(self.replaced_by) or (record.get("status") == "finished" and (self.folder / weights.FILE).exists())

    @property
    def steps_done(self) -> int:
        """Step of the newest checkpoint, 0 without any."""
        folder = self.folder / "checkpoints"
        return max(checkpoint_files.steps(folder), default=0) if folder.is_dir() else 0

    @property
    def status(self) -> str:
        """For people: what will happen to it."""
        if self.replaced_by:
            return f"replaced by {self.replaced_by}"
        if self.finished:
            return "finished, reused"
        started = (self.folder / "checkpoints").is_dir() and any((self.folder / "checkpoints").iterdir())
        return "to be continued" if started else "to be trained"


class Experiment:
    """The stages of one config: planned when made, trained by run().

    Args:
      config: see configs/base.py.
      feed: the data.
      workdir: everything goes below it.
    """

    def __init__(self, config: ConfigDict, feed: TrainingData, workdir: pathlib.Path, console: Console):
        settings.check(config)
        self.config, self.feed, self.workdir, self.console = config, feed, workdir, console
        # In place of the stage 'teacher', which the plan has not then.
        self.handed_in = HandedInAnswers(config, feed) if answer_folder.is_one(config.replace.teacher) else None
        self.plan = self._make_plan()
        # None when there is nothing to evaluate on.
        self.evaluator = _evaluator(config, feed, console, lambda: self.devices)
        self._loaded: dict[str, dict] = {}

    @functools.cached_property
    def devices(self) -> sharding.Devices:
        """Those that share a step, of all processes. Raises a UserError where the batch does not divide among them."""
        return sharding.choose(self.config.data.batch_size, self.config.train.devices)

    def _make_plan(self) -> dict[str, PlannedStage]:
        planned: dict[str, PlannedStage] = {}
        init_from, replaced = self.config.student.init_from, self.config.replace
        for name in paradigms.needed(self.config.goal, init_from, replaced):
            stage = paradigms.stage(name, init_from)
            if name == "teacher" and self.handed_in:
                continue
            if replaced.get(name):
                of = weights.file_identity(replaced[name], stage.network, self.config[stage.network])
                folder = self.workdir / "stages" / weights.folder_name(name, of)
                planned[name] = PlannedStage(name, stage, {}, of, folder, replaced[name])
                continue
            hashes = {needed: one.hash for needed, one in planned.items()}
            if self.handed_in and stage.distils:
                hashes["teacher"] = self.handed_in.hash
            parents = {needed: hashes[needed] for needed in paradigms.needs(name, init_from)}
            steps = self.config.train.teacher_steps if stage.network == "teacher" else self.config.train.steps
            identity = stage_identity.identity(
                self.config,
                stage,
                self.feed.fingerprint(stage.labelled, stage.adapt),
                parents,
                checkpoint_choice.rule(settings.choice_settings(self.config), stage, steps, self.feed),
            )
            digest = records.hash_json(identity)
            planned[name] = PlannedStage(
                name, stage, identity, digest, self.workdir / "stages" / f"{name}-{digest[:10]}"
            )
        return planned

    def plan_table(self) -> rich.table.Table:
        """The plan for people."""
        table = rich.table.Table(title=f"Plan, in {self.workdir}", title_justify="left", box=rich.box.SIMPLE_HEAD)
        for column in ("stage", "network", "starts from", "teacher", "steps", "what happens", "hash"):
            table.add_column(column, overflow="fold", no_wrap=column not in ("starts from", "what happens"))
        for name, planned in self.plan.items():
            network = self.config[planned.stage.network]
            stride, own = network.output_stride, BACKBONES[network.arch].output_strides[0]
            trained_here = (
                planned.stage.start or weights.start_text(network),
                "yes" if planned.stage.distils else "",
                str(self._settings(planned).steps),
            )
            table.add_row(
                name,
                f"{network.arch} x{network.width:g}" + f", stride {stride}" * (stride not in (0, own)),
                *(("", "", "") if planned.replaced_by else trained_here),
                planned.status,
                planned.hash.removeprefix("file:")[:8],
            )
        return table

    @functools.cached_property
    def _distilled(self) -> dict[str, tuple[paradigms.Stage, StageSettings]]:
        distilled = {name: one for name, one in self.plan.items() if one.stage.distils and not one.replaced_by}
        return {name: (one.stage, self._settings(one)) for name, one in distilled.items()}

    @functools.cached_property
    def answers(self) -> KeptAnswers:
        """What is kept of the answers of a teacher that is a network."""
        return KeptAnswers(self.config, self.feed, self.workdir, self._distilled)

    def teacher_notes(self) -> list[str]:
        """Lines for people: how the teacher's answers come to the stages to come."""
        if all(self.plan[name].finished for name in self._distilled):
            return []
        if self.handed_in:
            return self.handed_in.notes()
        planned = self.plan["teacher"]
        record = records.read_json(planned.folder / "record.json") if planned.finished else None
        return self.answers.notes((record or {}).get("content_hash", ""))

    def ask_teacher(self) -> None:
        """Asks for all answers that are kept, ahead of the stages.

        Raises:
          UserError: the teacher is not finished, or none of its answers are kept.
        """
        if self.handed_in or "teacher" not in self.plan:
            raise UserError(f"the stages of {', '.join(self.config.goal)} ask no teacher that is a network")
        if not self.plan["teacher"].finished:
            raise UserError(
                f"{self.workdir} holds no finished teacher of this config; train it first with the same config and "
                "--workdir, and --config.goal=teacher"
            )
        if not self.answers.forms:
            raise UserError(f"none of the teacher's answers would be kept; {'; '.join(self.teacher_notes())}")
        teacher = self.variables("teacher")
        say = functools.partial(self.console.print, highlight=False, soft_wrap=True)
        self.answers.ask_all(teacher, weights.content_hash(teacher), self.console, reserve=self._reserve, say=say)

    def hints(self) -> list[str]:
        """Lines for people: what the stages to come could start from."""
        to_come = [one for one in self.plan.values() if not one.finished]
        longer = [hint for one in to_come if (hint := self._trained_shorter(one))]
        random = {
            one.stage.network
            for one in to_come
            if not one.stage.start and not self.config[one.stage.network].pretrained
        }
        return longer + [preflight.better_start(self.config, network) for network in sorted(random)]

    def _trained_shorter(self, planned: PlannedStage) -> str:
        """Where a finished stage differs in its number of steps alone: how to go on from it; '' where none does."""
        if planned.stage.start:  # it does not start from `pretrained`
            return ""
        found = {}
        for folder, record in weights.finished(self.workdir):
            identity = record.get("identity")
            if isinstance(identity, dict) and identity | {"steps": 0} == planned.identity | {"steps": 0}:
                found[identity["steps"]] = folder.name
        fewer = [steps for steps in found if steps < planned.identity["steps"]]
        if not fewer:
            return ""
        return (
            f"{planned.name} is finished with {max(fewer)} steps and otherwise the same: --config.goal={planned.name} "
            f"--config.{planned.stage.network}.pretrained={self.workdir}#{found[max(fewer)]} trains on from it"
        )

    def memory_notes(self) -> Iterator[str]:
        """Lines for people: what a step of each stage to come needs, which is compiled for it."""
        for planned in self.plan.values():
            if not planned.finished:
                chosen = self._settings(planned)
                blank = [model and blank_segmenter(model) for model in (chosen.models.segmenter, chosen.models.teacher)]
                job = self._job(planned, blank[0], self._taught_by_nobody(planned, blank[1]), self.console)
                yield f"{planned.stage.title}: {within_budget(job)}"

    def _taught_by_nobody(self, planned: PlannedStage, teacher: dict | None) -> Taught:
        """As _taught, with zeros for answers."""
        if not planned.stage.distils:
            return teacher_answers.untaught(self._settings(planned))
        if self.handed_in:
            taught = self.handed_in.taught(self._settings(planned))
        else:
            taught = self.answers.taught(planned.name, teacher, "")
        answers = dict(taught.settings.options.answers)
        return taught._replace(
            shown=tuple(domain for domain in taught.shown if domain not in answers),
            identified=(),
            added=lambda batches: asking.added(batches, {}, answers),
        )

    def check(self) -> str:
        """Looks at what the stages to come need before any work begins; how long they should take, in a line.

        Raises:
          UserError: a file of weights that does not fit, a workdir that cannot be written, or a disk without room.
        """
        num_classes, planned = len(self.feed.class_names), self.plan.values()
        preflight.check_files(self.config, planned, num_classes)
        if self.handed_in:
            to_come = {name: of for name, of in self._distilled.items() if not self.plan[name].finished}
            self.handed_in.check(to_come)
        preflight.check_plugins(self.config, planned, num_classes)
        preflight.check_disk(self.config, planned, self.workdir, num_classes)
        durations = preflight.Durations(self.workdir)
        to_come = [one for one in planned if not one.finished]
        steps = {one.name: self._settings(one).steps - one.steps_done for one in to_come}
        seconds = {one.name: durations.seconds(self.config, one.stage, steps[one.name]) for one in to_come}
        return preflight.whole_run(seconds)

    def run(self, after: Callable[[str], None] = lambda name: None) -> bool:
        """Trains what is missing and evaluates everything; True when anything had to be done.

        Args:
          after: told the name of each stage that was trained or evaluated now.
        """
        if self.evaluator:
            for evaluator in {self.evaluator.of(planned.stage.network) for planned in self.plan.values()}:
                evaluator.batches()  # finds out before any work whether they can be had
        processes.tell({"do": "begin"})
        worked = False
        for name in self.plan:
            if self.ensure(name):
                worked = True
                after(name)
        processes.tell({"do": "end"})
        return worked

    def ensure(self, name: str, wait_seconds: float = 0) -> bool:
        """Trains and evaluates one stage, whose parents are finished, unless that is done; True when it had to.

        Args:
          wait_seconds: for another process that trains it; the workdir's lock does not cover the jobs of a table.

        Raises:
          UserError: another process trains it all that time.
        """
        planned, worked = self.plan[name], False
        if not planned.finished:
            ensure_writable(planned.folder)
            say = functools.partial(self.console.print, highlight=False, soft_wrap=True)
            with workdir_lock.hold(planned.folder, wait_seconds=wait_seconds, say=say):
                if not planned.finished:  # by the one that was waited for
                    self._train(planned)
            worked = True
        if self.evaluator:
            model = self._settings(planned).models.segmenter
            worked |= self.evaluator.ensure(planned, model, lambda: self._shared(planned, self.variables(name)))
        return worked

    def _shared(self, planned: PlannedStage, variables: dict) -> dict:
        """Weights to evaluate; the other processes are told of it and get them."""
        processes.tell({"do": "evaluate", "stage": planned.name, "hash": planned.hash})
        return self.devices.local(self.devices.replicated(variables))

    def follow(self) -> None:
        """Does its part of what the first process tells to do, to the end; writes nothing.

        Raises:
          UserError: the stages are others than the first process's.
        """
        quiet = Console(quiet=True)
        while (told := processes.hear())["do"] != "end":
            planned = self.plan[told["stage"]]
            if planned.hash != told["hash"]:
                raise UserError(
                    f"process {self.devices.index}: the stage {planned.name} is {planned.hash[:10]} here and "
                    f"{told['hash'][:10]} in the first process: give all the same command, the same data and weights"
                )
            chosen = self._settings(planned)
            models = chosen.models
            student = blank_segmenter(models.segmenter)
            if told["do"] == "train":
                teacher = blank_segmenter(models.teacher) if models.teacher else None
                # Among several processes it is never kept what it says, see teacher_answers/kept.py.
                taught = teacher_answers.asked_inside(chosen, teacher, {})
                train(self._job(planned, student, taught, quiet), quiet)
            else:
                variables = self.devices.local(self.devices.replicated(student))
                self.evaluator.of(planned.stage.network).score(planned.stage.title, models.segmenter, variables)

    def variables(self, name: str) -> dict:
        """Weights and batch statistics of a finished stage."""
        if name not in self._loaded:
            planned = self.plan[name]
            path = planned.replaced_by or planned.folder / weights.FILE
            self._loaded[name] = weights.load(path, self._settings(planned).models.segmenter)
        return self._loaded[name]

    def _settings(self, planned) -> StageSettings:
        return settings.stage_settings(self.config, planned.stage, len(self.feed.class_names))

    def _job(self, planned: PlannedStage, student: dict, taught: Taught, console: Console) -> StageJob:
        """A stage to train from weights of a student, or of shapes alone where this is not the first process."""
        stage, chosen = planned.stage, self._settings(planned)
        unreadable = self.feed.unreadable(_saying(stage, console))
        return StageJob(
            title=stage.title,
            stage=planned.name,
            folder=planned.folder,
            settings=taught.settings,
            loop=settings.loop_settings(self.config),
            segmenter=student,
            seed=self.config.seed,
            teacher=taught.teacher,
            batches=lambda step, whole=False: taught.added(
                self.feed.train_batches(
                    seed=self.config.seed,
                    start_step=step,
                    labelled=stage.labelled,
                    with_target=stage.adapt,
                    mix_classes=stage.distil_target,
                    extras=step_setup.data_wanted(chosen.options),
                    unreadable=unreadable,
                    network=stage.network,
                    taught_on=taught.shown,
                    clean=chosen.clean,
                    identified=taught.identified,
                    host=(0, 1) if whole else self.devices.host,
                )
            ),
            eval_batches=self.evaluator.of(stage.network).batches if self.evaluator else None,
            selection=checkpoint_choice.from_rule(
                planned.identity.get("selection"), chosen.models.segmenter, self.feed, stage.network, self.devices
            ),
            show=self.evaluator.picture_names()[:4] if self.evaluator else (),
            config=records.plain(self.config),
            identity=planned.identity,
            palette=self.feed.palette,
            unreadable=unreadable,
        )

    def _train(self, planned: PlannedStage) -> None:
        stage, chosen = planned.stage, self._settings(planned)
        say = _saying(stage, self.console)
        teacher = self.variables("teacher") if stage.distils and not self.handed_in else None
        taught = self._taught(planned, teacher, say) if stage.distils else teacher_answers.untaught(chosen)
        record = records.environment() | {
            "status": "training",
            "stage": planned.name,
            "hash": planned.hash,
            "identity": planned.identity,
            "config": records.plain(self.config),
            "seed": self.config.seed,
            "teacher_content_hash": weights.content_hash(teacher) if teacher else None,
            **teacher_answers.told(planned.folder, planned.steps_done, taught.told, say),
            "starts_from": stage.start or weights.start_text(self.config[stage.network]),
            "data_fingerprint": self.feed.fingerprint(stage.labelled, stage.adapt),
            "class_names": list(self.feed.class_names),
            "palette": np.asarray(self.feed.palette).tolist(),
            "licences": self._licences(stage),
        }
        records.write_json(planned.folder / "record.json", record)
        network = self.config[stage.network]
        start = (
            self.variables(stage.start)
            if stage.start
            else weights.start(chosen.models.segmenter, network, self.config.seed, stage.network)
        )
        processes.tell({"do": "train", "stage": planned.name, "hash": planned.hash})
        job = self._job(planned, start, taught, self.console)
        began = time.monotonic()
        trained = train(job, self.console)
        process_minutes = round((time.monotonic() - began) / 60, 4)
        weights.save_finished(planned.folder, trained.variables, chosen.models.segmenter)
        self._loaded[planned.name] = trained.variables
        finished = {
            "status": "finished",
            "content_hash": weights.content_hash(trained.variables),
            "weight_files": list(weights.FILES),
            "weights_of_step": trained.step,
            # With evaluations and compilation: what preflight.Durations expects of such stages.
            "timing": trained.timing | {"process_minutes": process_minutes},
            **({"unreadable_examples": job.unreadable.reasons} if job.unreadable else {}),
            **({"skipped_steps": trained.skipped} if trained.skipped else {}),
            **({"memory": trained.memory} if trained.memory else {}),
        }
        records.write_json(planned.folder / "record.json", record | finished)

    @property
    def _reserve(self) -> int:
        """Bytes that answers leave free on the disk."""
        return preflight.bytes_to_come(self.config, self.plan.values(), len(self.feed.class_names))

    def _taught(self, planned: PlannedStage, teacher: dict | None, say: Callable[[str], None]) -> Taught:
        if self.handed_in:
            return self.handed_in.taught(self._settings(planned))
        content_hash = weights.content_hash(teacher)
        return self.answers.taught(planned.name, teacher, content_hash, reserve=self._reserve, say=say)

    def _licences(self, stage: paradigms.Stage) -> dict[str, str | None]:
        """Of the data that a stage learns from, and of the answers that another program made."""
        own = {"the teacher's answers": self.handed_in.folder.licence} if self.handed_in and stage.distils else {}
        return self.feed.licences(stage.labelled, stage.adapt) | own


def _saying(stage: paradigms.Stage, console: Console) -> Callable[[str], None]:
    """What prints a line about a stage."""
    return lambda line: console.print(f"{stage.title}: {line}", highlight=False, soft_wrap=True)


def _evaluator(
    config: ConfigDict, feed: TrainingData, console: Console, among: Callable[[], sharding.Devices]
) -> Evaluator | None:
    """None for a target without any labels, such as a folder of the user's own pictures; else a must."""
    problem = feed.evaluation_problem()
    if problem and not feed.target_lacks_labels():
        raise UserError(problem)
    if problem:
        return None
    teacher = settings.training_size(config, "teacher")
    return Evaluator(settings.evaluation_settings(config), feed, console, teacher, among)


def ensure_writable(folder: pathlib.Path) -> None:
    """Makes a folder and writes to it once; UserError when that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror}; make room, allow writing, or choose another --workdir"
        ) from error
