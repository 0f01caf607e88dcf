"""Prepared records: the same pixels as the folders, whole or not there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_datasets as tiny
from input_pipeline_test import AUGMENTED, assert_equal, take

from data_pipelines import preparation, prepare
from data_pipelines.command_line import main
from data_pipelines.datasets import list_examples
from data_pipelines.errors import DataError
from data_pipelines.feed import Feed
from data_pipelines.input_pipeline import eval_batches, open_domains


def run(*arguments):
    """The exit code of the command."""
    return main(["prepare", *arguments], prepare.define_flags, prepare.run, prepare.__doc__)


def prepare_pair(root, *more):
    """The records of both domains at the sizes of tiny.data_config."""
    for dataset, size in (("gta5", "20x12"), ("cityscapes", "16x8")):
        source = f"--source={root / dataset}"
        assert run(f"--dataset={dataset}", source, f"--size={size}", "--num_workers=1", *more) == 0


@pytest.fixture
def root(tmp_path):
    tiny.write_gta5(tmp_path / "root" / "gta5", 5)
    labels = tmp_path / "root" / "gta5" / "labels"
    tiny.save(labels / "00003.png", tiny.train_id_label(1, (10, 10)))  # a pair that does not fit
    tiny.write_cityscapes(tmp_path / "root" / "cityscapes", count=4, labelled=False)
    tiny.write_cityscapes(tmp_path / "root" / "cityscapes", "val", 3, seed=150)
    return tmp_path / "root"


def gta5(root, **changes):
    return tiny.data_config(root, name="gta5", cache_mb=0, **changes)


def both_ways(root, tmp_path, **changes):
    """The config that reads files, and the one that reads records."""
    return gta5(root, records_dir=str(tmp_path / "none"), **changes), gta5(root, **changes)


@pytest.mark.parametrize("changes", [{}, AUGMENTED, {"loader": "tf"}], ids=["plain", "augmented", "tf"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_records_and_files_give_the_same_bits(root, tmp_path, changes, compression):
    prepare_pair(root, f"--compression={compression}", "--shard_mb=1")
    files, records = both_ways(root, tmp_path, **changes)
    domains = open_domains(records)
    assert "source train: reads prepared records gta5-train-20x12" in domains.notes
    assert "source train: gta5: 1 pair left out: image and label sizes differ" in domains.notes
    assert "source train: reads files, resized to 20x12" in open_domains(files).notes
    assert_equal(take(files, 5), take(records, 5))


def test_the_records_are_what_is_read(root, tmp_path):
    """The pixels come from the records: the files are not opened again."""
    prepare_pair(root)
    files, records = both_ways(root, tmp_path)
    expected, domains = take(files, 3), open_domains(records)
    for file in [*root.rglob("gta5/*/*.png"), *root.rglob("leftImg8bit/train/*/*.png")]:
        file.write_bytes(b"gone")
    assert_equal(take(records, 3, domains=domains), expected)


def test_evaluation_reads_native_labels_from_records(root, tmp_path):
    sizes = [(24, 16), (30, 20), (24, 16)]
    for i, size in enumerate(sizes):
        tiny.write_cityscapes(root / "cityscapes", "val", count=i + 1, size=size, seed=150)
    prepare_pair(root)
    files, records = (open_domains(config).target_val for config in both_ways(root, tmp_path))
    assert records.records and not files.records
    for label_size in (None, (16, 8)):  # the second is not what the records hold
        some, others = (
            list(eval_batches(split, image_size=(16, 8), batch_size=2, label_size=label_size))
            for split in (files, records)
        )
        assert len(some) == len(others)
        for a, b in zip(some, others, strict=True):
            assert a["names"] == b["names"]
            for key in ("image", "label", "mask"):
                np.testing.assert_array_equal(a[key], b[key])


def test_records_alone_are_enough_and_have_the_same_fingerprint(root, tmp_path):
    prepare_pair(root)
    (root / "list.txt").write_text("00002\n00005.png\n")
    config = gta5(root)
    listed = gta5(root, source_list=str(root / "list.txt"))
    everything, some = take(config, 4), take(listed, 4)
    roles = ("source_train", "target_train", "target_val")
    prints = [open_domains(c).fingerprint(*roles) for c in (config, listed)]
    for dataset in ("gta5", "cityscapes"):
        (root / dataset).rename(tmp_path / f"{dataset}_away")
    notes = open_domains(config).notes
    assert "source train: gta5: 4 train pictures (labelled), of prepared records alone: there is no folder" in notes
    assert_equal(take(config, 4), everything)
    assert_equal(take(listed, 4), some)
    assert [open_domains(c).fingerprint(*roles) for c in (config, listed)] == prints
    batches = list(eval_batches(open_domains(config).target_val, image_size=(16, 8), batch_size=2))
    assert sum(batch["mask"].sum() for batch in batches) == 3
    with pytest.raises(DataError, match="these records hold no labels"):
        open_domains(config, need_target_labels=True)


def test_records_of_other_files_are_not_read(root, tmp_path):
    prepare_pair(root)
    tiny.save(root / "gta5" / "images" / "00001.png", tiny.picture(999))
    files, records = both_ways(root, tmp_path)
    notes = open_domains(records).notes
    assert any("prepared records gta5-train-20x12 are of other files; prepare them anew" in note for note in notes)
    assert_equal(take(files, 3), take(records, 3))
    prepare_pair(root)
    assert "source train: reads prepared records gta5-train-20x12" in open_domains(records).notes
    assert_equal(take(files, 3), take(records, 3))


def test_labels_of_the_target_may_come_later(root, tmp_path):
    """Records without labels serve the unlabelled stream and are passed over by the supervised one."""
    prepare_pair(root)
    tiny.write_cityscapes(root / "cityscapes", count=4)
    files, records = both_ways(root, tmp_path)
    supervised = [open_domains(c, need_target_labels=True) for c in (files, records)]
    some, others = (take(c, 3, domains=d, source="target") for c, d in zip((files, records), supervised, strict=True))
    assert_equal(some, others)


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


@pytest.mark.parametrize("place", ["middle", "end", "missing"])
def test_a_damaged_shard_is_named(root, tmp_path, place):
    prepare_pair(root)
    shard = root / "prepared" / "gta5-train-20x12" / "shard-00000-of-00001.array_record"
    content, pixels = shard.read_bytes(), take(gta5(root), 1)[0]["source_image"][0].tobytes()
    damaged = {"middle": content.replace(pixels, pixels[::-1]), "end": content[: len(content) // 2]}
    if place == "missing":
        shard.unlink()
    else:
        assert damaged[place] != content
        shard.write_bytes(damaged[place])
    domains = open_domains(gta5(root))
    with pytest.raises(DataError, match=r"shard-00000-of-00001\.array_record: damaged .*prepare anew") as error:
        take(gta5(root), 8, domains=domains)
    assert "\n" not in str(error.value)


def test_a_damaged_description_is_named(root):
    prepare_pair(root)
    description = root / "prepared" / "gta5-train-20x12" / "set.json"
    description.write_text(description.read_text()[:-40])
    with pytest.raises(DataError, match=r"set\.json: no description of prepared records .*prepare anew"):
        open_domains(gta5(root))


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


def test_records_of_the_users_own_pictures_are_read(root, tmp_path):
    for i in range(3):
        tiny.save(tmp_path / "mine" / f"{i}.png", tiny.picture(i))
    output = f"--output={root / 'prepared'}"
    assert run("--dataset=flat_folder", f"--source={tmp_path / 'mine'}", "--size=16x8", output, "--num_workers=1") == 0
    config = gta5(root, target_dir=str(tmp_path / "mine"))
    assert "target train: reads prepared records flat_folder-train-16x8" in open_domains(config).notes
    files = gta5(root, target_dir=str(tmp_path / "mine"), records_dir=str(tmp_path / "none"))
    assert_equal(take(files, 3), take(config, 3))


def test_records_alone_of_another_size_are_an_error_before_any_work(root, tmp_path):
    prepare_pair(root)
    for dataset in ("gta5", "cityscapes"):
        (root / dataset).rename(tmp_path / f"{dataset}_away")
    with pytest.raises(DataError, match=r"no folder .*gta5, and its prepared records \(gta5-train-20x12\) do not hold"):
        open_domains(gta5(root, source_size=(40, 24)))
    val = open_domains(gta5(root)).target_val
    with pytest.raises(DataError, match=r"do not hold val at 16x8, resized by bilinear; .*eval.protocol"):
        eval_batches(val, image_size=(16, 8), batch_size=2, resample="bilinear")


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


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_damaged_class_counts_are_named(root, damage):
    prepare_pair(root)
    path = root / "prepared" / "gta5-train-20x12" / "class_counts.npy"
    path.write_bytes(path.read_bytes()[:40]) if damage == "cut" else path.unlink()
    with pytest.raises(DataError, match=r"class_counts\.npy: damaged .*prepare anew"):
        take(gta5(root, rare_class_temperature=0.1), 1)


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
