"""What verify and compare read of the evaluations that lie beside a stage's weights."""

import hashlib
import pathlib
from collections.abc import Iterator

import numpy as np

from dakd_jax.basics import kept_arrays, records
from dakd_jax.evaluation import metrics
from dakd_jax.evaluation.evaluation_store import CONFUSION, OF


def problems(folder: pathlib.Path, stage: str) -> Iterator[str]:
    """A line for each evaluation or matrix of a stage's folder that is not what it says.

    Args:
      stage: the stage's hash.
    """
    stems = {path.with_suffix("") for ending in ("json", "npz") for path in folder.glob(f"evaluation-*.{ending}")}
    for stem in sorted(stems):
        yield from _bad_evaluation(stem.with_suffix(".npz"), stage)
    for path in sorted(folder.glob("protocols-*.npz")):
        yield from _bad_matrix(path, stage)


def _bad_evaluation(path: pathlib.Path, stage: str) -> Iterator[str]:
    """Of its arrays; the JSON file beside them is derived."""
    beside, again = path.with_suffix(".json"), "the command that trained it makes it anew"
    told = records.read_json(beside)
    if told is None or not path.exists():
        yield f"{beside.name} is not whole ({again})"
    elif OF not in told:
        yield from _bad_earlier_evaluation(path, told, stage)
    elif (found := kept_arrays.read(path)) is None:
        yield f"{path.name} is damaged ({again})"
    elif found[0].get("network") != stage or told.get("hash") != stage:
        yield f"{path.name} is of another stage"
    elif found[0] != told[OF] or not path.stem.endswith(records.hash_json(found[0])[:8]):
        yield f"{path.name} is not the evaluation that {beside.name} is of"
    elif records.plain(metrics.scores(found[1][CONFUSION]).as_dict()) != told.get("scores"):
        yield f"{beside.name} does not hold the scores of its confusion matrix"


def _bad_earlier_evaluation(path: pathlib.Path, told: dict, stage: str) -> Iterator[str]:
    """Of a release that kept evaluations by the protocol's name; nothing reads them but this."""
    if told["hash"] != stage:
        yield f"{path.with_suffix('.json').name} is of another stage"
    if "npz" in told and hashlib.sha256(path.read_bytes()).hexdigest() != told["npz"]:
        yield f"{path.name} has changed"
        return
    with np.load(path) as stored:
        scores = metrics.scores(stored[CONFUSION]).as_dict()
    if records.plain(scores) != told["scores"]:
        yield f"{path.with_suffix('.json').name} does not hold the scores of its confusion matrix"


def _bad_matrix(path: pathlib.Path, stage: str) -> Iterator[str]:
    """Of the counts of --mode=protocols."""
    found, beside = kept_arrays.read(path), path.with_suffix(".json")
    if found is None:
        yield f"{path.name} is damaged (--mode=protocols makes it anew)"
        return
    if found[0]["network"] != stage:
        yield f"{path.name} is of another stage"
    if (told := records.read_json(beside)) is None:
        yield f"{beside.name} is not whole (--mode=protocols makes it anew)"
        return
    for name in found[0]["protocols"]:
        scores = records.plain(metrics.scores(found[1][f"confusion/{name}"]).as_dict())
        of_it = told.get("scores", {}).get(name, {})
        if {key: of_it.get(key) for key in scores} != scores:
            yield f"{beside.name} does not hold the scores of its confusion matrix under {name}"


def evaluations(folder: pathlib.Path) -> dict[str, dict]:
    """{protocol: scores} of a stage's evaluations.

    Where one name stands for several (other rules, sizes or data) each has the start of a hash of these after its name.
    Those of earlier releases, which do not say it, count only where there is no other under their name.
    """
    by_name: dict[str, dict[str, dict]] = {}
    for path in sorted(folder.glob("evaluation-*.json")):
        told = records.read_json(path) or {}
        of = {key: value for key, value in told.get(OF, {}).items() if key not in ("network", "pictures")}
        of_one_name = by_name.setdefault(str(told.get("protocol")), {})
        of_one_name[records.hash_json(of)[:8] if of else ""] = told.get("scores", {})
    found = {}
    for name, by_hash in by_name.items():
        known = {key: scores for key, scores in by_hash.items() if key} or by_hash
        for key, scores in known.items():
            found[name if len(known) == 1 else f"{name} ({key})"] = scores
    return found
