"""The splits of a run's data sets, listed from their folders and prepared records."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.augmentation.transforms import NO_SIZE
from data_pipelines.basics import data_files
from data_pipelines.basics.errors import AccessError, DataError
from data_pipelines.datasets import LAYOUTS, list_examples, restrict_split
from data_pipelines.domains import pairs
from data_pipelines.domains.data_settings import bit_depth, check_settings, teacher_size
from data_pipelines.domains.pairs import FLAT, ChosenDataSets
from data_pipelines.domains.places import folder_of, named_folder, sets_of
from data_pipelines.reading import fingerprint, prepared_records
from data_pipelines.reading.examples import Split, join
from data_pipelines.reading.reading import Reader


@dataclasses.dataclass(frozen=True)
class Domains:
    """The splits of a run.

    Attributes:
      source_train: labelled, joined where data.source names several.
      target_train: unlabelled unless target labels were asked for.
      target_val: labelled; has a `problem`, which eval_batches raises, when it is not usable.
      source_val: labelled; None when there is none.
      notes: a line each on the files, the records that are read, and splits that are not usable.
    """

    source_train: Split
    target_train: Split
    target_val: Split
    source_val: Split | None
    notes: tuple[str, ...]

    def fingerprint(self, *roles: str) -> str:
        """sha256 in hex of the files behind some of the splits, e.g. 'source_train'. Raises DataError."""
        return fingerprint.of_roles((role, getattr(self, role).fingerprint) for role in roles)


class SplitListing:
    """The splits of the data sets that config.data names, each listed when it is first asked for, and only once.

    No picture is opened beyond its header.
    """

    def __init__(self, data: Any, progress: Callable[[int, int], None] | None = None):
        """Makes sure that the toy city is there where the run is about it.

        Args:
          data: config.data.
          progress: called with (pictures done, pictures in all) while the toy city is rendered.

        Raises:
          DataError: a wrong setting, or label spaces that do not agree.
        """
        check_settings(data)
        pairs.label_space(data)
        self._data, self._chosen, self._root = data, pairs.choose(data), Path(data.root or ".").expanduser()
        self._notes = _make_toy_city(data, self._chosen, self._root, progress)
        self._target_trains: dict[bool, Split] = {}

    def domains(self, *, target_labels: bool = False) -> Domains:
        """The splits that training wants.

        Args:
          target_labels: the target's training pictures must have labels (the supervised upper bound).

        Raises:
          DataError: a dataset that is needed is missing or incomplete.
        """
        splits = {"source_train": self.source_train}
        source_vals = self._source_vals
        splits |= {"target_train": self.target_train(target_labels), "target_val": self.target_val}
        found = [*splits.items(), *(("source_val", split) for split in source_vals)]
        notes = (note for role, split in found for note in _told(role, split, self._data))
        usable = [split for split in source_vals if not split.problem]
        source_val = join(usable) if len(usable) > 1 else next(iter(usable), None)
        return Domains(**splits, source_val=source_val, notes=(*self._notes, *notes))

    @functools.cached_property
    def source_train(self) -> Split:
        """Labelled. Raises DataError."""
        return _source_train(self._data, self._root, self._chosen.sources)

    @functools.cached_property
    def _source_vals(self) -> list[Split]:
        return [_list_if_usable(self._data, self._root, name, "val") for name in self._chosen.sources]

    def target_train(self, labelled: bool) -> Split:
        """With its labels or without. Raises DataError."""
        if labelled not in self._target_trains:
            self._target_trains[labelled] = _target_train(self._data, self._root, self._chosen, labelled)
        return self._target_trains[labelled]

    @functools.cached_property
    def target_val(self) -> Split:
        """Labelled; has a `problem` when it is not usable."""
        return _list_if_usable(self._data, self._root, self._chosen.target, "val")

    def target_pictures(self, split: str) -> Split:
        """The target's 'val' or 'test' split without labels, whether it has usable ones or not. Raises DataError."""
        dataset, folder = self._chosen.target, folder_of(self._data, self._root, self._chosen.target)
        return _with_depth(list_examples(dataset, folder, split, labelled=False), self._data)


def open_domains(data: Any, *, target_labels: bool = False) -> Domains:
    """SplitListing(data).domains(), for those who want nothing else of it. Raises a DataError as these do."""
    return SplitListing(data).domains(target_labels=target_labels)


def _told(role: str, split: Split, data: Any) -> list[str]:
    """Notes on a split."""
    found = [f"not usable: {split.problem}"] if split.problem else [*split.notes, *_read_from(role, split, data)]
    return [f"{role.replace('_', ' ')}: {note}" for note in found]


def _source_train(data: Any, root: Path, names: Sequence[str]) -> Split:
    """The training pictures of the source, of several data sets one after another."""
    if len(names) == 1:
        return _list(data, root, names[0], "train", list_file=data.source_list)
    joined = join([_list(data, root, name, "train") for name in names])
    if not data.source_list:
        return joined
    found = restrict_split(joined, data.source_list)
    note = f"{joined.dataset}: {len(found)} pictures restricted by {Path(data.source_list).name}"
    return dataclasses.replace(found, notes=(*found.notes, note))


def _read_from(role: str, split: Split, data: Any) -> list[str]:
    """A note on what training on a split reads. Raises DataError: records alone are there, and of another size."""
    if not role.endswith("_train"):
        return []
    size = tuple(data[f"{role.removesuffix('_train')}_size"])
    reader = Reader(split, size, size, labelled=split.labelled)
    reader.require()
    found = [f"reads {reader.describe()}"]
    if (of_teacher := teacher_size(data)) != NO_SIZE:
        larger = dataclasses.replace(reader, image_size=of_teacher, label_size=of_teacher)
        larger.require()
        found.append(f"for the teacher {larger.describe()}")
    return found


def _list(
    data: Any,
    root: Path,
    dataset: str,
    split: str,
    *,
    list_file: str = "",
    labelled: bool = True,
    recursive: bool = False,
) -> Split:
    """A split of a dataset, with the prepared records of it; from these alone where there is no folder.

    Raises:
      DataError: neither is there, or the split is incomplete.
    """
    named = named_folder(data, root, dataset)
    sets = sets_of(data, named, dataset, split)
    if sets and not data_files.is_folder(named):
        whole = next((one for one in sets if one.description.labelled), sets[0])
        found = restrict_split(whole.as_split(named, labelled=labelled), list_file)
    else:
        which = dataset, folder_of(data, root, dataset), split
        found = list_examples(*which, list_file=list_file, labelled=labelled, recursive=recursive)
    return prepared_records.attach(_with_depth(found, data), sets)


def _with_depth(split: Split, data: Any) -> Split:
    """The split, its wide pictures read as config.data says."""
    return dataclasses.replace(split, bit_depth=bit_depth(data))


def target_lacks_labels(data: Any) -> bool:
    """Whether the target has no label at all, so that there is nothing to score on: pictures of one's own, or a dataset
    without a single label file, on disk or in prepared records."""
    chosen = pairs.choose(data)
    if chosen.pictures:
        return True
    dataset = chosen.target
    folder = named_folder(data, Path(data.root or ".").expanduser(), dataset)
    sets = (one for split in ("train", "val") for one in sets_of(data, folder, dataset, split))
    if any(one.description.labelled for one in sets):
        return False
    return data_files.is_folder(folder) and not any(_label_files(dataset, folder))


def _label_files(dataset: str, folder: Path) -> Iterator[Path]:
    for split in LAYOUTS[dataset].splits:
        try:
            on_disk = LAYOUTS[dataset].look(folder, split)
        except AccessError:  # nobody knows what is there
            raise
        except DataError:  # no such split
            continue
        labels = (on_disk.label(image)[0] for image in on_disk.images) if on_disk.label else ()
        yield from (label for label in labels if data_files.is_file(label))
        for files in on_disk.label_files:
            yield from files.by_name().values()
            if data_files.why_absent(files.folder):  # a broken link, or a file in its place: meant to be there
                yield files.folder


def _target_train(data: Any, root: Path, chosen: ChosenDataSets, labelled: bool) -> Split:
    """The target's training pictures: the user's own folder if one is set, else the dataset's train split."""
    recursive = data.get("target_recursive", False)  # absent in configs that earlier versions recorded
    if not chosen.pictures:
        return _list(data, root, chosen.target, "train", labelled=labelled, recursive=recursive)
    found = list_examples(FLAT, chosen.pictures, "train", labelled=labelled, recursive=recursive)
    sets = sets_of(data, Path(chosen.pictures).expanduser(), FLAT, "train")
    return prepared_records.attach(_with_depth(found, data), sets)


def _list_if_usable(data: Any, root: Path, dataset: str, split: str) -> Split:
    """A labelled split that the run may do without: what is wrong with it is kept for whoever asks for it."""
    try:
        return _list(data, root, dataset, split)
    except DataError as error:
        return Split(dataset, split, root, problem=str(error))


def _make_toy_city(
    data: Any, chosen: ChosenDataSets, root: Path, progress: Callable[[int, int], None] | None
) -> list[str]:
    """Makes sure that `root` holds the toy city where a data set of the run is a look of it; returns a note then."""
    looks = [name for name in (*chosen.sources, chosen.target) if pairs.is_toy(data, chosen, name)]
    if not looks:
        return []
    from data_pipelines.datasets import toy_streets  # only toy runs need the renderer

    toy = data.toy
    city = toy_streets.ToyCity(seed=toy.seed, size=tuple(toy.size), num_train=toy.num_train, num_val=toy.num_val)
    toy_streets.ensure(root, city, progress=progress)
    return [f"toy city: {city} in {root}, source look {', '.join(chosen.sources)}"]
