"""Training pictures that vanish or break on the way are replaced and counted; a healthy run has the bits of always."""

import itertools
import json
import shutil
import threading

import numpy as np
import pytest
import tiny_datasets as tiny
import tiny_runs
from input_pipeline_test import AUGMENTED, assert_equal, take
from prepared_sets import gta5, prepare_pair, write_domains

from data_pipelines.augmentation.example_order import ExampleOrder
from data_pipelines.augmentation.rare_classes import RareClassOrder
from data_pipelines.basics.errors import DataError, UnreadableFile
from data_pipelines.domains import open_domains
from data_pipelines.feeding import input_pipeline
from data_pipelines.feeding.input_pipeline import eval_batches, train_batches
from data_pipelines.feeding.streams import FAR
from data_pipelines.reading import loading
from data_pipelines.reading.unreadable import Unreadable

LOST = {"gta5/train/00002", "cityscapes/train/bochum_000003_000019"}


@pytest.fixture
def root(tmp_path):
    """GTA5 with four pairs that fit, and four unlabelled pictures of Cityscapes."""
    return write_domains(tmp_path)


def lose_files(root):
    """The second of GTA5's pairs has no label any more, the fourth of Cityscapes' pictures is cut."""
    (root / "gta5" / "labels" / "00002.png").unlink()
    picture = next((root / "cityscapes" / "leftImg8bit" / "train").rglob("bochum_000003*"))
    picture.write_bytes(picture.read_bytes()[:200])


def lose_records(root):
    """The same two, by flipped pixels: the checksums of ArrayRecord notice."""
    domains = open_domains(gta5(root))
    for split, row in ((domains.source_train, 1), (domains.target_train, 3)):
        (records,) = split.records
        (shard,) = records.folder.glob("shard-*")
        pixels = records.load(split.examples[row].name).image.tobytes()
        content = shard.read_bytes()
        assert content.count(pixels) == 1
        shard.write_bytes(content.replace(pixels, pixels[::-1]))


def replace_in_the_order(monkeypatch, lost):
    """The order of the pictures as it is documented, when those of {stream: index} are lost."""
    for order in (ExampleOrder, RareClassOrder):
        plain = order.index

        def index(self, position, plain=plain):
            count, found = self._num_examples, plain(self, position)
            if found != lost[self._stream]:
                return found
            start = plain(self, position + 2**40)
            return next(i for i in (*range(start, count), *range(start)) if i != lost[self._stream])

        monkeypatch.setattr(order, "index", index)


@pytest.mark.parametrize("changes", [{}, AUGMENTED, {"loader": "tf", **AUGMENTED}], ids=["plain", "augmented", "tf"])
@pytest.mark.parametrize("kind", ["files", "records"])
def test_the_others_take_their_place_and_nothing_else_changes(root, monkeypatch, kind, changes):
    if "loader" in changes:
        pytest.importorskip("tensorflow", reason="the tf.data loader needs tensorflow")
    if kind == "records":
        prepare_pair(root)
    config = gta5(root, max_unreadable=2, **changes)
    domains = open_domains(config)
    healthy = take(config, 12, domains=domains)
    with monkeypatch.context() as patch:
        replace_in_the_order(patch, {0: 1, 1: 3})
        expected = take(config, 12, domains=domains)
    assert any((a["source_image"] != b["source_image"]).any() for a, b in zip(healthy, expected, strict=True))
    {"files": lose_files, "records": lose_records}[kind](root)
    lines = []
    for threads in (1, 4):
        count = Unreadable(2, lines.append)
        config.num_parallel_calls = threads
        assert_equal(take(config, 12, domains=domains, unreadable=count), expected)
        assert count.reasons.keys() == LOST and len(count) == 2
        assert_equal(take(config, 5, start_step=7, domains=domains, unreadable=Unreadable(2)), expected[7:])
    assert len(lines) == 4 and all(f"number {i} of at most 2: " in lines[i - 1] for i in (1, 2))
    what = {"files": "cannot be read as a picture", "records": ": damaged"}[kind]
    assert all(what in line for line in lines)


def test_those_of_an_earlier_process_count():
    lines = []
    count = Unreadable(2, lines.append)
    count.remember({"gta5/train/a": "gone", "gta5/train/b": "gone"})
    count.leave_out("gta5/train/a", UnreadableFile("a is gone"))
    assert len(count) == 2 and not lines
    with pytest.raises(DataError, match="number 3 of the training pictures"):
        count.leave_out("gta5/train/c", UnreadableFile("c is gone"))


def test_far_is_behind_every_training():
    assert FAR > 10**9 * 64


def test_a_picture_that_vanishes_on_the_way_and_comes_back(root):
    config = gta5(root, max_unreadable=1, num_parallel_calls=1, prefetch=0)
    domains, count = open_domains(config), Unreadable(1, lambda line: None)
    healthy = take(config, 40, domains=domains)
    batches = train_batches(config, domains, seed=3, start_step=0, unreadable=count)
    image = domains.source_train.examples[2].image
    content = image.read_bytes()
    some = list(itertools.islice(batches, 10))
    assert not count
    image.unlink()
    without = list(itertools.islice(batches, 10))
    image.write_bytes(content)
    again = list(itertools.islice(batches, 20))
    assert_equal(some, healthy[:10])
    assert_equal(again[1:], healthy[21:])  # one was made ahead
    assert any((a["source_image"] != b["source_image"]).any() for a, b in zip(without, healthy[10:20], strict=True))
    assert list(count.reasons) == ["gta5/train/00004"]
    batches.close()


def test_records_that_come_back_are_read_again(root):
    prepare_pair(root)
    config = gta5(root, max_unreadable=9)
    domains = open_domains(config)
    healthy = take(config, 4, domains=domains)
    shard = root / "prepared" / "cityscapes-train-16x8" / "shard-00000-of-00001.array_record"
    domains, content = open_domains(config), shard.read_bytes()
    shard.write_bytes(content[:-100])
    with pytest.raises(DataError, match="none of the 4 pictures of this split can be read"):
        take(config, 4, domains=domains, unreadable=Unreadable(9, lambda line: None))
    for thread in threading.enumerate():
        if thread.name.startswith("data"):
            thread.join()  # a batch that was made ahead would find the shard half written
    shard.write_bytes(content)
    assert_equal(take(config, 4, domains=domains), healthy)


DAMAGE = {
    "picture missing": lambda example: example.image.unlink(),
    "label missing": lambda example: example.label.unlink(),
    "picture empty": lambda example: example.image.write_bytes(b""),
    "label cut": lambda example: example.label.write_bytes(example.label.read_bytes()[:80]),
    "label of another size": lambda example: tiny.save(example.label, tiny.train_id_label(0, (8, 8))),
    "a folder in its place": lambda example: (example.image.unlink(), example.image.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_limit_ends_the_run_with_the_line_of_the_file(root, damage):
    config = gta5(root)
    domains = open_domains(config)
    for number in (0, 1, 2):
        DAMAGE[damage](domains.source_train.examples[number])
    assert take(gta5(root, max_unreadable=3), 8, domains=domains)
    for limit in (0, 2):
        message = rf"0000[124]\.png: .*; restore .*; it is number {limit + 1} of .*max_unreadable={limit} may be left"
        with pytest.raises(DataError, match=message) as error:
            take(gta5(root, max_unreadable=limit), 8, domains=domains)
        assert "\n" not in str(error.value)


def test_only_damage_of_files_is_left_out(root, monkeypatch):
    config = gta5(root, max_unreadable=9)
    domains = open_domains(config)
    example = domains.source_train.examples[1]
    tiny.save(example.label, np.full((16, 24), 99, np.uint8), palette=True)
    with pytest.raises(DataError, match=r"00002\.png: values 99 are no GTA5") as error:
        take(config, 8, domains=domains)
    assert not isinstance(error.value, UnreadableFile)

    def wrong(*arguments):
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(loading, "load_example", wrong)
    with pytest.raises(TypeError, match="a mistake of ours"):
        take(config, 8, domains=domains)


def test_evaluation_leaves_nothing_out(root):
    val = open_domains(gta5(root, max_unreadable=9)).target_val
    val.examples[1].image.unlink()
    with pytest.raises(UnreadableFile, match="cannot be read as a picture"):
        list(eval_batches(val, image_size=(16, 8), batch_size=2))


def test_a_run_goes_on_and_says_so(toy_city, workdir, tmp_path, monkeypatch):
    """The picture vanishes when training begins, after the look at the files."""
    shutil.copytree(toy_city, tmp_path / "city")
    plain = input_pipeline.train_batches

    def vanishing(config, domains, **kwargs):
        domains.source_train.examples[1].image.unlink(missing_ok=True)
        return plain(config, domains, **kwargs)

    monkeypatch.setattr(input_pipeline, "train_batches", vanishing)
    changes = {"data.name": "gta5", "data.max_unreadable": 1, "data.cache_mb": 0}
    text = tiny_runs.run(tiny_runs.config(tmp_path / "city", goal=("source_only",), **changes), workdir)
    (said,) = (line for line in text.splitlines() if "left out" in line)
    assert "left out, number 1 of at most 1: " in said and "cannot be read as a picture" in said
    folder = tiny_runs.stage_folder(workdir, "source_only")
    record = json.loads((folder / "record.json").read_text())
    ((picture, reason),) = record["unreadable_examples"].items()
    assert record["status"] == "finished" and picture.startswith("gta5/train/") and reason in said
    rows = [row for row in tiny_runs.metric_rows(folder) if row["kind"] == "train"]
    assert rows[-1]["unreadable_examples"] == 1 and all(row.get("unreadable_examples", 1) == 1 for row in rows)


def test_a_healthy_run_tells_nothing_of_it(chain):
    folder = tiny_runs.stage_folder(chain[0], "source_only")
    told = (folder / "record.json").read_text() + (folder / "metrics.jsonl").read_text()
    assert "unreadable_examples" not in told and "left out, number" not in chain[1]
