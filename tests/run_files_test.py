"""Files appear whole or not at all, also when two write the same one."""

import errno
import os
import threading

import pytest

from dakd_jax.basics import atomic_files, workdir_lock
from dakd_jax.basics.errors import UserError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_writers_of_one_file_each_end_well_and_the_later_wins(tmp_path):
    path, inside, first_done = tmp_path / "new" / "x", threading.Event(), threading.Event()
    faults = []

    def slow():
        try:
            with atomic_files.replacing(path) as temporary:
                temporary.write_bytes(b"slow" * 1000)
                inside.set()
                assert first_done.wait(10)
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=slow)
    thread.start()
    assert inside.wait(10)
    atomic_files.write_bytes(path, b"fast")
    assert path.read_bytes() == b"fast"
    first_done.set()
    thread.join()
    assert not faults and path.read_bytes() == b"slow" * 1000 and names(path.parent) == ["x"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    atomic_files.write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError), atomic_files.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and names(tmp_path) == ["x"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_fault_of_the_disk_is_raised(tmp_path, monkeypatch, number):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError) as raised:
        atomic_files.write_bytes(tmp_path / "x", b"new")
    assert raised.value.errno == number and names(tmp_path) == []


def test_a_file_system_without_flush_is_no_fault(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", fail)
    atomic_files.write_bytes(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch, number):
    def fail(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", fail)
    refused = pytest.raises(UserError, match="this file system has no locks .*choose a --workdir on another disk")
    with refused, workdir_lock.hold(tmp_path):
        pass


def test_whoever_asks_in_vain_does_not_blot_out_who_holds_it(tmp_path):
    with workdir_lock.hold(tmp_path):
        for _ in range(2):
            refused = pytest.raises(UserError, match=f"in use by process {os.getpid()} on ")
            with refused, workdir_lock.hold(tmp_path):
                pass
    with workdir_lock.hold(tmp_path):
        pass


def test_waiting_for_the_one_that_holds_it(tmp_path):
    said, let_go = [], threading.Event()

    def holder():
        with workdir_lock.hold(tmp_path):
            let_go.wait(10)

    thread = threading.Thread(target=holder)
    thread.start()
    while not (tmp_path / workdir_lock.HOLDER).exists():
        pass

    def say(line):
        said.append(line)
        let_go.set()

    with workdir_lock.hold(tmp_path, wait_seconds=20, say=say):
        pass
    thread.join()
    assert len(said) == 1 and "waiting for its end, 20 s at most" in said[0]
