"""Where a network comes from, as its stage's record tells it; no path of the machine that trained it."""

import math
import pathlib
from collections.abc import Iterator, Mapping

from dakd_jax.basics import records
from dakd_jax.deploy.finding import Found, packed
from dakd_jax.models.backbones import BACKBONES
from dakd_jax.models.preprocessing import NORMALISERS
from dakd_jax.objectives import paradigms
from dakd_jax.stages import weights
from dakd_jax.stages.teacher_answers import HANDED_IN

_SCORES = ("miou", "miou_present", "pixel_accuracy", "mean_class_accuracy", "iou")
_OF_RECORD = ("stage", "hash", "seed", "weights_of_step", "content_hash", "data_fingerprint", "git_commit", "versions")


def origin(found: Found) -> dict:
    """What is known of a network's training, as plain data; {} of a file of weights without a record.

    Keys where they are known: those of the record that matter to others, 'title' of the stage, 'data' (the pair's
    name), 'adaptation' (methods), 'teacher' (of a distilled stage), 'starts_from', 'chosen_by' (the rule of the
    checkpoint), 'scores' (of each protocol, shares).
    """
    if folder := packed.folder_of(found.place):
        return packed.read(folder)["origin"]
    if not (told := weights.recorded(found.place.path)):
        return {}
    file, record, _ = told
    config, stage = record["config"], paradigms.STAGES[record["stage"]]
    known = {name: record.get(name) for name in _OF_RECORD}
    known |= {
        "title": stage.title,
        "data": _data(config.get("data") or {}),
        "adaptation": list((config.get("adaptation") or {}).get("methods", ())) if stage.adapt else [],
        "teacher": _teacher(record) if stage.distils else None,
        "starts_from": _without_folder(str(record.get("starts_from") or "")),
        "chosen_by": (config.get("train") or {}).get("select"),
        "scores": list(_scores(file.parent, record.get("hash"))),
    }
    return records.plain({name: value for name, value in known.items() if value not in (None, "", [])})


def _teacher(record: dict) -> dict:
    """The network of a distilled stage; of answers that were handed in what is known of them, as 'arch'."""
    given = [how for how in (record.get("teacher_answers") or {}).values() if how.startswith(HANDED_IN)]
    if given:
        return {"arch": given[0].removeprefix(HANDED_IN)}
    return {field: record["config"]["teacher"].get(field) for field in ("arch", "width")}


def _data(data: Mapping) -> str:
    """The pair's name, or source -> target."""
    source, target = data.get("source"), data.get("target")
    if not (source or target):
        return str(data.get("name") or "")
    sources = source if isinstance(source, (list, tuple)) else str(source or data.get("name") or "").split(",")
    return f"{' + '.join(_without_folder(str(one)) for one in sources)} -> {_without_folder(str(target or 'the same'))}"


def _without_folder(words: str) -> str:
    """'trunk FOLDER/FILE' as 'trunk FILE', 'FOLDER/FILE' as 'FILE'."""
    path = words.removeprefix("trunk ")
    return words[: len(words) - len(path)] + pathlib.PurePath(path).name


def _scores(folder: pathlib.Path, identity) -> Iterator[dict]:
    """Of each protocol that the stage was evaluated under, the evaluation that was written last."""
    newest = {}
    for file in sorted(folder.glob("evaluation-*.json"), key=lambda path: path.stat().st_mtime_ns):
        told = records.read_json(file) or {}
        scores = told.get("scores")
        if told.get("hash") == identity and isinstance(scores, dict) and isinstance(told.get("protocol"), str):
            newest[told["protocol"]] = {"protocol": told["protocol"], "image_size": told.get("image_size")} | {
                name: _finite(scores.get(name)) for name in _SCORES
            }
    yield from (newest[name] for name in sorted(newest, key=lambda name: (name != "native", name)))


def _finite(value):
    """Numbers as JSON knows them: of a class that is nowhere there is no score."""
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


def plugins(found: Found) -> dict[str, dict[str, str]]:
    """{'backbone NAME': {'from': file or module, 'sha256'}, ...} of what the network takes from plugins."""
    names = ((BACKBONES, found.model.arch), (NORMALISERS, found.model.normaliser))
    return {
        f"{registry.kind} {name}": {"from": registry.plugin(name), "sha256": registry.source_hash(name)}
        for registry, name in names
        if registry.source_hash(name)
    }
