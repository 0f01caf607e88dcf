"""Preparing records: whole or not there, and every mistake in one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_datasets as tiny
from input_pipeline_test import assert_equal, take
from prepared_sets import gta5, prepare_pair, run, write_domains

from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import list_examples
from data_pipelines.domains import open_domains
from data_pipelines.feeding.feed import Feed
from data_pipelines.prepare import preparation


@pytest.fixture
def root(tmp_path):
    return write_domains(tmp_path)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def planned(root, output, **changes):
    settings = {"shard_mb": 1, "compression": "none"} | changes
    split = list_examples("gta5", root / "gta5", "train")
    whole = preparation.prepare(split, (20, 12), False, output, **settings)
    return whole.__class__(**{**vars(whole), "shards": ((0, 1), (1, 3), (3, 4))})


def test_stopped_half_way_it_goes_on_and_ends_with_the_same_bytes(root, tmp_path):
    whole, stopped = planned(root, tmp_path / "whole"), planned(root, tmp_path / "stopped")
    for plan, jobs in ((whole, 3), (stopped, 2)):
        assert preparation.begin(plan) == 0
        for job in plan.jobs()[:jobs]:
            preparation.write_shard(job)
    preparation.finish(whole)
    (stopped.partial_folder / "shard-00002-of-00003.array_record.writing-123").write_bytes(b"half a shard")
    assert not stopped.folder.exists() and not preparation.is_done(stopped)

    again = planned(root, tmp_path / "stopped")
    assert preparation.begin(again) == 3
    assert [job.path.name for job in again.jobs()] == ["shard-00002-of-00003.array_record"]
    preparation.write_shard(again.jobs()[0])
    assert preparation.finish(again) == again.folder
    assert contents(again.folder) == contents(whole.folder)
    assert not again.partial_folder.exists() and preparation.is_done(again)


def test_a_stopped_preparation_of_other_files_starts_clean(root, tmp_path):
    plan = planned(root, tmp_path)
    preparation.begin(plan)
    preparation.write_shard(plan.jobs()[0])
    tiny.save(root / "gta5" / "images" / "00005.png", tiny.picture(999))
    assert preparation.begin(planned(root, tmp_path)) == 0
    assert len(planned(root, tmp_path).jobs()) == 3


def test_a_killed_process_leaves_nothing_that_looks_whole(root, tmp_path):
    command = [sys.executable, "-m", "data_pipelines.prepare", "--dataset=gta5", f"--source={root / 'gta5'}"]
    command += ["--size=3000x2000", "--shard_mb=1", "--num_workers=2", f"--output={tmp_path / 'out'}"]
    tiny.write_gta5(root / "gta5", 16)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    partial = tmp_path / "out" / "gta5-train-3000x2000.partial"
    while not list(partial.glob("shard-*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "gta5-train-3000x2000").exists()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "goes on after" in result.stdout
    config = gta5(root, source_size=(3000, 2000), records_dir=str(tmp_path / "out"))
    assert "source train: reads prepared records gta5-train-3000x2000" in open_domains(config).notes
    assert_equal(take(config, 1), take(gta5(root, source_size=(3000, 2000)), 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size=20x12"], "error: command line: flag --dataset"),
        (
            ["--dataset=gta5", "--source=nowhere", "--size=20x12"],
            f"error: --source={Path.cwd() / 'nowhere'}: no such folder",
        ),
        (["--dataset=gta5", "--source={}", "--size=20"], "error: --size=20: expected WIDTHxHEIGHT"),
        (["--dataset=gta5", "--source={}", "--size=20x7"], "error: --size=(20, 7): expected (width, height)"),
        (["--dataset=gta5", "--source={}", "--size=20x12", "--splits=val"], "error: gta5 has no split 'val'"),
        (["--dataset=gta5", "--source={}", "--size=20x12", "x"], "error: unexpected argument 'x'"),
    ],
)
def test_mistakes_are_one_line(root, capsys, arguments, message):
    assert run(*(a.format(root / "gta5") for a in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1


def test_a_finished_set_stays_and_how_to_write_it_in_another_way_is_told(root, capsys):
    arguments = ["--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12", "--splits=train"]
    assert run(*arguments) == 0
    before = contents(next((root / "prepared").glob("gta5-train-*")))
    capsys.readouterr()
    assert run(*arguments) == 0
    assert "already prepared from these files\n" in capsys.readouterr().out
    assert run(*arguments, "--compression=zstd") == 0
    told = capsys.readouterr().out
    assert "already prepared from these files (remove the folder to write it anew with --compression)\n" in told
    assert contents(next((root / "prepared").glob("gta5-train-*"))) == before


def test_a_broken_picture_is_named_and_what_is_done_stays(root, capsys):
    (root / "gta5" / "images" / "00005.png").write_bytes((root / "gta5" / "images" / "00005.png").read_bytes()[:200])
    arguments = ["--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12", "--num_workers=1"]
    assert run(*arguments) == 2
    assert "00005.png: cannot be read as a picture" in capsys.readouterr().err
    assert not (root / "prepared" / "gta5-train-20x12").exists()


def test_a_label_that_is_missing_is_an_error_not_an_unlabelled_split(root, capsys):
    (root / "gta5" / "labels" / "00002.png").unlink()
    assert run("--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12") == 2
    assert "00002.png has no label" in capsys.readouterr().err
    for label in (root / "gta5" / "labels").iterdir():  # nor is one without any, of a data set that is a source only
        label.unlink()
    assert run("--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12") == 2
    assert "has no label" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["begin", "write_shard"])
def test_a_full_disk_is_one_line_and_leaves_no_half_file(root, capsys, monkeypatch, where):
    def full(*args):
        raise OSError(28, "No space left on device", "shard")

    monkeypatch.setattr(preparation, where, full)
    arguments = ["--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12", "--num_workers=1"]
    assert run(*arguments) == 2
    assert "cannot write shard: No space left on device; make room" in capsys.readouterr().err
    assert not list(root.rglob("*.writing-*"))
    monkeypatch.undo()
    assert run(*arguments) == 0


def test_beam_writes_the_same_bytes(root, tmp_path, capsys):
    pytest.importorskip("apache_beam", reason="apache-beam is not installed (requirements-beam.txt)")
    tiny.write_gta5(root / "gta5", 40)
    arguments = ["--dataset=gta5", f"--source={root / 'gta5'}", "--size=320x240", "--num_workers=1", "--shard_mb=1"]
    beam = [
        "--beam_runner=DirectRunner",
        "--beam_options=--direct_running_mode=multi_processing,--direct_num_workers=2",
    ]
    assert run(*arguments, f"--output={tmp_path / 'local'}") == 0
    assert run(*arguments, f"--output={tmp_path / 'beam'}", *beam) == 0
    some, others = (contents(tmp_path / where / "gta5-train-320x240") for where in ("local", "beam"))
    assert len(some) == 2 + 14 and some == others


def test_what_a_beam_pipeline_stumbles_over_is_named(root, capsys):
    pytest.importorskip("apache_beam", reason="apache-beam is not installed (requirements-beam.txt)")
    image = root / "gta5" / "images" / "00005.png"
    image.write_bytes(image.read_bytes()[:200])
    arguments = ["--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12", "--beam_runner=DirectRunner"]
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert "00005.png: cannot be read as a picture" in error and error.count("\n") == 1


def test_without_beam_the_way_out_is_named(root, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    assert run("--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12", "--beam_runner=DirectRunner") == 2
    assert "pip install -r requirements-beam.txt" in capsys.readouterr().err


def as_train_ids(root):
    """GTA5 labels in which a mix-up left train ids."""
    for i, path in enumerate(sorted((root / "gta5" / "labels").glob("*.png"))):
        label = np.full((16, 24), 1, np.uint8) if i % 2 else np.full((16, 32), 1, np.uint8)
        tiny.save(root / "gta5" / "images" / path.name, tiny.picture(i, label.shape[::-1]))
        label[4:] = np.arange(label[4:].size).reshape(label[4:].shape) % 11
        tiny.save(path, label)


def test_labels_of_another_kind_are_refused_and_records_hide_none(root, capsys):
    prepare_pair(root)
    as_train_ids(root)
    assert run("--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12") == 2
    assert "train ids" in capsys.readouterr().err
    with pytest.raises(DataError, match="train ids"):
        Feed(gta5(root)).audit({"source"})


def test_two_preparations_at_once_keep_apart(root, capsys):
    split = list_examples("gta5", root / "gta5", "train")
    plan = preparation.prepare(split, (20, 12), False, root / "prepared", shard_mb=1, compression="none")
    arguments = ["--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12", "--num_workers=1"]
    with preparation.alone(plan):
        assert run(*arguments) == 2
    assert "another preparation of it is under way" in capsys.readouterr().err
    assert run(*arguments) == 0


@pytest.mark.parametrize("name", ["gta5-train-20x12.replaced", "gta5-train-20x12.partial"])
def test_a_set_that_grows_or_is_being_replaced_is_none(root, name):
    prepare_pair(root)
    folder = root / "prepared" / "gta5-train-20x12"
    folder.rename(folder.with_name(name))
    assert "source train: reads files, resized to 20x12" in open_domains(gta5(root)).notes


def test_a_kill_while_an_old_set_is_replaced_loses_nothing(root, monkeypatch):
    prepare_pair(root)
    tiny.save(root / "gta5" / "images" / "00001.png", tiny.picture(999))
    arguments = ["--dataset=gta5", f"--source={root / 'gta5'}", "--size=20x12", "--num_workers=1"]
    replace, calls = os.replace, []

    def killed(source, target):
        if str(source).endswith(".partial"):
            calls.append(source)
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(preparation.os, "replace", killed)
        assert run(*arguments) == 130 and calls
    assert run(*arguments) == 0
    assert "source train: reads prepared records gta5-train-20x12" in open_domains(gta5(root)).notes
    assert sorted(p.name for p in (root / "prepared").iterdir() if p.is_dir() and "gta5" in p.name) == [
        "gta5-train-20x12"
    ]
    left = sorted(p.name for p in (root / "prepared" / "gta5-train-20x12").iterdir())
    assert left == ["class_counts.npy", "set.json", "shard-00000-of-00001.array_record"]


def test_workers_end_with_a_parent_that_is_killed(root, tmp_path):
    command = [sys.executable, "-m", "data_pipelines.prepare", "--dataset=gta5", f"--source={root / 'gta5'}"]
    command += ["--size=3000x2000", "--shard_mb=1", "--num_workers=2", f"--output={tmp_path / 'out'}"]
    tiny.write_gta5(root / "gta5", 16)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not list((tmp_path / "out" / "gta5-train-3000x2000.partial").glob("shard-*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [child for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
    assert len(workers) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(_runs(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(process):
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False
