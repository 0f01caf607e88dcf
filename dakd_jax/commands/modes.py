"""What `python run.py` can do, one function for each mode."""

import contextlib
import pathlib

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from dakd_jax.basics import disk_faults, plugs, workdir_lock
from dakd_jax.basics.errors import UserError
from dakd_jax.basics.progress import StageProgress
from dakd_jax.commands import table_of_paper as table_command
from dakd_jax.evaluation import protocols as definitions
from dakd_jax.evaluation.evaluation_store import Evaluator
from dakd_jax.objectives import paradigms
from dakd_jax.stages import networks, own_records, run_folder, settings, weights
from dakd_jax.stages.experiment import Experiment, ensure_writable
from dakd_jax.studies.attribution import attribution_page, collection, store
from dakd_jax.studies.experiment import checkpoints, headline, results, tables
from dakd_jax.studies.experiment.page import write_report, write_seeds_report
from dakd_jax.studies.experiment.seeds import seeds_table
from dakd_jax.studies.kit import more_pages, stamp
from dakd_jax.studies.paper_tables.jobs import jobs
from dakd_jax.studies.pictures import page as qualitative_page
from dakd_jax.studies.pictures import tables as qualitative
from dakd_jax.studies.pictures.gallery import Gallery
from dakd_jax.studies.protocols import protocol_results, protocol_tables
from dakd_jax.studies.protocols.page import write_protocols_report
from dakd_jax.studies.protocols.store import MatrixStore
from dakd_jax.studies.submission import Submission
from dakd_jax.training import train_state
from dakd_jax.training.checkpoint_files import UnreadableCheckpoint
from dakd_jax.training.runtime import compilation_cache
from dakd_jax.training.train_step import FINITE, train_step
from dakd_jax.training.watch import black_box, diagnosis


def train(config, feed, workdir: pathlib.Path, console: Console, *, name: str, command: str, seeds=()) -> None:
    """Prints the plan, trains what is missing, evaluates all, prints the tables, writes the report.

    With `seeds` all that once for each of them, and then a report over the seeds.
    """
    with _working_in(workdir):
        if not seeds:
            _train(config, feed, workdir, console, name, command)
            return
        found, pages = [], {}
        for seed in seeds:
            console.rule(f"seed {seed}", align="left")
            config.seed = seed
            experiment, pages[seed] = _train(config, feed, workdir, console, f"{name}_seed{seed}", command)
            found.append(experiment)
        if None in found:  # nothing to score on
            return
        page = write_seeds_report(found, workdir / f"report_{name}_seeds", command=command, pages=pages)
        console.rule("over the seeds", align="left")
        console.print(seeds_table(found).to_rich())
        console.print(f"Report: {page}", highlight=False, soft_wrap=True)


def _train(config, feed, workdir, console, name, command):
    """(what the report shows, its page) of one seed; (None, None) without pictures to score on."""
    experiment = _planned(config, feed, workdir, console)
    _say_what_is_to_come(experiment, console)
    worked = experiment.run()
    if not experiment.evaluator:
        _say_where(experiment, console)
        return None, None
    found = results.collect(experiment, name, command)
    page = _report(workdir, name)
    of = results.identity(experiment)
    if worked or not stamp.is_of(page, of):
        with stamp.writing(page, of):
            write_report(found, page.parent)
    console.print(tables.console_table(found))
    console.print(tables.console_class_table(found))
    if table := checkpoints.checkpoint_table(found):
        console.print(table.to_rich())
    console.print(headline.headline(found).verdict, highlight=False)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)
    return found, page


def _report(workdir: pathlib.Path, name: str) -> pathlib.Path:
    """The page of the experiment `name`."""
    return workdir / f"report_{name}" / "index.html"


@contextlib.contextmanager
def _disk_faults(workdir: pathlib.Path):
    """A full disk, a workdir that may not be written, and a checkpoint that cannot be read, are the user's to mend."""
    try:
        yield
    except UnreadableCheckpoint as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}; the checkpoint is left where it is: give the same "
            "command when it can be read again, or delete the checkpoint's folder to go on from the one before"
        ) from error
    except OSError as error:
        if not disk_faults.of_writing_to(error, workdir):
            raise
        raise UserError(
            f"cannot write {error.filename or workdir}: {error.strerror}; make room or choose another --workdir, "
            "then give the same command to go on"
        ) from error


def _say_where(experiment: Experiment, console: Console) -> None:
    """The end of a run on a city without any labels."""
    console.print("No labelled target pictures to score on. The finished networks:", highlight=False)
    for name, planned in experiment.plan.items():
        console.print(
            f"  {name}: {planned.replaced_by or planned.folder / weights.FILE}", highlight=False, soft_wrap=True
        )


def plan(config, feed, workdir: pathlib.Path, console: Console, *, name: str, command: str) -> None:
    """Prints the plan, having looked at all that its stages need."""
    _say_what_is_to_come(_planned(config, feed, workdir, console), console)


def _say_what_is_to_come(experiment: Experiment, console: Console) -> None:
    """Before any work: what cannot work ends here, and how long the rest should take is said."""
    if line := experiment.check():
        console.print(line, highlight=False, soft_wrap=True)


def evaluate(config, feed, workdir: pathlib.Path, console: Console, *, name: str, command: str) -> None:
    """Scores one checkpoint on target val."""
    settings.check(config)
    if not config.eval.checkpoint:
        raise UserError("--mode=evaluate needs --config.eval.checkpoint=PATH, a stage folder or a .pth file")
    model = networks.checkpoint_model(config, len(feed.class_names))
    evaluator = Evaluator(config, feed, console)
    confusion, _ = evaluator.score(config.eval.checkpoint, model, weights.load(config.eval.checkpoint, model))
    console.print(results.single_table(config, feed, confusion))
    console.print(results.one_line(confusion), highlight=False)


def protocols(config, feed, workdir: pathlib.Path, console: Console, *, name: str, command: str) -> None:
    """Scores finished networks under every protocol at once, prints the tables, writes the report."""
    rows, name = definitions.matrix(config.eval.scales), more_pages.page_name(workdir, name, config.seed)
    with _working_in(workdir):
        chosen = networks.finished(config, feed, workdir, console)
        matrix = MatrixStore(config, feed, rows, console)
        matrix.ensure(chosen)
        study = protocol_results.study(config, feed, matrix, chosen, name, command)
        page = workdir / f"protocols_{name}" / "index.html"
        with stamp.writing(page, {"stages": {network.name: network.hash for network in chosen}}):
            write_protocols_report(study, page.parent)
        more_pages.update(_report(workdir, name))
    for network in study.networks:
        console.print(protocol_tables.network_table(study, network).to_rich())
    console.print(protocol_tables.spread_table(study).to_rich())
    for line in (*protocol_tables.sentences(study), *study.notes, f"Report: {page}"):
        console.print(line, highlight=False, soft_wrap=True)


def submit(config, feed, workdir: pathlib.Path, console: Console, *, name: str, command: str) -> None:
    """Writes the label files of one network for the Cityscapes server, and a zip of them."""
    with _working_in(workdir):
        network = networks.wanted(config, feed, workdir, console)
        folder = workdir / f"submission_{name}_{config.eval.split}"
        submission = Submission(config, feed, network, folder, console)
        if note := submission.note():
            console.print(f"note: {note}", highlight=False, soft_wrap=True)
        archive, written = submission.write()
    console.print(f"{written} of {len(submission.names)} label files written now, in {folder}", soft_wrap=True)
    console.print(f"To upload: {archive}", highlight=False, soft_wrap=True)


def attribution(config, feed, workdir: pathlib.Path, console: Console, *, name: str, command: str) -> None:
    """Counts what distillation did to the networks of a finished plan, prints the tables, writes the report."""
    name = more_pages.page_name(workdir, name, config.seed)
    folder = workdir / f"attribution_{name}"
    with _working_in(workdir):
        experiment = _planned(config, feed, workdir, console)
        collector = collection.Collector(experiment)
        identity = store.identity(experiment)
        found, new = store.ensure(folder, identity, collector.collect)
        page, of = folder / "index.html", results.identity(experiment) | {"attribution": identity}
        if new or not stamp.is_of(page, of):
            with stamp.writing(page, of):
                attribution_page.write_attribution(found, folder, title=config.title or name, command=command)
        more_pages.update(_report(workdir, name))
    for table in attribution_page.console_tables(found):
        console.print(table.to_rich())
    console.print(attribution_page.verdict(found), highlight=False)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)


def table(command, open_feed, console: Console, *, program: pathlib.Path, typed: str) -> bool:
    """Fills a table of the paper, see tables_of_paper/; False when one of its stages failed.

    Args:
      command: the command line, with a config that names a table.
      open_feed: from config.data to the data.
      program: path of run.py, which the jobs run as well.
      typed: the command as it was given.
    """
    own_records.settle(
        command.config,
        checkpoint=False,
        class_names=open_feed(command.config.data).class_names,
        given=command.given,
        goal=tuple(paradigms.STAGES),
    )
    if command.mode == "plan":
        table_command.make(command, open_feed, console)
        return True
    with _working_in(command.workdir):
        plan = table_command.make(command, open_feed, console)
        return table_command.run(plan, command, console, program=program, typed=typed)


def job(path: str, open_feed, console: Console) -> None:
    """One stage of a table, in a process that `table` started."""
    with _disk_faults(jobs.workdir(path)):
        jobs.do(path, open_feed, console)


def figures(config, feed, workdir: pathlib.Path, console: Console, *, name: str, command: str) -> None:
    """Draws pictures of a finished plan that were selected or named, prints which, writes PNG, PDF and a page."""
    name = more_pages.page_name(workdir, name, config.seed)
    page = workdir / f"figures_{name}" / "index.html"
    with _working_in(workdir):
        experiment = Experiment(config, feed, workdir, console)
        gallery = Gallery(experiment, page.parent / "predictions")
        found = gallery.comparison(title=config.title or name, command=command)
        with stamp.writing(page, results.identity(experiment)):
            qualitative_page.write_figures(found, gallery.pictures, page.parent)
        gallery.forget_the_rest()
        more_pages.update(_report(workdir, name))
    for selection in found.selections:
        console.print(qualitative.pictures_table(found, selection).to_rich())
    console.print(qualitative.verdict(found), highlight=False)
    console.print(f"Figures: {page}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _working_in(workdir: pathlib.Path):
    """Holds a workdir; faults of the disk end as one line."""
    ensure_writable(workdir)
    with workdir_lock.hold(workdir), _disk_faults(workdir):
        compilation_cache.enable(workdir)
        yield


MODES = {
    "train": own_records.reading(train),
    "plan": own_records.reading(plan),
    "evaluate": own_records.reading(evaluate, of_checkpoint=True),
    "protocols": own_records.reading(protocols, of_checkpoint=True),
    "submit": own_records.reading(submit, of_checkpoint=True),
    "attribution": own_records.reading(attribution),
    "figures": own_records.reading(figures),
}

# (command, console) to whether all is the same.
FOLDER_MODES = {
    "verify": lambda command, console: run_folder.verify(command.workdir, console),
    "compare": lambda command, console: run_folder.compare(
        *map(pathlib.Path, command.arguments), console, full=command.full
    ),
}


def _planned(config, feed, workdir, console) -> Experiment:
    experiment = Experiment(config, feed, workdir, console)
    labelled = {planned.stage.labelled for planned in experiment.plan.values()}
    for note in (*feed.domains.notes, *feed.audit(labelled)):
        console.print(f"data: {note}", highlight=False, soft_wrap=True)
    console.print(experiment.plan_table())
    if not experiment.evaluator:
        console.print("No label of the target is at hand: its networks are trained, and not scored.", highlight=False)
    return experiment


def replay(path: str, console: Console) -> bool:
    """Runs a bundle's step again, and names the first places that are not finite; True when all is."""
    bundle = black_box.load(path)
    config, name = ConfigDict(bundle.about["config"]), bundle.about["stage"]
    plugs.load(settings.words(config.get("plugins", ())))
    chosen = settings.stage_settings(
        config, paradigms.stage(name, config.student.init_from), bundle.about["num_classes"]
    )
    like = train_state.blank(chosen)
    state = black_box.fill(like, bundle.state)
    teacher = (
        black_box.fill(train_state.blank_segmenter(chosen.models.teacher), bundle.teacher) if bundle.teacher else None
    )
    inputs = (state, teacher, bundle.batch, chosen.weights)
    statics = {"models": chosen.models, "options": chosen.options}
    found = diagnosis.first_nonfinite(*inputs, **statics)
    optimizers = {"optimizer": chosen.optimizer, "discriminator_optimizer": chosen.discriminator_optimizer}
    _, losses = train_step(*inputs, bundle.rates, **statics, **optimizers)
    values = {term: float(value) for term, value in losses.items() if term != FINITE}
    console.print(f"step {bundle.about['step']} of {name}, from {path}", highlight=False, soft_wrap=True)
    for term, value in values.items():
        console.print(f"  {term:<44} {value:.6g}", highlight=False)
    if bundle.about.get("came_again") is False:
        console.print(f"  {_met_before(bundle.about)}", highlight=False, soft_wrap=True)
    if not found:
        bad = [term for term, value in values.items() if not np.isfinite(value)]
        console.print(f"first not finite: {bad[0] if bad else 'nothing'}", highlight=False)
        return not bad
    console.print(f"first not finite: {found[0]}", highlight=False)
    for place in found[1:MOST_PLACES]:
        console.print(f"  then {place}", highlight=False)
    return False


def _met_before(about: dict) -> str:
    """Of a step that was kept though it did not go wrong again."""
    values = ", ".join(f"{term} ({value})" for term, value in about["values"].items())
    return f"not finite when it was first made: {values}; made again before it was kept, all was finite"


MOST_PLACES = 10  # that a replay lists


def rendering_progress(console: Console):
    """A callback (done, total) that shows the rendering of the toy city."""
    shown: list[StageProgress] = []

    def update(done: int, total: int) -> None:
        if not shown:
            shown.append(StageProgress(console, "Rendering the toy city", total, unit="picture").__enter__())
        shown[0].update(done)
        if done == total:
            shown[0].__exit__()

    return update
