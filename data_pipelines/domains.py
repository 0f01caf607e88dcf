"""The pair of domains that a run works on: which datasets, where they lie, what was found there."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data_pipelines.augmentation.photometric import JITTERED, MAX_HUE
from data_pipelines.augmentation.transforms import NO_SIZE
from data_pipelines.basics import data_files
from data_pipelines.basics.errors import AccessError, DataError
from data_pipelines.datasets import LAYOUTS, list_examples, restrict_split
from data_pipelines.pictures.wide_pixels import BIT_DEPTH_MEANS, BIT_DEPTHS
from data_pipelines.reading import class_histogram, fingerprint, prepared_records
from data_pipelines.reading.examples import Split
from data_pipelines.reading.reading import Reader

MIN_SIDE = 8  # pixels: nothing can be told apart in less


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
TOY_SOURCES = ("gta5", "bdd100k")
TOY_LICENCE = "Apache-2.0 (the toy city, which this project renders)"


@dataclasses.dataclass(frozen=True)
class Domains:
    """The splits of a run.

    Attributes:
      source_train: labelled; None when the run needs no source.
      target_train: unlabelled unless target labels were asked for; has a `problem` when it was not needed and
        is not usable.
      target_val: labelled; has a `problem`, which eval_batches raises, when it is not usable.
      source_val: labelled; None when there is none.
      notes: what was found, one line each.
    """

    source_train: Split | None
    target_train: Split
    target_val: Split
    source_val: Split | None
    notes: tuple[str, ...]

    def fingerprint(self, *roles: str) -> str:
        """sha256 in hex of the files behind some of the splits, e.g. 'source_train'. Raises DataError."""
        return fingerprint.of_roles((role, getattr(self, role).fingerprint) for role in roles)


def open_domains(
    data_config: Any,
    *,
    need_source: bool = True,
    need_target: bool = True,
    need_target_labels: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Domains:
    """Lists the splits that `data_config.name` stands for; opens no picture beyond its header.

    Args:
      data_config: config.data.
      need_source: False leaves the source out, so that its dataset need not be there.
      need_target: False lets the target's training pictures be missing.
      need_target_labels: the target's training pictures must have labels (the supervised upper bound).
      progress: called with (pictures done, pictures in all) while the toy city is rendered.

    Raises:
      DataError: a wrong setting, or a dataset that is needed is missing or incomplete.
    """
    check_settings(data_config)
    pair, root = PAIRS[data_config.name], Path(data_config.root or ".").expanduser()
    notes: list[str] = []
    if pair.source is None:
        pair = pair._replace(source=data_config.toy.source)
        notes = [_make_toy_city(root, data_config.toy, progress)]

    source_train = source_val = None
    if need_source:
        source_train = _list(data_config, root, pair.source, "train", list_file=data_config.source_list)
        source_val = _list_if_usable(data_config, root, pair.source, "val")
    splits = {
        "source_train": source_train,
        "target_train": _target_train(data_config, root, pair.target, need_target, need_target_labels),
        "target_val": _list_if_usable(data_config, root, pair.target, "val"),
        "source_val": source_val,
    }
    for role, split in splits.items():
        if split is not None:
            found = (
                [f"not usable: {split.problem}"]
                if split.problem
                else [*split.notes, *_read_from(role, split, data_config)]
            )
            notes += [f"{role.replace('_', ' ')}: {note}" for note in found]
    if source_val is not None and source_val.problem:
        splits["source_val"] = None
    return Domains(**splits, notes=tuple(notes))


def target_pictures(data_config: Any, split: str, *, progress: Callable[[int, int], None] | None = None) -> Split:
    """The pictures of the target's 'val' or 'test' split, with or without usable labels; listed without them.

    Raises:
      DataError: a wrong setting, or the split is not there.
    """
    check_settings(data_config)
    pair, root = PAIRS[data_config.name], Path(data_config.root or ".").expanduser()
    if pair.source is None:
        _make_toy_city(root, data_config.toy, progress)
    found = list_examples(pair.target, _folder(data_config, root, pair.target), split, labelled=False)
    return _with_depth(found, data_config)


def licence(data_config: Any, split: Split) -> str | None:
    """The licence of a split's data in a line, None where it is unknown: of pictures of one's own, for example."""
    pair, layout = PAIRS[data_config.name], LAYOUTS[split.dataset]
    if pair.source is None and layout.licence:
        return TOY_LICENCE
    return layout.licence if pair.released else None


def _read_from(role: str, split: Split, data: Any) -> list[str]:
    """A note on what training on a split reads. Raises DataError: records alone are there, and of another size."""
    if not role.endswith("_train"):
        return []
    size = tuple(data[f"{role.removesuffix('_train')}_size"])
    reader = Reader(split, size, size, labelled=split.labelled)
    reader.require()
    return [f"reads {reader.describe()}"]


def check_settings(data: Any) -> None:
    """Raises a DataError for the first setting of config.data that cannot work."""

    def require(ok: bool, field: str, expected: str) -> None:
        if not ok:
            raise DataError(f"data.{field}={data[field]!r}: expected {expected}; set --config.data.{field}")

    require(data.name in PAIRS, "name", f"one of {', '.join(PAIRS)}")
    for field in ("source_size", "target_size"):
        check_size(f"data.{field}", data[field])
    require(data.batch_size >= 1, "batch_size", "a number >= 1")
    if _bit_depth(data) not in (0, *BIT_DEPTHS):
        raise DataError(f"data.bit_depth={data.bit_depth!r}: expected {BIT_DEPTH_MEANS}; set --config.data.bit_depth")
    require(data.loader in ("tf", "numpy"), "loader", "'tf' or 'numpy'")
    require(data.num_parallel_calls >= 1, "num_parallel_calls", "a number >= 1")
    require(data.prefetch >= 0, "prefetch", "a number >= 0")
    require(data.cache_mb >= 0, "cache_mb", "a number of MiB >= 0")
    require(data.max_unreadable >= 0, "max_unreadable", "a number >= 0")
    require(_is_range(data.scale) and data.scale[0] > 0, "scale", "(low, high), 0 < low <= high")
    require(_is_range(data.blur), "blur", "(low, high), 0 <= low <= high")
    require(_are_strengths(data.colour_jitter), "colour_jitter", "four strengths >= 0, the last (hue) at most 0.5")
    require(0 <= data.class_mix <= 1, "class_mix", "a probability")
    require(data.rare_class_temperature >= 0, "rare_class_temperature", "a number >= 0")
    if tuple(data.crop) != NO_SIZE:
        check_size("data.crop", data.crop)
    if PAIRS[data.name].source is None and data.toy.source not in TOY_SOURCES:
        raise DataError(f"data.toy.source={data.toy.source!r}: expected one of {', '.join(TOY_SOURCES)}")


def _is_range(values: Any) -> bool:
    numbers = len(values) == 2 and all(isinstance(v, (int, float)) for v in values)
    return numbers and 0 <= values[0] <= values[1] < math.inf


def _are_strengths(values: Any) -> bool:
    numbers = len(values) == len(JITTERED) and all(isinstance(v, (int, float)) for v in values)
    return numbers and min(values) >= 0 and values[-1] <= MAX_HUE


def check_size(field: str, size: tuple[int, int]) -> None:
    """Raises a DataError unless size is (width, height) with both at least MIN_SIDE."""
    if len(size) != 2 or not all(isinstance(side, int) and side >= MIN_SIDE for side in size):
        raise DataError(f"{field}={tuple(size)}: expected (width, height), each at least {MIN_SIDE} pixels")


def _named_folder(data: Any, root: Path, dataset: str) -> Path:
    """Where a dataset should lie: its own setting, else under the root."""
    return Path(data[f"{dataset}_dir"] or root / dataset).expanduser()


def _folder(data: Any, root: Path, dataset: str) -> Path:
    """Where a dataset lies. Raises DataError if there is no folder."""
    folder = _named_folder(data, root, dataset)
    if not data_files.is_folder(folder):
        why = data_files.why_absent(folder)
        raise DataError(
            f"{dataset}: no folder {folder}{why}; set --config.data.root to the folder that holds {dataset}/, "
            f"or --config.data.{dataset}_dir to the dataset itself"
        )
    return folder


def class_counts_dir(data: Any, split: Split) -> Path:
    """The folder of class histograms: of data.records_dir, else where earlier versions kept them, else the default."""
    base = Path(data.records_dir or prepared_records.DEFAULT).expanduser() / "class_counts"
    earlier = _beside(data) / "class_counts"
    kept = not data.records_dir and data_files.is_file(class_histogram.cache_file(split, earlier))
    return earlier if kept else base


def _beside(data: Any) -> Path:
    """Where earlier versions put sets of prepared records unless told otherwise."""
    return Path(data.root or ".").expanduser() / "prepared"


def _sets(data: Any, source: Path, dataset: str, split: str) -> list[prepared_records.RecordSet]:
    """The prepared records of a split of the dataset that lies, or should lie, in `source`.

    Raises:
      DataError: a broken set, or nothing tells which of several datasets' sets are meant.
    """
    if not data.records_dir:
        places = prepared_records.default_place(source), _beside(data)
        return [one for place in places for one in prepared_records.find(place, dataset, split)]
    given = Path(data.records_dir).expanduser()
    own = given / prepared_records.place_name(source)
    found = [one for place in (given, own) for one in prepared_records.find(place, dataset, split)]
    if found or data_files.is_folder(source) or not data_files.is_folder(given):
        return found
    # Records that were copied without what they were made of: it had another path.
    by_place = {place: prepared_records.find(place, dataset, split) for place in sorted(data_files.listing(given))}
    by_place = {place: sets for place, sets in by_place.items() if sets}
    if len(by_place) > 1:
        names = ", ".join(place.name for place in by_place)
        raise DataError(f"{given}: holds records of {dataset} in {names}; name one as --config.data.records_dir")
    return [one for sets in by_place.values() for one in sets]


def _list(data: Any, root: Path, dataset: str, split: str, *, list_file: str = "", labelled: bool = True) -> Split:
    """A split of a dataset, with the prepared records of it; from these alone where there is no folder.

    Raises:
      DataError: neither is there, or the split is incomplete.
    """
    named = _named_folder(data, root, dataset)
    sets = _sets(data, named, dataset, split)
    if sets and not data_files.is_folder(named):
        whole = next((one for one in sets if one.description.labelled), sets[0])
        found = restrict_split(whole.as_split(named, labelled=labelled), list_file)
    else:
        found = list_examples(dataset, _folder(data, root, dataset), split, list_file=list_file, labelled=labelled)
    return prepared_records.attach(_with_depth(found, data), sets)


def _with_depth(split: Split, data: Any) -> Split:
    """The split, its wide pictures read as config.data says."""
    return dataclasses.replace(split, bit_depth=_bit_depth(data))


def _bit_depth(data: Any) -> int:
    return data.get("bit_depth", 0)  # a bundle of an earlier version has none


def target_lacks_labels(data: Any) -> bool:
    """Whether the target has no label at all, so that there is nothing to score on: pictures of one's own, or a dataset
    without a single label file, on disk or in prepared records."""
    if data.target_dir:
        return True
    dataset = PAIRS[data.name].target
    folder = _named_folder(data, Path(data.root or ".").expanduser(), dataset)
    sets = (one for split in ("train", "val") for one in _sets(data, folder, dataset, split))
    if any(one.description.labelled for one in sets):
        return False
    return data_files.is_folder(folder) and not any(_label_files(dataset, folder))


def _label_files(dataset: str, folder: Path) -> Iterator[Path]:
    for split in LAYOUTS[dataset].splits:
        try:
            on_disk = LAYOUTS[dataset].on_disk(folder, split)
        except AccessError:  # nobody knows what is there
            raise
        except DataError:  # no such split
            continue
        for files in on_disk.label_files:
            yield from files.by_name().values()
            if data_files.why_absent(files.folder):  # a broken link, or a file in its place: meant to be there
                yield files.folder


def _target_train(data: Any, root: Path, dataset: str, needed: bool, labelled: bool) -> Split:
    """The target's training pictures: the user's own folder if one is set, else the dataset's train split."""
    try:
        if data.target_dir:
            recursive = data.get("target_recursive", False)  # absent in configs that earlier versions recorded
            found = list_examples("flat_folder", data.target_dir, "train", labelled=labelled, recursive=recursive)
            sets = _sets(data, Path(data.target_dir).expanduser(), "flat_folder", "train")
            return prepared_records.attach(_with_depth(found, data), sets)
        return _list(data, root, dataset, "train", labelled=labelled)
    except DataError as error:
        if needed or labelled:
            raise
        return Split(dataset, "train", root, problem=str(error))


def _list_if_usable(data: Any, root: Path, dataset: str, split: str) -> Split:
    """A labelled split that the run may do without: what is wrong with it is kept for whoever asks for it."""
    try:
        return _list(data, root, dataset, split)
    except DataError as error:
        return Split(dataset, split, root, problem=str(error))


def _make_toy_city(root: Path, toy: Any, progress: Callable[[int, int], None] | None) -> str:
    """Makes sure that `root` holds the toy city; returns a note."""
    from data_pipelines.datasets import toy_streets  # only toy runs need the renderer

    city = toy_streets.ToyCity(seed=toy.seed, size=tuple(toy.size), num_train=toy.num_train, num_val=toy.num_val)
    toy_streets.ensure(root, city, progress=progress)
    return f"toy city: {city} in {root}, source look {toy.source}"
