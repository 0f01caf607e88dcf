"""Decode and resize a dataset once: python -m data_pipelines.prepare --dataset=gta5 --source=DIR --size=1280x720

Writes sets of prepared records, which training then reads in place of the folders, with the same pixels. Killed at any
moment, the same command goes on; what is not whole is never taken for whole.

Flags: --dataset (cityscapes, gta5, bdd100k, flat_folder, or one that --plugins brings), --source (its folder),
--plugins=FILE.py,... (data sets of your own, docs/EXTENDING.md), --size (width x height, as source_size or target_size
of the config), --splits (default: train and val), --output (default: runs/prepared/ below the current folder, where
training looks), --recursive (a flat_folder's pictures in the folders below it too), --num_workers (processes),
--compression (none or zstd), --shard_mb, --beam_runner and --beam_options (write the shards on an Apache Beam runner;
the disk must be shared), --bit_depth (how many bits the values of 16-bit pictures use, as data.bit_depth; without it
they are refused).

Training splits keep labels at the picture's size; val and test keep them at native size, for evaluation.
Exit codes: 0 done; 2 a mistake in the command or the files; 130, 143, 129 stopped (Ctrl-C, SIGTERM, SIGHUP).
"""

import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from data_pipelines.basics import data_files, progress_line
from data_pipelines.basics.errors import AccessError, DataError, MissingLabels
from data_pipelines.datasets import LAYOUTS, list_examples
from data_pipelines.doctor import command_line, quick
from data_pipelines.domains import check_size
from data_pipelines.prepare import preparation, preparation_runners
from data_pipelines.reading import prepared_records
from data_pipelines.reading.examples import Split

_SPINNER, _RATE = 2, 15  # letters in the line of progress


def define_flags(values: flags.FlagValues) -> None:
    """The flags of this command."""
    flags.DEFINE_string("size", None, "Width x height of the pictures.", flag_values=values)
    flags.DEFINE_list("splits", [], "Splits; default: train and val.", flag_values=values)
    flags.DEFINE_string("output", "", "Folder of sets.", flag_values=values)
    flags.DEFINE_enum("compression", "none", preparation.COMPRESSIONS, "Of the records.", flag_values=values)
    flags.DEFINE_integer("shard_mb", 256, "Size of a shard, MiB.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("beam_runner", "", "Apache Beam runner, e.g. DirectRunner.", flag_values=values)
    flags.DEFINE_list("beam_options", [], "Options of its pipeline.", flag_values=values)
    command_line.define_data_flags(values, "size")


def run(values: flags.FlagValues, console: Console) -> None:
    """Prepares every split that was asked for."""
    command_line.check_bit_depth(values.bit_depth)
    source, size, used = Path(values.source).expanduser().absolute(), _size(values.size), {}
    listed = _list_splits(values.dataset, source, values.splits, values.recursive)
    splits = [dataclasses.replace(split, bit_depth=values.bit_depth) for split in listed]
    places = _places(values, source)
    for split in splits:
        for note in split.notes:
            console.print(f"{split.split}: {note}", highlight=False, soft_wrap=True)
        how = {"shard_mb": values.shard_mb, "compression": values.compression}
        plans = [preparation.prepare(split, size, split.split != "train", place, **how) for place in places]
        done = next((plan for plan in plans if preparation.is_done(plan)), None)
        used[(done or plans[0]).folder.parent] = None
        if done:
            note = f"{done.folder}: already prepared from these files{_unheard(values)}"
            console.print(note, highlight=False, soft_wrap=True)
            continue
        quick.refuse_what_would_be_misread(split)
        _write(plans[0], values, console)
    for place in used:
        console.print(_where_they_are_read(place, source), highlight=False, soft_wrap=True)


def _places(values: flags.FlagValues, source: Path) -> list[Path]:
    """Where the sets go, and after it where an earlier version may have put them."""
    if values.output:
        return [Path(values.output).expanduser().absolute()]
    here, of = os.path.realpath("."), os.path.realpath(source)
    if os.path.commonpath([here, of]) == of:
        raise DataError(
            f"--source={values.source}: the current folder is in it, and nothing is written there unless told; name "
            "--output, or give the command in another folder"
        )
    return [prepared_records.default_place(source).absolute(), source.parent / "prepared"]


def _where_they_are_read(place: Path, source: Path) -> str:
    if place == prepared_records.default_place(source).absolute():
        return f"training in this folder reads them; elsewhere with --config.data.records_dir={place.parent}"
    return f"training reads them with --config.data.records_dir={place}"


def _unheard(values: flags.FlagValues) -> str:
    """Advice where the shards are there already, and flags that shape shards were given in vain."""
    given = [f"--{name}" for name in ("compression", "shard_mb") if values[name].present]
    return f" (remove the folder to write it anew with {' and '.join(given)})" if given else ""


def _write(planned: preparation.Preparation, values: flags.FlagValues, console: Console) -> None:
    try:
        with preparation.alone(planned):
            folder = _write_shards(planned, values, console)
        num_bytes = sum(file.stat().st_size for file in folder.iterdir())
    except OSError as error:
        raise DataError(
            f"cannot write {error.filename or planned.folder}: {error.strerror or error}; make room or choose another "
            "--output, then give the same command to go on"
        ) from error
    console.print(
        f"{folder}: {len(planned.split)} pictures, {len(planned.shards)} shards, {num_bytes / 2**20:,.1f} MiB",
        highlight=False,
        soft_wrap=True,
    )


def _write_shards(planned: preparation.Preparation, values: flags.FlagValues, console: Console) -> Path:
    """Writes what is missing; returns the folder of the whole set."""
    began_before = planned.partial_folder.exists()
    done = preparation.begin(planned)
    jobs = planned.jobs()
    if values.beam_runner:
        steps = preparation_runners.run_beam(jobs, values.beam_runner, values.beam_options)
    else:
        steps = preparation_runners.run_local(jobs, values.num_workers)
    if done:
        console.print(f"goes on after {done} pictures of an earlier run", highlight=False)
    elif began_before:
        console.print("starts anew: what was begun before is of other files or settings, or held nothing whole")
    _show_progress(steps, planned, done, console)
    return preparation.finish(planned)


def _show_progress(steps, planned: preparation.Preparation, done: int, console: Console) -> None:
    rate = TextColumn("{task.fields[rate]}")
    columns = SpinnerColumn(), *progress_line.columns(console, rate, letters=_SPINNER + _RATE)
    with Progress(*columns, console=console) as progress:
        title = planned.folder.name
        task = progress.add_task(title, total=len(planned.split), completed=done, rate="")
        for count in steps:
            progress.advance(task, count)
            progress.update(task, rate=progress_line.speed(progress.tasks[0].speed))


def _list_splits(dataset: str, source: Path, wanted: Sequence[str], recursive: bool) -> list[Split]:
    """The splits that are wanted, or those that training and evaluation read."""
    if not data_files.is_folder(source):
        why = data_files.why_absent(source)
        raise DataError(f"--source={source}: no such folder{why}; name the folder of {dataset}")
    found, problems = [], []
    for name in wanted or [split for split in LAYOUTS[dataset].splits if split != "test"]:
        try:
            found.append(_list(dataset, source, name, recursive))
        except (AccessError, MissingLabels):
            raise
        except DataError as error:
            if wanted:
                raise
            problems.append(str(error))
    if not found:
        raise DataError(problems[0])
    return found


def _list(dataset: str, source: Path, split: str, recursive: bool) -> Split:
    """A split with its labels, or without where not a single one is there and it is of use without."""
    if not LAYOUTS[dataset].has_labels:
        return list_examples(dataset, source, split, labelled=False, recursive=recursive)
    try:
        return list_examples(dataset, source, split)
    except MissingLabels as error:
        of_use = split == "test" or LAYOUTS[dataset].may_lack_labels
        if not (error.all_missing and of_use):
            raise
        return list_examples(dataset, source, split, labelled=False)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"[(\[]?\s*(\d+)\s*[xX×*,\s]\s*(\d+)\s*[)\]]?", text.strip())
    if not match:
        raise DataError(f"--size={text}: expected WIDTHxHEIGHT, e.g. 1280x720")
    size = int(match[1]), int(match[2])
    check_size("--size", size)
    return size


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
