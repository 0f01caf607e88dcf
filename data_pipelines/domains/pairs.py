"""The data sets of a run: the known pairs of domains, or those that data.source and data.target name."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import LAYOUTS
from data_pipelines.reading.examples import Split
from data_pipelines.reading.label_spaces import LabelSpace

FLAT = "flat_folder"  # the data set of pictures of one's own


class DomainPair(NamedTuple):
    """Datasets of a pair. A source of None means the toy city in the look that data.toy.source names.

    `released` is False for other data in these layouts: the layouts' licences do not hold for them.
    """

    source: str | None
    target: str
    released: bool = True


PAIRS = {
    "bdd": DomainPair("bdd100k", "cityscapes"),
    "gta5": DomainPair("gta5", "cityscapes"),
    "camvid": DomainPair("bdd100k", "cityscapes", released=False),
    "toy": DomainPair(None, "cityscapes"),
}
_RELEASED = {name: pair for name, pair in PAIRS.items() if pair.released and pair.source}
TOY_SOURCES = ("gta5", "bdd100k")
TOY = (*TOY_SOURCES, "cityscapes")  # the layouts that the toy city is rendered in
TOY_LICENCE = "Apache-2.0 (the toy city, which this project renders)"


@dataclasses.dataclass(frozen=True)
class ChosenDataSets:
    """The data sets of a run.

    Attributes:
      sources: names, at least one; several are joined.
      target: name of the one that is scored, and adapted to unless `pictures` says otherwise.
      pictures: folder of pictures of one's own that is adapted to; '' for the target's training pictures.
      pair: the known pair whose short name data.name is; None where it is another name.
    """

    sources: tuple[str, ...]
    target: str
    pictures: str
    pair: DomainPair | None


def source_names(data: Any) -> tuple[str, ...]:
    """data.source as it was given: names of data sets; () leaves it to the pair."""
    given = data.get("source", ()) or ()
    given = given.split(",") if isinstance(given, str) else given
    return tuple(str(name).strip() for name in given if str(name).strip())


def is_free(data: Any) -> bool:
    """Whether data.source and data.target name data sets, so that nothing is left to the pair."""
    return bool(source_names(data)) and data.get("target", "") in LAYOUTS


def check(data: Any) -> None:
    """Raises a DataError for the first name of a data set, or folder of a data set, that is not valid."""
    if data.name not in PAIRS and not is_free(data):
        raise DataError(f"data.name={data.name!r}: expected one of {', '.join(PAIRS)}; set --config.data.name")
    names, target = source_names(data), data.get("target", "")
    for name in names:
        if not LAYOUTS.choose(name, "data.source").has_labels:
            raise DataError(f"data.source={name!r}: has no labels to learn from; name a data set that has")
    if len(set(names)) < len(names):
        raise DataError(f"data.source={','.join(names)}: names a data set twice; name each once")
    if target and data.target_dir:
        raise DataError(f"data.target={target!r} and data.target_dir={data.target_dir!r}: set one of them")
    if target and target not in LAYOUTS and not data_files.is_folder(Path(target).expanduser()):
        what = f"no data set and no folder of pictures; {LAYOUTS.expected(target)}"
        raise DataError(f"data.target={target!r}: {what}")
    _check_dirs(data)
    if not names and data.name in PAIRS and PAIRS[data.name].source is None and data.toy.source not in TOY_SOURCES:
        raise DataError(f"data.toy.source={data.toy.source!r}: expected one of {', '.join(TOY_SOURCES)}")


def _check_dirs(data: Any) -> None:
    for name, folder in data.get("dirs", {}).items():
        if name not in LAYOUTS:
            raise DataError(f"data.dirs.{name}: there is no such data set; {LAYOUTS.expected(name)}")
        if folder and (older := data.get(f"{name}_dir", "")) not in ("", folder):
            raise DataError(f"data.dirs.{name}={folder} and data.{name}_dir={older}: set the first only")


def choose(data: Any) -> ChosenDataSets:
    """The data sets of a checked config.data."""
    pair, target = PAIRS.get(data.name), data.get("target", "")
    sources = source_names(data) or (pair.source or data.toy.source,)
    registered = target in LAYOUTS
    return ChosenDataSets(
        sources=sources,
        target=target if registered else pair.target,
        pictures=data.target_dir or ("" if registered else target),
        pair=pair,
    )


def is_toy(data: Any, chosen: ChosenDataSets, dataset: str) -> bool:
    """Whether a data set of a run is a look of the toy city, which is rendered into the root."""
    of_toy = chosen.pair is not None and chosen.pair.source is None and dataset in TOY
    return of_toy and not given_folder(data, dataset)


def given_folder(data: Any, dataset: str) -> str:
    """The folder that config.data names for a data set, '' for none; data.NAME_dir is the older name of dirs.NAME."""
    return data.get("dirs", {}).get(dataset, "") or data.get(f"{dataset}_dir", "")


def benchmark(data: Any) -> str:
    """What a report calls the pair of domains: its short name, else 'gta5 + my_city -> cityscapes'."""
    check(data)
    chosen = choose(data)
    if chosen.pair is None or not (source_names(data) or data.get("target", "")):
        return data.name
    if not chosen.pictures and len(chosen.sources) == 1:
        for name in (data.name, *_RELEASED) if chosen.pair in _RELEASED.values() else (data.name,):
            source, target, _ = PAIRS[name]
            if target == chosen.target and chosen.sources[0] in ((source,) if source else TOY_SOURCES):
                return name
    target = Path(chosen.pictures).expanduser().name or chosen.pictures if chosen.pictures else chosen.target
    return f"{' + '.join(chosen.sources)} -> {target}"


def label_space(data: Any) -> LabelSpace:
    """What the labels of a run's data sets mean.

    Raises:
      DataError: a wrong setting, or the data sets do not agree.
    """
    check(data)
    chosen = choose(data)
    first, *others = [name for name in (*chosen.sources, chosen.target) if LAYOUTS[name].has_labels]
    space = LAYOUTS[first].label_space
    for other in others:
        if (its := LAYOUTS[other].label_space).class_names != space.class_names:
            raise DataError(
                f"{first} has {_told(space)} and {other} {_told(its)}: source and target must have the same classes; "
                "read the labels of one as the other's (docs/EXTENDING.md)"
            )
    return space


def _told(space: LabelSpace) -> str:
    names = space.class_names
    return f"the {len(names)} classes of {space.name} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"


def licence(data: Any, split: Split) -> str | None:
    """The licence of a split's data in a line, None where it is unknown: of pictures of one's own, for example."""
    chosen, layout = choose(data), LAYOUTS[split.dataset]
    if is_toy(data, chosen, split.dataset):
        return TOY_LICENCE
    stand_in = chosen.pair is not None and not chosen.pair.released and split.dataset in chosen.pair[:2]
    return None if stand_in else layout.licence
