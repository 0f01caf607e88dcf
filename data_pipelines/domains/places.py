"""Where the data sets of a run lie, and what was made of them: prepared records, class histograms."""

from pathlib import Path
from typing import Any

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import DataError
from data_pipelines.domains import pairs
from data_pipelines.reading import class_histogram, prepared_records
from data_pipelines.reading.examples import Split


def named_folder(data: Any, root: Path, dataset: str) -> Path:
    """Where a dataset should lie: its own setting, else under the root."""
    return Path(pairs.given_folder(data, dataset) or root / dataset).expanduser()


def folder_of(data: Any, root: Path, dataset: str) -> Path:
    """Where a dataset lies. Raises DataError if there is no folder."""
    folder = named_folder(data, root, dataset)
    if not data_files.is_folder(folder):
        why, field = data_files.why_absent(folder), f"{dataset}_dir"
        raise DataError(
            f"{dataset}: no folder {folder}{why}; set --config.data.root to the folder that holds {dataset}/, "
            f"or --config.data.{field if field in data else f'dirs.{dataset}'} to the dataset itself"
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


def sets_of(data: Any, source: Path, dataset: str, split: str) -> list[prepared_records.RecordSet]:
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
