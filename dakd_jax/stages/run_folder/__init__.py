"""Is what lies in a run's folder what its records say, and what differs between two runs?"""

import pathlib
from collections import Counter
from collections.abc import Iterator

from rich.console import Console

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import kept_scores
from dakd_jax.evaluation.logs import METRICS, read_row
from dakd_jax.models.backbones import BACKBONES, Published
from dakd_jax.models.weight_files import pretrained
from dakd_jax.objectives import paradigms
from dakd_jax.stages import older_configs, weights
from dakd_jax.stages.run_folder import comparison
from dakd_jax.stages.run_folder.comparison import Difference
from dakd_jax.stages.weights import RECORD
from dakd_jax.training import checkpoint_files
from dakd_jax.training.teaching import answer_files

# Told since some release: the absence in an older record is no difference.
_ADDED = ("class_names", "palette", "licences", "weight_files", "teacher_answers")
# Differ between any two runs of the same thing.
_PASSING = ("timing", "command", "status")


def verify(workdir: pathlib.Path, console: Console) -> bool:
    """Checks every stage under a workdir and prints a line for each; True when all is as recorded.

    Raises:
      UserError: there are no stages.
    """
    sound = True
    for folder in _stages(workdir):
        problems = list(_problems(folder))
        sound &= not problems
        status = (records.read_json(folder / RECORD) or {}).get("status", "")
        console.print(
            f"{folder.name}: {'; '.join(problems) or f'as recorded ({status})'}", highlight=False, soft_wrap=True
        )
    for name, told, whole in answer_files.verified(workdir):
        sound &= whole
        console.print(f"{answer_files.FOLDER}/{name}: {told}", highlight=False, soft_wrap=True)
    return sound


def _stages(workdir: pathlib.Path) -> list[pathlib.Path]:
    """Folders of the stages of a workdir, or the folder itself if it is that of a stage."""
    if (workdir / RECORD).exists():
        return [workdir]
    found = sorted(path.parent for path in workdir.glob(f"stages/*/{RECORD}"))
    if not found:
        raise UserError(f"{workdir} holds no stages (stages/*/{RECORD}); name the --workdir of a run")
    return found


def _problems(folder: pathlib.Path) -> Iterator[str]:
    record = records.read_json(folder / RECORD)
    if record is None:
        yield f"{RECORD} cannot be read"
        return
    if records.hash_json(record["identity"]) != record["hash"]:
        yield "the hash is not that of the recorded identity"
    if not folder.name.endswith(record["hash"][:10]):
        yield f"the folder is named after another hash than {record['hash'][:10]}"
    for name, parent in record["identity"].get("parents", {}).items():
        if not parent.startswith(("file:", "answers:")) and not (folder.parent / f"{name}-{parent[:10]}").is_dir():
            yield f"its parent {name}-{parent[:10]} is not here"
    yield from _bad_rows(folder, record)
    if record["status"] == "finished":
        yield from _bad_weights(folder, record)
    yield from checkpoint_files.verify(folder / "checkpoints")
    yield from kept_scores.problems(folder, record["hash"])


def _bad_rows(folder: pathlib.Path, record: dict) -> Iterator[str]:
    path, last, evaluated = folder / METRICS, 0, set()
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        if (row := read_row(line)) is None:
            yield f"metrics.jsonl: line {number} is no row"
            return
        step = row["step"]
        if step < last:
            yield f"metrics.jsonl: line {number} goes back to step {step}"
        last = step
        if row.get("kind") == "eval":
            evaluated.add(last)
    if record["status"] == "finished" and last != record["identity"]["steps"]:
        yield f"metrics.jsonl ends at step {last} of {record['identity']['steps']}"
    if (chosen := record.get("weights_of_step", last)) != last and chosen not in evaluated:
        yield f"the weights are said to be of step {chosen}, which was never evaluated"


def _bad_weights(folder: pathlib.Path, record: dict) -> Iterator[str]:
    """Of every file that the record tells of; stages of earlier releases have weights.FILE alone, and do not say so."""
    told, arch = record.get("weight_files", [weights.FILE]), _arch(record)
    published = BACKBONES[arch].published if arch in BACKBONES else Published()
    for name in weights.FILES:
        path = folder / name
        if name not in told and not path.exists():
            continue
        try:
            found = records.hash_arrays(pretrained.read_state_dict(path, published))
        except (OSError, UserError) as error:
            yield f"{name} cannot be read ({error})"
            continue
        if found != record["content_hash"]:
            unknown = f" (its backbone {arch!r} is not known here: name its file in --config.plugins)"
            yield f"{name} does not hold the recorded weights" + unknown * (arch not in BACKBONES)


def _arch(record: dict) -> str:
    """Name of the stage's backbone; '' where the record does not tell."""
    stage = paradigms.STAGES.get(str(record.get("stage")))
    return str(records.flatten(record).get(f"config.{stage.network}.arch", "")) if stage else ""


def compare(first: pathlib.Path, second: pathlib.Path, console: Console, *, full: bool = False) -> bool:
    """Prints what differs between the records and scores of two runs; True when nothing does.

    Few differences are listed stage by stage, of more those that tell most unless `full`.

    Raises:
      UserError: one of them holds no stages.
    """
    ours, theirs = _titled(_stages(first), _stages(second))
    runs, common = (str(first), str(second)), [name for name in ours if name in theirs]
    found = {name: list(_differences(_facts(ours[name]), _facts(theirs[name]))) for name in common}
    found = {name: differences for name, differences in found.items() if differences}
    for name in common:
        if name not in found:
            console.print(f"{name}: no difference", highlight=False)
    for run, lone in ((second, ours.keys() - theirs.keys()), (first, theirs.keys() - ours.keys())):
        if lone:
            names = ", ".join(name for name in {**ours, **theirs} if name in lone)
            console.print(f"absent in {run}: {names}", highlight=False, soft_wrap=True, markup=False)
    if full or sum(map(len, found.values())) <= comparison.FEW:
        for name, differences in found.items():
            console.print(comparison.stage_table(name, differences, runs))
    else:
        console.print(comparison.short_table(found, runs, console.width))
        console.print(comparison.counts_line(found), highlight=False, soft_wrap=True)
    return not found and ours.keys() == theirs.keys()


def _titled(*runs: list[pathlib.Path]) -> Iterator[dict[str, pathlib.Path]]:
    """{title: folder} of the stages of each run: by name where each has one of it, else by seed, else by folder."""
    for title in (_name, _name_and_seed):
        several = {name for run in runs for name, count in Counter(map(title, run)).items() if count > 1}
        if not several:
            break
    for run in runs:
        yield {folder.name if title(folder) in several else title(folder): folder for folder in run}


def _name(folder: pathlib.Path) -> str:
    return folder.name.rsplit("-", 1)[0]


def _name_and_seed(folder: pathlib.Path) -> str:
    seed = records.flatten(records.read_json(folder / RECORD) or {}).get("config.seed", "unknown")
    return f"{_name(folder)}, seed {seed}"


def _facts(folder: pathlib.Path) -> dict:
    """All that is compared of a stage, flat."""
    record = {k: v for k, v in (records.read_json(folder / RECORD) or {}).items() if k not in _PASSING}
    if isinstance(config := record.get("config"), dict):
        record["config"] = config = records.plain(older_configs.modernise(config))
        for network in config.keys() & {"student", "teacher"}:
            config[network] |= weights.network_fields(config[network])
    scores = {f"scores under {name}": of for name, of in kept_scores.evaluations(folder).items()}
    return records.flatten(record | scores)


def _differences(ours: dict, theirs: dict) -> Iterator[Difference]:
    for name in {**ours, **theirs}:
        told_later = ours and theirs and name.split(".")[0] in _ADDED and not (name in ours and name in theirs)
        if ours.get(name) != theirs.get(name) and not told_later:
            yield Difference(name, str(ours.get(name, "absent")), str(theirs.get(name, "absent")))
