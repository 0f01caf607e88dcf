"""Files of data_pipelines are whole or not there, also when two processes write the same one at the same time."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_datasets as tiny

from data_pipelines.basics import atomic_files
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import list_examples
from data_pipelines.datasets.toy_streets import ToyCity, ensure
from data_pipelines.doctor.page import page
from data_pipelines.prepare import preparation
from data_pipelines.reading import class_histogram


def meet_before_renaming(monkeypatch):
    """Of two threads, as of two hosts with equal process ids, both have written before one of them renames."""
    replace, both = os.replace, threading.Barrier(2, timeout=20)

    def late(source, target):
        both.wait()
        replace(source, target)

    monkeypatch.setattr("os.replace", late)


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [done.result() for done in [pool.submit(call) for call in calls]]


def test_of_two_writers_one_wins_with_all_it_wrote(tmp_path, monkeypatch):
    meet_before_renaming(monkeypatch)
    contents = [letter * 100_000 for letter in (b"a", b"b")]
    at_once(*(lambda content=content: atomic_files.write_bytes(tmp_path / "file", content) for content in contents))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() in contents


def write_histogram(folder):
    file = folder / "counts" / "x.npz"
    names, counts = ("a", "b"), np.arange(40).reshape(2, 20)
    class_histogram.save(class_histogram.ClassHistogram(names, counts), file)
    return lambda: np.testing.assert_array_equal(np.load(file)["counts"], counts)


def write_page(folder):
    page.write(None, folder / "page")
    return lambda: [(folder / "page" / name).read_text() for name in (page.PAGE, page.JSON)] == ["page", "{}\n"]


def write_shard(folder):
    split = list_examples("gta5", folder / "gta5", "train")
    planned = preparation.prepare(split, (20, 12), False, folder / "sets", shard_mb=1, compression="none")
    (job,) = planned.jobs()
    assert preparation.write_shard(job) == 3
    return lambda: preparation.is_written(job) and job.path.stat().st_size > 3 * 20 * 12 * 4


def write_city(folder):
    city = ToyCity(seed=0, size=(64, 32), num_train=1, num_val=1)
    ensure(folder / "city", city, workers=1)
    return lambda: ensure(folder / "city", city)


@pytest.mark.parametrize("write", [write_histogram, write_page, write_shard, write_city])
def test_all_that_is_written_bears_a_second_writer(tmp_path, monkeypatch, write):
    tiny.write_gta5(tmp_path / "gta5", sizes=[tiny.SIZE])
    monkeypatch.setattr(page, "render", lambda audit: "page")
    monkeypatch.setattr(page.as_json, "as_json", lambda audit: {})
    with monkeypatch.context() as patch:
        meet_before_renaming(patch)
        whole = at_once(lambda: write(tmp_path), lambda: write(tmp_path))
    assert all(check() is not False for check in whole)
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("where", ["inside", "fsync", "replace"])
def test_an_error_in_the_middle_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, error, where):
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        if where != "inside":
            patch.setattr(f"os.{where}", fail)
        with pytest.raises(type(error)), atomic_files.replacing(file) as temporary:
            temporary.write_bytes(b"half")
            if where == "inside":
                fail()
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]


def test_a_disk_that_cannot_flush_one_file_is_written_all_the_same(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("os.fsync", refuse)
    atomic_files.write_bytes(tmp_path / "a" / "file", b"new")
    assert (tmp_path / "a" / "file").read_bytes() == b"new"


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    ours = atomic_files.beside(tmp_path / "shard", "writing")
    for path in (ours, tmp_path / "shard.writing-123", tmp_path / "shard"):
        path.write_bytes(b"")
    atomic_files.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "shard"]


def gta5_set(folder):
    tiny.write_gta5(folder / "gta5")
    split = list_examples("gta5", folder / "gta5", "train")
    return preparation.prepare(split, (20, 12), False, folder / "sets", shard_mb=1, compression="none")


@pytest.mark.parametrize("code", ["ENOSYS", "EOPNOTSUPP", "ENOLCK"])
def test_a_disk_without_locks_is_one_line(tmp_path, monkeypatch, recwarn, code):
    def refuse(*args):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(DataError, match=rf"^{tmp_path}/sets: this file system has no locks \(.+\).*--output") as error:
        preparation.alone(gta5_set(tmp_path)).__enter__()
    assert "\n" not in str(error.value) and not recwarn.list


def test_another_fault_of_the_lock_is_not_taken_for_that(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        preparation.alone(gta5_set(tmp_path)).__enter__()


def test_a_lock_is_let_go_also_after_an_error(tmp_path):
    planned = gta5_set(tmp_path)
    for _ in range(2):
        with pytest.raises(KeyError), preparation.alone(planned):
            with pytest.raises(DataError, match="under way; wait for its end"), preparation.alone(planned):
                pass
            raise KeyError
