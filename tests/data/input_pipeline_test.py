"""Training and evaluation batches: the same whoever makes them, each picture in its place."""

import itertools
import logging
import sys
import threading
import time

import numpy as np
import pytest
import tiny_datasets as tiny

from data_pipelines.augmentation.example_order import ExampleOrder
from data_pipelines.basics import parallel
from data_pipelines.basics.errors import DataError
from data_pipelines.domains import open_domains
from data_pipelines.feeding import loaders
from data_pipelines.feeding.input_pipeline import eval_batches, images, train_batches
from data_pipelines.feeding.streams import PictureCache
from data_pipelines.reading import loading
from data_pipelines.reading.loading import LoadedExample

AUGMENTED = {
    "mirror": True,
    "scale": (0.5, 2.0),
    "crop": (12, 8),
    "colour_jitter": (0.5, 0.5, 0.5, 0.1),
    "blur": (0.0, 1.0),
    "class_mix": 0.5,
    "rare_class_temperature": 0.1,
}


@pytest.fixture
def root(tmp_path):
    return tiny.write_pair(tmp_path / "root")


def take(config, count, *, seed=3, start_step=0, domains=None, **kwargs):
    domains = domains or open_domains(config)
    batches = train_batches(config, domains, seed=seed, start_step=start_step, **kwargs)
    try:
        return list(itertools.islice(batches, count))
    finally:
        batches.close()


def assert_equal(some, others):
    assert len(some) == len(others)
    for a, b in zip(some, others, strict=True):
        assert list(a) == list(b)
        for key in a:
            assert a[key].dtype == b[key].dtype == np.uint8
            np.testing.assert_array_equal(a[key], b[key])


def test_batches_hold_the_examples_of_the_order(root):
    config = tiny.data_config(root)
    domains = open_domains(config)
    source, target = (ExampleOrder(3, seed=3, stream=stream) for stream in (0, 1))
    for step, batch in enumerate(take(config, 5)):
        assert batch["source_image"].shape == (2, 12, 20, 3)
        assert batch["source_label"].shape == (2, 12, 20)
        assert batch["target_image"].shape == (2, 8, 16, 3)
        for i, position in enumerate((2 * step, 2 * step + 1)):
            example = domains.source_train.examples[source.index(position)]
            image, label, _ = loading.load_example(example, (20, 12), (20, 12))
            np.testing.assert_array_equal(batch["source_image"][i], image)
            np.testing.assert_array_equal(batch["source_label"][i], label)
            example = domains.target_train.examples[target.index(position)]
            image, _, _ = loading.load_example(example, (16, 8), None)
            np.testing.assert_array_equal(batch["target_image"][i], image)


@pytest.mark.parametrize("augmentation", [{}, AUGMENTED], ids=["plain", "augmented"])
@pytest.mark.parametrize(
    "how",
    [
        {"num_parallel_calls": 1, "prefetch": 0},
        {"num_parallel_calls": 4, "prefetch": 5},
        {"num_parallel_calls": 0},
        {"cache_mb": 0},
        {"loader": "tf"},
        {"loader": "tf", "num_parallel_calls": 0, "prefetch": 0, "cache_mb": 0},
    ],
    ids=str,
)
def test_loader_threads_and_cache_change_no_bit(root, augmentation, how):
    if how.get("loader") == "tf":
        pytest.importorskip("tensorflow", reason="the tf.data loader needs tensorflow")
    usual = take(tiny.data_config(root, **augmentation), 9)
    assert_equal(usual, take(tiny.data_config(root, **augmentation, **how), 9))
    assert_equal(usual[4:], take(tiny.data_config(root, **augmentation, **how), 5, start_step=4))


def test_a_late_start_opens_no_earlier_picture(root, monkeypatch):
    opened = []
    load_example = loading.load_example
    monkeypatch.setattr(loading, "load_example", lambda *args: opened.append(args) or load_example(*args))
    config = tiny.data_config(root, num_parallel_calls=1, prefetch=0)
    assert_equal(take(config, 1, start_step=10**9), take(config, 1, start_step=10**9))
    assert len(opened) <= 2 * 2 * 4  # two runs, two batches each at most, four pictures a batch


def test_seed_and_augmentation_change_the_batches(root):
    plain = tiny.data_config(root)
    batches = [
        np.concatenate([b["source_image"].ravel() for b in take(config, 4, seed=seed)])
        for config, seed in [
            (plain, 0),
            (plain, 1),
            (tiny.data_config(root, mirror=True), 0),
            (tiny.data_config(root, scale=(0.5, 2.0)), 0),
            (tiny.data_config(root, colour_jitter=(0.5, 0.0, 0.0, 0.0)), 0),
            (tiny.data_config(root, blur=(1.0, 2.0)), 0),
            (tiny.data_config(root, rare_class_temperature=0.05), 0),
        ]
    ]
    assert len({b.tobytes() for b in batches}) == len(batches)


def test_a_picture_is_augmented_anew_in_every_epoch(root):
    (root / "list.txt").write_text("0001\n")
    config = tiny.data_config(root, source_list=str(root / "list.txt"), batch_size=6, scale=(0.5, 2.0))
    batch = take(config, 1)[0]
    assert len(np.unique(batch["source_image"], axis=0)) == 6


def test_hosts_get_disjoint_parts_of_the_same_batches(root):
    config = tiny.data_config(root, batch_size=6, **AUGMENTED)
    whole = take(config, 3)
    parts = [take(config, 3, host=(index, 3)) for index in range(3)]
    for step, batch in enumerate(whole):
        for key in batch:
            np.testing.assert_array_equal(np.concatenate([part[step][key] for part in parts]), batch[key])
    with pytest.raises(DataError, match=r"data.batch_size=6 for host 0 of 4: expected a batch that divides"):
        take(config, 1, host=(0, 4))
    with pytest.raises(DataError, match=r"for host 3 of 3"):
        take(config, 1, host=(3, 3))


def test_class_mix_pastes_the_source_of_the_same_place(root):
    plain, mixed = (take(tiny.data_config(root, class_mix=share), 6) for share in (0.0, 1.0))
    unmixed = take(tiny.data_config(root, class_mix=1.0), 6, mix_classes=False)
    assert_equal(plain, unmixed)
    for before, after in zip(plain, mixed, strict=True):
        assert list(after) == ["source_image", "source_label", "target_image", "target_label"]
        for i in range(2):
            label = after["target_label"][i]
            pasted, size = label != 255, (16, 8)
            assert 0 < pasted.mean() < 1
            source = loading.resize(before["source_image"][i], size, "bicubic")
            ids = loading.resize(before["source_label"][i], size, "nearest")
            np.testing.assert_array_equal(after["target_image"][i][pasted], source[pasted])
            np.testing.assert_array_equal(after["target_image"][i][~pasted], before["target_image"][i][~pasted])
            np.testing.assert_array_equal(label[pasted], ids[pasted])
    some = take(tiny.data_config(root, class_mix=0.5, batch_size=8), 6)
    share = np.mean([(label != 255).any() for batch in some for label in batch["target_label"]])
    assert 0.25 < share < 0.75


TEACHERS = ("teacher_source_image", "teacher_target_image")


@pytest.mark.parametrize("augmentation", [{}, AUGMENTED], ids=["plain", "augmented"])
def test_a_teacher_is_shown_the_same_pictures_at_its_size(root, augmentation):
    """The student's arrays stay as they are; made smaller, the teacher's picture is the student's."""
    for i in range(3):  # smooth pictures, so that sizes compare
        for folder, name in (("bdd100k/seg/images/train", f"{i:04d}.jpg"), ("cityscapes/leftImg8bit/train", None)):
            found = [root / folder / name] if name else sorted((root / folder).rglob("*.png"))
            for number, path in enumerate(found):
                rows, columns = np.mgrid[0:96, 0:160] / 160
                wave = [np.sin(2 * columns + i + number), np.cos(3 * rows + i), np.sin(2 * rows + 2 * columns)]
                tiny.save(path, (127 + 100 * np.stack(wave, axis=-1)).astype(np.uint8))
    for path in (root / "bdd100k" / "seg" / "labels" / "train").glob("*.png"):
        label = np.kron(np.arange(15).reshape(3, 5), np.ones((32, 32))).astype(np.uint8)
        tiny.save(path, label)
    sizes = {"source_size": (40, 24), "target_size": (80, 48)}
    sizes |= {"crop": (24, 16)} if augmentation else {}
    usual = tiny.data_config(root, **{**augmentation, **sizes})
    larger = tiny.data_config(root, **{**augmentation, **sizes}, teacher_size=(160, 96))
    before, after = take(usual, 6), take(larger, 6, taught_on=("source", "target"))
    assert_equal(before, [{key: array for key, array in b.items() if key not in TEACHERS} for b in after])
    crops = {"source": (96, 64), "target": (48, 32)} if augmentation else dict.fromkeys(("source", "target"), (160, 96))
    for batch in after:
        assert set(batch) - set(TEACHERS) < set(batch) and list(batch)[-2:] == list(TEACHERS)
        for domain in ("source", "target"):
            ours, theirs = batch[f"{domain}_image"], batch[f"teacher_{domain}_image"]
            assert theirs.shape == (2, *crops[domain][::-1], 3)
            for one, other in zip(ours, theirs, strict=True):
                smaller = loading.resize(other, (one.shape[1], one.shape[0]), "bicubic").astype(int)
                apart = np.abs(smaller - one).max(axis=-1)
                assert np.median(apart) <= 10 and (apart > 40).mean() < 0.25  # jittering contrast looks at the window
    assert_equal(before, take(larger, 6))
    target = take(larger, 2, taught_on=("target",))
    np.testing.assert_array_equal(target[1]["teacher_target_image"], after[1]["teacher_target_image"])
    assert "teacher_source_image" not in target[0]


def test_a_teacher_may_be_shown_what_the_colours_were_before(root):
    """The same place of the same picture, as it is without colour jitter and blur."""
    geometry = {name: AUGMENTED[name] for name in ("mirror", "scale", "crop", "rare_class_temperature")}
    jittered = tiny.data_config(root, **geometry, colour_jitter=(0.5, 0.5, 0.5, 0.1), blur=(0.5, 1.0))
    plain, both = take(tiny.data_config(root, **geometry), 4), take(jittered, 4, taught_on=("target",), clean=True)
    for clean, batch in zip(plain, both, strict=True):
        np.testing.assert_array_equal(batch["teacher_target_image"], clean["target_image"])
        assert not np.array_equal(batch["target_image"], clean["target_image"])
    larger = tiny.data_config(root, teacher_size=(40, 24), colour_jitter=(0.5, 0.0, 0.0, 0.0))
    (batch,) = take(larger, 1, taught_on=("source",), clean=True)
    (clean,) = take(tiny.data_config(root, source_size=(40, 24)), 1)
    np.testing.assert_array_equal(batch["teacher_source_image"], clean["source_image"])


@pytest.mark.parametrize("loader", ["numpy", "tf"])
@pytest.mark.parametrize("changes", [{}, {"teacher_size": (40, 24), "class_mix": 1.0}], ids=["plain", "own-size"])
def test_batches_tell_which_pictures_the_teacher_sees(root, loader, changes):
    """Pictures of these numbers, mirrored where it says so; nothing else of the batches changes."""
    config = tiny.data_config(root, mirror=True, loader=loader, **changes)
    domains, both = open_domains(config), ("source", "target")
    plain, told = take(config, 6, taught_on=both), take(config, 6, taught_on=both, identified=both)
    seen = set()
    for before, batch in zip(plain, told, strict=True):
        which = {domain: batch.pop(f"{domain}_picture") for domain in both}
        assert_equal([before], [batch])
        for domain in both if not changes else ("source",):
            size = {"source": (20, 12), "target": (16, 8)}[domain] if not changes else (40, 24)
            pictures = batch.get(f"teacher_{domain}_image", batch[f"{domain}_image"])
            split = getattr(domains, f"{domain}_train")
            indices = which[domain][:, 0].tolist()
            for picture, mirrored, image in zip(
                pictures, which[domain][:, 1], images(split, size, indices, threads=2), strict=True
            ):
                np.testing.assert_array_equal(picture, image[:, ::-1] if mirrored else image)
            seen |= set(which[domain][:, 1].tolist())
    assert seen == {0, 1}


def test_a_replaced_picture_is_told_by_the_number_of_its_replacement(root):
    config = tiny.data_config(root, max_unreadable=1)
    domains = open_domains(config)
    damaged = domains.target_train.examples[1].image
    damaged.write_bytes(b"no picture")
    batches = take(config, 6, domains=domains, identified=("target",))
    numbers = [number for batch in batches for number, _ in batch["target_picture"]]
    assert len(numbers) == 12 and set(numbers) == {0, 2}
    assert list(images(domains.target_train, (16, 8), [1], threads=1)) == [None]


def test_the_teacher_is_trained_at_its_size(root):
    config = tiny.data_config(root, teacher_size=(40, 24), crop=(10, 8))
    (batch,) = take(config, 1, network="teacher")
    # The window is as large a part of the picture as the student's.
    assert batch["source_image"].shape == (2, 16, 20, 3) and batch["target_image"].shape == (2, 24, 25, 3)
    (plain,) = take(tiny.data_config(root, teacher_size=(40, 24)), 1, network="teacher")
    assert plain["source_label"].shape == (2, 24, 40) and plain["target_image"].shape == (2, 24, 40, 3)
    with pytest.raises(DataError, match="data.teacher_size.*at least 8"):
        take(tiny.data_config(root, teacher_size=(40, 4)), 1)


def test_rare_classes_come_often(root):
    """One of three pictures shows a class that the others lack."""
    for i in range(3):
        label = np.full((16, 24), 0, np.uint8)
        label[:8] = 17 if i == 1 else 2
        tiny.save(root / "bdd100k" / "seg" / "labels" / "train" / f"{i:04d}_train_id.png", label)
    config = tiny.data_config(root, rare_class_temperature=0.05)
    labels = np.concatenate([batch["source_label"] for batch in take(config, 40)])
    assert (labels == 17).any(axis=(1, 2)).mean() > 0.7


def test_without_target_and_on_target_labels(root):
    tiny.write_cityscapes(root / "cityscapes")
    config = tiny.data_config(root)
    alone = take(config, 2, with_target=False)
    assert list(alone[0]) == ["source_image", "source_label"]
    both = take(config, 2)
    np.testing.assert_array_equal(alone[1]["source_image"], both[1]["source_image"])

    with pytest.raises(DataError, match="cityscapes train in .* was opened without labels; they are needed"):
        take(config, 1, source="target")
    domains = open_domains(config, target_labels=True)
    batch = take(config, 1, domains=domains, source="target", with_target=True)[0]
    assert batch["source_image"].shape == batch["target_image"].shape == (2, 8, 16, 3)
    example = domains.target_train.examples[ExampleOrder(3, seed=3, stream=0).index(0)]
    np.testing.assert_array_equal(batch["source_label"][0], loading.load_example(example, (16, 8), (16, 8)).label)
    with pytest.raises(DataError, match="source='both': expected 'source' or 'target'"):
        take(config, 1, source="both")


@pytest.mark.parametrize("loader", ["numpy", "tf"])
def test_a_broken_file_is_named_by_either_loader(root, loader):
    if loader == "tf":
        pytest.importorskip("tensorflow", reason="the tf.data loader needs tensorflow")
    config = tiny.data_config(root, loader=loader)
    domains = open_domains(config)
    domains.source_train.examples[1].image.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"0001\.jpg: cannot be read as a picture") as error:
        take(config, 4, domains=domains)
    assert "\n" not in str(error.value)


def test_without_tensorflow_the_other_loader_takes_its_place(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert loaders.chosen("tf") is loaders.chosen("numpy") is loaders.numpy_batches
    (note,) = loaders.notes("tf")
    assert note.startswith("data.loader='tf': tensorflow is not installed") and not loaders.notes("numpy")
    assert_equal(take(tiny.data_config(root, loader="tf"), 2), take(tiny.data_config(root), 2))


def test_a_tensorflow_that_cannot_be_imported_is_named_with_the_way_out(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr(loaders, "_tensorflow_is_installed", lambda: True)
    assert loaders.chosen("tf") is loaders.tf_batches and not loaders.notes("tf")
    with pytest.raises(DataError, match="needs tensorflow.*--config.data.loader=numpy"):
        take(tiny.data_config(root, loader="tf"), 1)
    assert len(take(tiny.data_config(root), 1)) == 1


def test_the_threads_of_nobody_s_choice_are_the_cores_of_the_process(monkeypatch):
    for cores, expected in (({3}, 1), ({0, 2, 5}, 3), (set(range(64)), parallel.MOST_THREADS)):
        monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda process, cores=cores: cores, raising=False)
        assert parallel.num_threads(0) == expected and parallel.num_threads(40) == 40


def test_threads_end_with_the_iterator(root):
    config = tiny.data_config(root)
    batches = train_batches(config, open_domains(config), seed=0, start_step=0)
    next(batches)
    batches.close()
    for thread in threading.enumerate():
        if thread.name.startswith("data"):
            thread.join(timeout=5)
            assert not thread.is_alive()


def test_the_cache_keeps_what_fits_and_no_more(root, monkeypatch):
    made = []
    cache = PictureCache(limit_bytes=2 * 300)

    def make(key):
        made.append(key)
        return LoadedExample(np.zeros(200, np.uint8), np.zeros(100, np.uint8), 0)

    for key in "abcabc":
        cache.get(key, lambda key=key: make(key))
    assert made == list("abcc")


def test_ignored_pixels_are_counted_once_and_logged_once(tmp_path, caplog):
    tiny.write_pair(tmp_path)
    tiny.write_gta5(tmp_path / "gta5", 2)
    for i in (1, 2):
        ids = np.full((16, 24), 7, np.uint8)
        ids[0, : 2 * i] = 99
        tiny.save(tmp_path / "gta5" / "images" / f"{i:05d}.png", tiny.picture(i))
        tiny.save(tmp_path / "gta5" / "labels" / f"{i:05d}.png", ids)
    config = tiny.data_config(tmp_path, name="gta5", cache_mb=0, num_parallel_calls=1)
    domains = open_domains(config)
    with caplog.at_level(logging.WARNING):
        take(config, 4, domains=domains)
    assert domains.source_train.unknown_pixels == {"00001": 2, "00002": 4}
    assert len(caplog.records) == 1 and "outside the label table" in caplog.text


def test_evaluation_sees_every_picture_once_at_native_label_size(root):
    split = open_domains(tiny.data_config(root)).target_val
    batches = list(eval_batches(split, image_size=(16, 8), batch_size=2))
    assert [b["names"] for b in batches] == [
        ("aachen_000000_000019", "aachen_000002_000019"),
        ("bochum_000001_000019", ""),
    ]
    np.testing.assert_array_equal([b["mask"] for b in batches], [[True, True], [True, False]])
    for batch in batches:
        assert batch["image"].shape == (2, 8, 16, 3) and batch["label"].shape == (2, 16, 24)
        assert batch["image"].dtype == batch["label"].dtype == np.uint8 and batch["mask"].dtype == bool
    assert not batches[1]["image"][1].any() and (batches[1]["label"][1] == 255).all()
    image, label, _ = loading.load_example(split.examples[1], (16, 8), None)
    np.testing.assert_array_equal(batches[0]["image"][1], image)
    np.testing.assert_array_equal(batches[0]["label"][1], label)


def test_evaluation_sizes_and_resampling(root):
    split = open_domains(tiny.data_config(root)).target_val
    kwargs = {"image_size": (16, 8), "batch_size": 3, "label_size": (12, 10)}
    bicubic, bilinear = (next(eval_batches(split, resample=r, **kwargs)) for r in ("bicubic", "bilinear"))
    assert bicubic["label"].shape == (3, 10, 12)
    assert (bicubic["image"] != bilinear["image"]).any()
    expected, _, _ = loading.load_example(split.examples[0], (16, 8), None, "bilinear")
    np.testing.assert_array_equal(bilinear["image"][0], expected)


def test_a_new_label_size_starts_a_new_batch_unless_labels_are_resized(root):
    tiny.write_cityscapes(root / "cityscapes", "val", 4, seed=150)
    for folder in ("leftImg8bit", "gtFine"):
        path = next((root / "cityscapes" / folder / "val").rglob("aachen_000002*"))
        array = tiny.picture(9, (30, 20)) if folder == "leftImg8bit" else np.zeros((20, 30), np.uint8)
        tiny.save(path, array)
    split = open_domains(tiny.data_config(root)).target_val
    batches = list(eval_batches(split, image_size=(16, 8), batch_size=2))
    assert [sum(b["mask"]) for b in batches] == [1, 1, 2]
    assert [b["label"].shape[1:] for b in batches] == [(16, 24), (20, 30), (16, 24)]
    assert {b["image"].shape for b in batches} == {(2, 8, 16, 3)}
    resized = list(eval_batches(split, image_size=(16, 8), batch_size=2, label_size=(24, 16)))
    assert [sum(b["mask"]) for b in resized] == [2, 2]


def test_evaluation_refuses_what_it_cannot_do(root):
    domains = open_domains(tiny.data_config(root))
    good = {"image_size": (16, 8), "batch_size": 2}
    for wrong, message in [
        ({"image_size": (16, 7)}, r"image_size=\(16, 7\)"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"label_size": (0, 4)}, r"label_size=\(0, 4\)"),
        ({"resample": "nearest"}, "resample='nearest': expected 'bicubic' or 'bilinear'"),
    ]:
        with pytest.raises(DataError, match=message):
            eval_batches(domains.target_val, **good | wrong)
    with pytest.raises(DataError, match="was opened without labels"):
        eval_batches(domains.target_train, **good)
    label = domains.target_val.examples[0].label
    tiny.save(label, np.zeros((15, 24), np.uint8))
    with pytest.raises(DataError, match=r"labelIds\.png: this label is 24x15"):
        list(eval_batches(domains.target_val, **good))


@pytest.mark.parametrize(("batch_size", "threads", "most"), [(1, 1, 1), (3, 1, 3), (1, 4, 4), (3, 2, 3)])
def test_what_is_read_ahead_is_bounded(batch_size, threads, most):
    """All that could be read while a batch is used: the next batch, or a picture for each thread."""
    read, others = [], threading.Semaphore(0)

    def load(item):
        read.append(item)
        others.release()
        return item

    batches = loaders.batches_ahead(
        load, range(20), lambda items, loaded: loaded, key=lambda item, _: 0, batch_size=batch_size, num_threads=threads
    )
    assert next(batches) == list(range(batch_size))
    for _ in range(batch_size + most):
        assert others.acquire(timeout=10)
    assert not others.acquire(timeout=0.05)  # no more comes
    assert next(batches) == list(range(batch_size, 2 * batch_size))
    batches.close()


def test_pictures_are_read_at_the_same_time_and_come_in_order():
    """Each of four waits for the three others; the later ones are done first."""
    together = threading.Barrier(4)

    def load(item):
        together.wait(timeout=10)
        time.sleep(0.01 * (3 - item % 4))
        return item

    batches = loaders.batches_ahead(
        load,
        range(8),
        lambda items, loaded: (items, loaded),
        key=lambda item, _: item // 3,
        batch_size=2,
        num_threads=4,
    )
    assert list(batches) == [([*of], [*of]) for of in ((0, 1), (2,), (3, 4), (5,), (6, 7))]


@pytest.mark.parametrize("label_size", [None, (12, 10)])
def test_threads_change_no_bit_of_an_evaluation(root, label_size):
    tiny.write_cityscapes(root / "cityscapes", "val", 7, seed=150)
    split = open_domains(tiny.data_config(root)).target_val
    how = {"image_size": (16, 8), "batch_size": 2, "label_size": label_size}
    usual = list(eval_batches(split, **how))
    assert sum(batch["mask"].sum() for batch in usual) == 7
    for threads in (0, 5):
        found = list(eval_batches(split, **how, num_parallel_calls=threads))
        assert len(found) == len(usual)
        for a, b in zip(usual, found, strict=True):
            assert a["names"] == b["names"]
            for key in ("image", "label", "mask"):
                np.testing.assert_array_equal(a[key], b[key])


def test_the_first_picture_that_cannot_be_read_ends_an_evaluation_at_its_place(root):
    tiny.write_cityscapes(root / "cityscapes", "val", 7, seed=150)
    split = open_domains(tiny.data_config(root)).target_val
    for index in (5, 3):
        split.examples[index].image.write_bytes(b"broken")
    batches = eval_batches(split, image_size=(16, 8), batch_size=2, num_parallel_calls=5)
    assert next(batches)["mask"].all()
    with pytest.raises(DataError, match=f"{split.examples[3].image.name}: cannot be read as a picture"):
        next(batches)


def test_the_real_benchmark_runs_under_both_names(camvid_dir):
    per_name = {}
    for name in ("camvid", "bdd"):
        config = tiny.data_config(camvid_dir, name=name, source_size=(60, 44), target_size=(56, 40))
        domains = open_domains(config)
        assert (len(domains.source_train), len(domains.target_train)) == (405, 62)
        assert (len(domains.target_val), len(domains.source_val)) == (31, 26)
        per_name[name] = take(config, 2, domains=domains)
    assert_equal(per_name["camvid"], per_name["bdd"])
    first = next(eval_batches(domains.target_val, image_size=(56, 40), batch_size=4))
    assert first["label"].shape == (4, 360, 480)
    classes = set(np.unique(first["label"])) - {255}
    assert classes <= {0, 1, 2, 5, 7, 8, 10, 11, 13, 18}
