"""Which errors of the system are faults of the workdir's disk, and which are not to be blamed on it."""

import errno
import os

import pytest

from dakd_jax.basics.errors import UserError
from dakd_jax.commands.kit import workdirs
from dakd_jax.studies.paper_tables.jobs import jobs


def failing(code, *names):
    number = getattr(errno, code)
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("EACCES", ["work/stages/record.json"]),
        ("EPERM", [b"work/metrics.jsonl"]),
        ("EACCES", ["tmp/new", None, "work/old"]),  # a rename
        ("ENOSPC", []),
        ("ENOSPC", ["elsewhere/cache"]),
        ("EROFS", [7]),  # a descriptor
    ],
    ids=str,
)
def test_a_fault_of_writing_is_one_line(tmp_path, monkeypatch, code, names):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").mkdir()
    (tmp_path / "work").symlink_to("disk")
    for workdir in (tmp_path / "work", tmp_path / "disk"):  # the same folder
        said = "cannot write .*; make room or choose another --workdir"
        with pytest.raises(UserError, match=said), workdirs.telling_disk_faults(workdir):
            raise failing(code, *names)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("EACCES", ["data/images"]),
        ("EPERM", ["data/images/1.png"]),
        ("EACCES", ["workshop/file"]),
        ("EACCES", []),
        ("EIO", ["work/file"]),
    ],
    ids=str,
)
def test_what_was_not_written_to_the_workdir_is_not_blamed_on_it(tmp_path, monkeypatch, code, names):
    monkeypatch.chdir(tmp_path)
    error = failing(code, *names)
    with pytest.raises(OSError) as raised, workdirs.telling_disk_faults(tmp_path / "work"):
        raise error
    assert raised.value is error


def test_a_job_of_a_table_works_in_the_workdir_that_its_file_names(tmp_path):
    file = tmp_path / "jobs" / "job.json"
    file.parent.mkdir()
    file.write_text('{"workdir": "there"}')
    assert str(jobs.workdir(str(file))) == "there"
    file.write_text("no job")
    assert jobs.workdir(str(file)) == file.parent
