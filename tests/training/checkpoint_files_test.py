"""Bytes that changed are damage of a checkpoint; a read that fails, or memory that runs out, are none: it stays."""

import errno
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import zipfile

import jax
import pytest
import saved_states
from saved_states import DAMAGES, assert_equal, at, cut, filled, largest, tell

from dakd_jax.basics import disk_faults
from dakd_jax.basics.errors import UserError
from dakd_jax.training import checkpoint_files, checkpointing
from dakd_jax.training.checkpoint_files import UnreadableCheckpoint

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
FULL = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes."
AS_TENSORSTORE_TELLS = "DATA_LOSS: Error reading local file \"/x\": Input/output error [os_error_code='5']"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(disk_faults, "PAUSES", (0.0, 0.0, 0.0))


opened, originals = saved_states.opened, saved_states.originals


@pytest.fixture
def saved(tmp_path, originals):
    """(folder with the checkpoints of steps 1 and 2, the states by step)."""
    shutil.copytree(originals[0], tmp_path / "checkpoints")
    return tmp_path / "checkpoints", originals[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def goes_on(folder, made, opened):
    """The next start finds the newest one in its place, bit for bit."""
    assert names(folder) == ["1", "2"]
    said = []
    assert_equal(opened(folder, report=said.append).restore(made[1]), made[2])
    assert not said


# Damage


def test_about_json_lists_every_file_with_its_size_and_hash(saved):
    folder = saved[0] / "2"
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "about.json"]
    expected = {
        path.relative_to(folder).as_posix(): {
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    }
    about = json.loads((folder / "about.json").read_text())
    assert about["files"] == expected and len(expected) > 5 and about["format"] == 4


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(saved, opened, damage):
    (folder, made), (act, reason) = saved, DAMAGES[damage]
    act(folder / "2")
    said = []
    assert_equal(opened(folder, report=said.append).restore(made[2]), made[1])
    (line,) = said
    assert re.match(rf"checkpoint 2 is damaged \({reason}", line) and line.endswith(
        "damaged-2; the newest one left is 1"
    )
    assert "\n" not in line and names(folder) == ["1", "damaged-2"]


def test_damage_is_told_before_orbax_is_asked(saved, opened, monkeypatch):
    folder, made = saved
    saved_states.flip(folder / "2")
    checkpoints = opened(folder)
    monkeypatch.setattr(checkpoints._orbax, "restore", None)
    monkeypatch.setattr(checkpoints._orbax, "metadata", None)
    assert checkpoints.read(2, made[2]) is None


def test_a_file_more_is_no_damage(saved, opened):
    folder, made = saved
    (folder / "2" / "state" / ".nfs0001").write_bytes(b"left by a network's disk")
    goes_on(folder, made, opened)


def test_when_all_are_damaged_it_says_so_at_every_start(saved, opened):
    folder, made = saved
    for step in ("1", "2"):
        cut(folder / step)
    said = []
    for _ in range(2):
        with pytest.raises(
            UserError,
            match=rf"all 2 checkpoints of {folder} are damaged \(damaged-1, damaged-2\): .*backup.*, or delete",
        ) as caught:
            opened(folder, report=said.append).restore(made[2])
        assert "\n" not in str(caught.value) and names(folder) == ["damaged-1", "damaged-2"]
    assert len(said) == 2 and said[1].endswith("none is left")
    assert opened(folder).newest(made[2]) is None
    shutil.rmtree(folder)
    assert opened(folder).restore(made[2]) is None


def test_put_back_from_a_backup_it_goes_on(saved, opened):
    folder, made = saved
    shutil.copytree(folder / "2", folder.parent / "backup")
    cut(folder / "2")
    shutil.rmtree(folder / "1")
    with pytest.raises(UserError, match=f"the only checkpoint of {folder} is damaged"):
        opened(folder).restore(made[2])
    shutil.copytree(folder.parent / "backup", folder / "damaged-2", dirs_exist_ok=True)
    (folder / "damaged-2").rename(folder / "2")
    assert_equal(opened(folder).restore(made[1]), made[2])


# No damage


def failing_open(monkeypatch, code, suffix, times=99):
    """Opening files of such a name fails so many times; returns the list of the names for which it did."""
    plain, failed = pathlib.Path.open, []

    def open_(self, *args, **kwargs):
        if str(self).endswith(suffix) and len(failed) < times:
            failed.append(self.name)
            raise OSError(code, os.strerror(code), str(self))
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(pathlib.Path, "open", open_)
    return failed


@pytest.mark.parametrize("suffix", ["2/about.json", "2/state/manifest.ocdbt"])
def test_a_read_that_fails_is_raised_and_the_checkpoint_stays(saved, opened, monkeypatch, suffix):
    folder, made = saved
    for name in ("EIO", "EMFILE", "ENFILE", "ESTALE", "ENOMEM", "EACCES"):
        code = getattr(errno, name)
        with monkeypatch.context() as patch, pytest.raises(UnreadableCheckpoint) as caught:
            failed = failing_open(patch, code, suffix)
            opened(folder).restore(made[1])
        assert (caught.value.errno, caught.value.filename) == (code, str(folder / suffix))
        assert len(failed) == (1 if name in ("ENOMEM", "EACCES") else 4), name
        assert names(folder) == ["1", "2"]
    goes_on(folder, made, opened)


ORBAX = {
    "memory of the host": (MemoryError(), MemoryError),
    "memory of the device": (jax.errors.JaxRuntimeError(FULL), jax.errors.JaxRuntimeError),
    "a disk that fails": (ValueError(AS_TENSORSTORE_TELLS), UnreadableCheckpoint),
    "too many open files": (OSError(errno.EMFILE, "Too many open files"), UnreadableCheckpoint),
    "anything else": (KeyError("tree"), KeyError),
}


@pytest.mark.parametrize("method", ["restore", "metadata"])
def test_what_orbax_raises_on_sound_files_is_raised(saved, opened, monkeypatch, method):
    folder, made = saved
    for raised, kind in ORBAX.values():

        def fail(*args, raised=raised, **kwargs):
            raise raised

        checkpoints = opened(folder)
        monkeypatch.setattr(checkpoints._orbax, method, fail)
        with pytest.raises(kind) as caught:
            checkpoints.restore(made[1])
        notes = (caught.value if kind is not UnreadableCheckpoint else caught.value.__cause__).__notes__
        assert f"{folder}/2 was left where it is: its files are those that were saved" in notes[-1]
        assert names(folder) == ["1", "2"]
    goes_on(folder, made, opened)


@pytest.mark.parametrize("suffix", ["2/about.json", "2/state/manifest.ocdbt"])
def test_a_read_that_fails_once_is_tried_again(saved, opened, monkeypatch, suffix):
    folder, made = saved
    failed = failing_open(monkeypatch, errno.EIO, suffix, times=1)
    goes_on(folder, made, opened)
    assert len(failed) == 1


def test_orbax_is_asked_again(saved, opened, monkeypatch):
    folder, made = saved
    checkpoints = opened(folder)
    plain, asked = checkpoints._orbax.restore, []

    def once(*args, **kwargs):
        asked.append(0)
        if len(asked) == 1:
            raise ValueError(AS_TENSORSTORE_TELLS)
        return plain(*args, **kwargs)

    monkeypatch.setattr(checkpoints._orbax, "restore", once)
    assert_equal(checkpoints.restore(made[1]), made[2])
    assert len(asked) == 2


def test_a_process_that_may_open_no_more_files(saved, opened):
    """The kernel's own EMFILE."""
    folder, made = saved
    checkpoints, before = opened(folder), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(UnreadableCheckpoint, match="Too many open files"):
            checkpoints.restore(made[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    goes_on(folder, made, opened)


def test_other_tensors_than_were_saved_from_sound_files_are_no_damage(saved, opened, monkeypatch):
    folder, made = saved
    with monkeypatch.context() as patch:
        patch.setattr(checkpointing, "checksum", lambda state: "0" * 64)
        with pytest.raises(RuntimeError, match="not the tensors read from them"):
            opened(folder).restore(made[1])
    goes_on(folder, made, opened)


# Older formats


@pytest.fixture
def old(tmp_path):
    """Unpacks the checkpoint of an older format: its folder, named 7."""

    def unpack(number):
        zipfile.ZipFile(FIXTURES / f"checkpoint_format_{number}.zip").extractall(tmp_path)
        return tmp_path / "7"

    return unpack


@pytest.mark.parametrize("number", [1, 2])
def test_older_formats_are_still_read(old, opened, number):
    """1: the state under default/, without about.json; 2: about.json without the files."""
    like = saved_states.like_the_fixtures()
    checkpoints = opened(old(number).parent)
    assert checkpoints.steps() == [7]
    assert_equal(checkpoints.restore(like), at(filled(like), 7))
    assert checkpoints.told == ({"skipped_steps": 1} if number == 2 else {})


@pytest.mark.parametrize("number", [1, 2])
def test_what_orbax_raises_on_older_formats_tells_no_damage(old, opened, number):
    folder, said = old(number), []
    for file in folder.rglob("manifest.ocdbt"):
        file.unlink()
    with pytest.raises(Exception) as caught:
        opened(folder.parent, report=said.append).restore(saved_states.like_the_fixtures())
    assert f"{folder} is of format {number}" in caught.value.__notes__[-1]
    assert "delete that folder to go on from the one before" in caught.value.__notes__[-1]
    assert folder.is_dir() and not said


def test_the_checksum_of_the_tensors_tells_damage_of_the_second_format(old, opened):
    folder, said = old(2), []
    tell(folder, checksum="0" * 64)
    with pytest.raises(UserError, match="the only checkpoint"):
        opened(folder.parent, report=said.append).restore(saved_states.like_the_fixtures())
    assert "7 is damaged (its checksum is not that of what was saved)" in said[0]


# --mode=verify


def test_verify_names_what_is_off_with_each(saved):
    folder = saved[0]
    assert list(checkpoint_files.verify(folder)) == list(checkpoint_files.verify(folder / "none")) == []
    saved_states.flip(folder / "2")
    (folder / "2" / "state" / "manifest.ocdbt").unlink()
    (folder / "1" / "about.json").write_text("{")
    first, second = checkpoint_files.verify(folder)
    assert first == "checkpoint 1: about.json is torn"
    assert re.fullmatch(
        r"checkpoint 2: state/manifest.ocdbt is missing, the bytes of state/.*/d/\w+ have changed", second
    )
    shutil.rmtree(folder / "2" / "state")
    (folder / "1").rename(folder / "damaged-1")
    (line,) = checkpoint_files.verify(folder)
    assert re.search(r"is missing, \d+ more$", line)
    shutil.rmtree(folder / "2")
    assert list(checkpoint_files.verify(folder)) == ["all its checkpoints are damaged (damaged-1)"]


def test_verify_tells_what_it_cannot_read_from_damage(saved, monkeypatch):
    failing_open(monkeypatch, errno.EIO, largest(saved[0] / "2").name)
    assert list(checkpoint_files.verify(saved[0])) == ["checkpoint 2: it cannot be read (Input/output error)"]


def test_verify_passes_over_what_older_formats_do_not_tell(old):
    for number in (1, 2):
        assert list(checkpoint_files.verify(old(number).parent)) == []
        shutil.rmtree(old(number))
    folder = old(2)
    tell(folder, format=99)
    assert list(checkpoint_files.verify(folder.parent)) == [
        "checkpoint 7: it is of format 99, this version reads 1 to 4"
    ]
