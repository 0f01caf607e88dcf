"""Is what lies in a run's folder what its records say, and what differs between two runs?"""

import pathlib
from collections.abc import Iterator

import rich.box
import rich.table
from rich.console import Console

from dakd_jax import checkpoint_files, kept_scores, pretrained, records, weights
from dakd_jax.errors import UserError
from dakd_jax.logs import METRICS, read_row
from dakd_jax.weights import RECORD

# Told since some release: the absence in an older record is no difference.
_ADDED = ("class_names", "palette", "licences", "weight_files")
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
        if not parent.startswith("file:") and not (folder.parent / f"{name}-{parent[:10]}").is_dir():
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
    told = record.get("weight_files", [weights.FILE])
    for name in weights.FILES:
        path = folder / name
        if name not in told and not path.exists():
            continue
        try:
            found = records.hash_arrays(pretrained.read_state_dict(path))
        except (OSError, UserError) as error:
            yield f"{name} cannot be read ({error})"
            continue
        if found != record["content_hash"]:
            yield f"{name} does not hold the recorded weights"


def compare(first: pathlib.Path, second: pathlib.Path, console: Console) -> bool:
    """Prints what differs between the records and scores of two runs; True when nothing does.

    Raises:
      UserError: one of them holds no stages.
    """
    ours, theirs = ({f.name.rsplit("-", 1)[0]: f for f in _stages(folder)} for folder in (first, second))
    same = True
    for name in {**ours, **theirs}:
        rows = _differences(*(_facts(stages.get(name)) for stages in (ours, theirs)))
        same &= not rows
        if not rows:
            console.print(f"{name}: no difference", highlight=False)
            continue
        table = rich.table.Table(title=name, title_justify="left", box=rich.box.SIMPLE_HEAD)
        for header in ("", str(first), str(second)):
            table.add_column(header, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    return same


def _facts(folder: pathlib.Path | None) -> dict:
    """All that is compared of a stage, flat; {} of none."""
    if folder is None:
        return {}
    record = {k: v for k, v in (records.read_json(folder / RECORD) or {}).items() if k not in _PASSING}
    scores = {f"scores under {name}": of for name, of in kept_scores.evaluations(folder).items()}
    return records.flatten(record | scores)


def _differences(ours: dict, theirs: dict) -> list[tuple[str, str, str]]:
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    if ours and theirs:
        names = [name for name in names if name.split(".")[0] not in _ADDED or (name in ours and name in theirs)]
    return [(name, str(ours.get(name, "absent")), str(theirs.get(name, "absent"))) for name in names]
