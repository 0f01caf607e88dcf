"""What the system refuses to show of a dataset is one line with the path and what to do: doctor, prepare, run.py."""

import builtins
import errno
import io
import os
import pathlib

import pytest
import tiny_datasets as tiny
from prepared_sets import gta5, prepare_pair
from prepared_sets import run as run_prepare

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import AccessError, DataError, UnreadableFile
from data_pipelines.datasets import list_examples
from data_pipelines.datasets.toy_streets import ToyCity, ensure
from data_pipelines.doctor import __main__ as doctor
from data_pipelines.doctor.command_line import main
from data_pipelines.domains import open_domains
from data_pipelines.feeding.feed import Feed
from data_pipelines.feeding.input_pipeline import train_batches
from data_pipelines.reading import loading


@pytest.fixture
def root(tmp_path):
    """GTA5 and a labelled Cityscapes."""
    tiny.write_gta5(tmp_path / "gta5", sizes=[tiny.SIZE])
    tiny.write_cityscapes(tmp_path / "cityscapes")
    tiny.write_cityscapes(tmp_path / "cityscapes", "val", seed=150)
    return tmp_path


@pytest.fixture
def refuse(monkeypatch):
    """A function (path, code): from then on the system answers so when the path, or what is below it, is looked at.

    The tests may run as root, whom no permission stops. As with a folder without permission, EACCES lets the path
    itself be asked what it is.
    """

    def refuse(path, code):
        number = getattr(errno, code)

        def refusing(plain, may_be_asked):
            def call(target=".", *args, **kwargs):
                asked = pathlib.Path(target) if isinstance(target, (str, pathlib.PurePath)) else None
                if asked and asked.is_relative_to(path) and not (may_be_asked and asked == path):
                    raise OSError(number, os.strerror(number), str(target))
                return plain(target, *args, **kwargs)

            return call

        for owner, name in ((os, "stat"), (os, "listdir"), (os, "scandir"), (builtins, "open"), (io, "open")):
            call = refusing(getattr(owner, name), code == "EACCES" and name == "stat")
            monkeypatch.setattr(owner, name, call)

    return refuse


def run_doctor(dataset, root):
    arguments = [f"--dataset={dataset}", f"--source={root / dataset}", f"--output={root / 'page'}", "--num_workers=1"]
    return main(["doctor", *arguments], doctor.define_flags, doctor.run, doctor.__doc__)


def run(command, dataset, root):
    if command == "doctor":
        return run_doctor(dataset, root)
    return run_prepare(f"--dataset={dataset}", f"--source={root / dataset}", "--size=16x8", "--num_workers=1")


def one_line(capsys, *parts):
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    for part in parts:
        assert str(part) in error


FOLDERS = [
    "cityscapes",
    "cityscapes/leftImg8bit",
    "cityscapes/leftImg8bit/train",
    "cityscapes/leftImg8bit/train/aachen",
    "cityscapes/leftImg8bit/val/bochum",
    "cityscapes/gtFine/val/bochum",
    "gta5/images",
    "gta5/labels",
]
FAULTS = {
    "EACCES": ("Permission denied", "allow this user to read it (chmod"),
    "EIO": ("Input/output error", "check the disk or the network share"),
}


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("command", ["doctor", "prepare"])
def test_a_folder_that_is_refused(root, capsys, refuse, command, folder, code):
    refuse(root / folder, code)
    assert run(command, folder.split("/")[0], root) == 2
    one_line(capsys, root / folder, *FAULTS[code])
    assert not (root / "page").exists() and not list(root.glob("prepared/*/set.json"))


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_that_is_refused_to_run_py(root, refuse, folder, code):
    refuse(root / folder, code)
    feed = Feed(gta5(root))
    if "val" in folder:  # a run on own pictures may do without: the reason is kept for who asks
        told = feed.evaluation_problem()
    else:
        with pytest.raises(AccessError) as error:
            _ = feed.domains
        told = str(error.value)
    assert str(root / folder) in told and all(part in told for part in FAULTS[code]) and "\n" not in told


@pytest.mark.parametrize("kind", ["picture", "label"])
def test_a_file_that_is_refused(root, capsys, refuse, kind):
    example = list_examples("gta5", root / "gta5", "train").examples[1]
    path = example.image if kind == "picture" else example.label
    feed = Feed(gta5(root))
    plain = train_batches(feed.config, feed.domains, seed=0, start_step=0)
    refuse(path, "EACCES")
    assert run("doctor", "gta5", root) == 1  # a finding like others: the rest is audited
    out = " ".join(capsys.readouterr().out.split())
    assert f"{path.name}: cannot be read as a picture (Permission denied)" in out.replace(f"{path.parent}/", "")
    assert "-> allow this user to read it (chmod" in out
    for attempt in (lambda: run("prepare", "gta5", root), lambda: Feed(gta5(root)).domains):
        try:
            assert attempt() == 2
            one_line(capsys, path, *FAULTS["EACCES"])
        except DataError as error:
            assert str(path) in str(error) and all(part in str(error) for part in FAULTS["EACCES"])
    with pytest.raises(DataError, match=r"cannot be read as a picture \(Permission denied\); allow this user to read"):
        for _ in range(4):
            next(plain)


def circle(path):
    path.rename(path.with_name("moved"))
    path.symlink_to(path)


def broken_link(path):
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("nowhere"))


def a_file(path):
    path.rename(path.with_name("moved"))
    path.write_bytes(b"")


REAL = {
    circle: ("Too many levels of symbolic links", "mend the link"),
    broken_link: ("is a link to {}/nowhere, which is not there",),
    a_file: ("is a file)",),
}


@pytest.mark.parametrize("damage", REAL)
@pytest.mark.parametrize("folder", ["gta5", "gta5/images"])
def test_something_else_in_the_place_of_a_folder(root, capsys, damage, folder):
    damage(root / folder)
    parts = [part.format((root / folder).parent) for part in REAL[damage]]
    with pytest.raises(DataError) as error:
        open_domains(gta5(root))
    assert all(part in str(error.value) for part in (str(root / folder), *parts))
    for command in ("doctor", "prepare"):
        assert run(command, "gta5", root) == 2
        one_line(capsys, root / folder, *parts)


def test_a_name_that_is_too_long(root, capsys):
    for command in ("doctor", "prepare"):
        assert run(command, "gta5", root / ("x" * 300)) == 2
        one_line(capsys, "File name too long", "give a shorter path")
    with pytest.raises(AccessError, match="File name too long"):
        open_domains(gta5(root, target_dir=str(root / ("x" * 300))))


def test_sets_of_records_that_are_refused_are_not_passed_over(root, refuse, capsys):
    prepare_pair(root)
    refuse(root / "prepared", "EACCES")
    with pytest.raises(AccessError, match=r"prepared: cannot be read \(Permission denied\); allow"):
        open_domains(gta5(root))


def test_a_shard_that_is_refused_is_not_called_damaged(root, refuse):
    prepare_pair(root)
    domains = open_domains(gta5(root))
    (records,) = domains.source_train.records
    (shard,) = records.folder.glob("shard-*")
    shard.rename(shard.with_name("away"))  # its reader is none of Python's
    refuse(shard, "EACCES")
    with pytest.raises(UnreadableFile, match=rf"{shard.name}: cannot be read \(Permission denied\); allow this user"):
        records.load("00001")


@pytest.mark.parametrize("code", ["EMFILE", "ENFILE", "ENOMEM"])
def test_a_limit_of_the_process_is_no_fault_of_a_picture(root, refuse, code):
    """Else training would leave out one sound picture after the other."""
    example = list_examples("gta5", root / "gta5", "train").examples[0]
    refuse(example.image, code)
    with pytest.raises(AccessError, match=r"00001\.png: cannot be read as a picture") as error:
        loading.load_example(example, (20, 12), None)
    assert not isinstance(error.value, UnreadableFile)


def test_nor_is_it_one_of_a_shard(root, refuse):
    prepare_pair(root)
    (records,) = open_domains(gta5(root)).source_train.records
    (shard,) = records.folder.glob("shard-*")
    shard.rename(shard.with_name("away"))
    refuse(shard, "EMFILE")
    with pytest.raises(AccessError, match=rf"{shard.name}: cannot be read \(Too many open files\); raise the limit"):
        records.load("00001")


@pytest.mark.parametrize("code", FAULTS)
def test_a_toy_city_that_is_refused(root, refuse, code):
    city = ToyCity(seed=0, size=(64, 32), num_train=1, num_val=1)
    ensure(root / "city", city, workers=1)
    refuse(root / "city", code)
    with pytest.raises(AccessError, match=FAULTS[code][0]):
        ensure(root / "city", city)


def test_listing_finds_what_glob_finds(root):
    for folder in (root, root / "cityscapes", root / "nowhere"):
        for pattern in ("*", "*/*.png", "*/train/*/*_leftImg8bit.png", "gta5/*/00001.png"):
            assert data_files.matching(folder, pattern) == sorted(folder.glob(pattern))
