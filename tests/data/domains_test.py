"""Which splits a run opens, what it may do without, and the settings that are refused."""

import pytest
import tiny_datasets as tiny

from data_pipelines.basics.errors import DataError
from data_pipelines.domains import SplitListing, open_domains, opening
from data_pipelines.feeding.feed import Feed
from data_pipelines.feeding.input_pipeline import eval_batches, train_batches

list_ = opening._list


@pytest.fixture
def root(tmp_path):
    return tiny.write_pair(tmp_path / "root")


def describe(domains):
    splits = (domains.source_train, domains.target_train, domains.target_val, domains.source_val)
    return [(split.dataset, split.split, len(split)) if split else None for split in splits]


@pytest.mark.parametrize("name", ["bdd", "camvid"])
def test_bdd100k_to_cityscapes(root, name):
    domains = open_domains(tiny.data_config(root, name=name))
    assert describe(domains) == [
        ("bdd100k", "train", 3),
        ("cityscapes", "train", 3),
        ("cityscapes", "val", 3),
        ("bdd100k", "val", 2),
    ]
    assert domains.notes[:4] == (
        "source train: bdd100k: 3 train pictures (seg release)",
        "source train: reads files, resized to 20x12",
        "target train: cityscapes: 3 train pictures (unlabelled)",
        "target train: reads files, resized to 16x8",
    )
    assert all(example.label is None for example in domains.target_train.examples)


def test_gta5_has_no_source_val_and_every_folder_can_be_named(root):
    tiny.write_gta5(root.parent / "games" / "gta")
    (root / "cityscapes").rename(root.parent / "cs")
    domains = open_domains(
        tiny.data_config(
            "nowhere",
            name="gta5",
            gta5_dir=str(root.parent / "games" / "gta"),
            cityscapes_dir=str(root.parent / "cs"),
        )
    )
    assert describe(domains) == [
        ("gta5", "train", 3),
        ("cityscapes", "train", 3),
        ("cityscapes", "val", 3),
        None,
    ]


def test_only_the_folders_that_are_needed_must_exist(root):
    config = tiny.data_config(root)
    (root / "bdd100k").rename(root / "elsewhere")
    with pytest.raises(DataError, match=r"bdd100k: no folder .*root/bdd100k; set --config.data.root .*bdd100k_dir"):
        open_domains(config)
    assert len(SplitListing(config).target_val) == 3

    (root / "elsewhere").rename(root / "bdd100k")
    (root / "cityscapes" / "leftImg8bit" / "train").rename(root / "away")
    with pytest.raises(DataError, match="cityscapes: no folder .*leftImg8bit/train; unpack"):
        open_domains(config)
    listing = SplitListing(config)
    assert (len(listing.source_train), len(listing.target_val)) == (3, 3)


def test_a_feed_lists_every_split_once(root, monkeypatch):
    """However many of its questions are asked; the target's training pictures with and without their labels."""
    tiny.write_cityscapes(root / "cityscapes")
    config, listed = tiny.data_config(root), []
    monkeypatch.setattr(opening, "_list", lambda *a, **k: listed.append((*a[2:], k.get("labelled"))) or list_(*a, **k))
    feed = Feed(config)
    for labelled in ("source", "target"):
        feed.fingerprint(labelled, True)
        feed.audit({labelled})
        feed.licences(labelled, True)
    assert not feed.evaluation_problem() and feed.evaluation_names() and feed.evaluation_fingerprint()
    assert feed.selection_fingerprint(2) and list(feed.source_batches(count=1, batch_size=1))
    expected = [("bdd100k", "train", None), ("bdd100k", "val", None), ("cityscapes", "val", None)]
    expected += [("cityscapes", "train", labelled) for labelled in (False, True)]
    assert sorted(listed, key=str) == sorted(expected, key=str)
    one, other = open_domains(config), open_domains(config, target_labels=True)
    assert (feed.domains.notes, feed.evaluation_fingerprint()) == (one.notes, one.fingerprint("target_val"))
    assert feed.fingerprint("target", True) == other.fingerprint("target_train")


def test_a_target_without_validation_labels_fails_only_when_it_is_scored(root):
    next(root.rglob("val/aachen/aachen_000000*_labelIds.png")).unlink()
    domains = open_domains(tiny.data_config(root))
    assert any(note.startswith("target val: not usable: cityscapes: ") for note in domains.notes)
    with pytest.raises(DataError, match=r"aachen_000000_000019_leftImg8bit\.png has no label"):
        eval_batches(domains.target_val, image_size=(8, 8), batch_size=2)


def test_target_labels_are_needed_for_the_upper_bound_only(root):
    config = tiny.data_config(root)
    with pytest.raises(DataError, match="has no label, expected .*_gtFine_labelIds.png"):
        open_domains(config, target_labels=True)
    tiny.write_cityscapes(root / "cityscapes")
    domains = open_domains(config, target_labels=True)
    assert all(example.label for example in domains.target_train.examples)


def test_own_pictures_as_the_target(root):
    for name in ("b.jpg", "a.png"):
        tiny.save(root.parent / "mine" / name, tiny.picture(5))
    config = tiny.data_config(root, target_dir=str(root.parent / "mine"))
    domains = open_domains(config)
    assert [example.name for example in domains.target_train.examples] == ["a.png", "b.jpg"]
    assert len(domains.target_val) == 3
    with pytest.raises(DataError, match="pictures without labels"):
        open_domains(config, target_labels=True)


def test_without_any_cityscapes(root):
    (root / "cityscapes").rename(root / "away")
    tiny.save(root.parent / "mine" / "a.png", tiny.picture(5))
    own = open_domains(tiny.data_config(root, target_dir=str(root.parent / "mine")))
    assert len(own.target_train) == 1
    for split in (own.target_val, SplitListing(tiny.data_config(root)).target_val):
        with pytest.raises(DataError, match=r"cityscapes: no folder .*root/cityscapes; set --config.data.root"):
            eval_batches(split, image_size=(8, 8), batch_size=2)


def test_source_list_and_fingerprint(root):
    everything = open_domains(tiny.data_config(root))
    (root / "list.txt").write_text("0001\n")
    restricted = open_domains(tiny.data_config(root, source_list=str(root / "list.txt")))
    assert [example.name for example in restricted.source_train.examples] == ["0001"]
    roles = ("source_train", "target_train")
    before = everything.fingerprint(*roles)
    assert before != restricted.fingerprint(*roles)
    assert everything.fingerprint("target_val") == restricted.fingerprint("target_val")
    moved = root.rename(root.parent / "moved")
    assert open_domains(tiny.data_config(moved)).fingerprint(*roles) == before


def test_toy_city_is_made_once_then_read_like_the_others(tmp_path):
    rendered = []
    for source in ("gta5", "bdd100k"):
        config = tiny.data_config(tmp_path / "toy", name="toy")
        config.toy.source = source
        domains = SplitListing(config, lambda done, total: rendered.append(total)).domains()
        assert describe(domains)[:3] == [
            (source, "train", 4),
            ("cityscapes", "train", 4),
            ("cityscapes", "val", 2),
        ]
        assert (domains.source_val is None) == (source == "gta5")
        assert domains.notes[0].startswith("toy city: ") and domains.notes[0].endswith(f"source look {source}")
        batch = next(train_batches(config, domains, seed=0, start_step=0))
        assert batch["source_image"].shape == (2, 12, 20, 3)
        assert len(next(eval_batches(domains.target_val, image_size=(16, 8), batch_size=2))["names"]) == 2
    assert len(rendered) == rendered[0]  # the second run found it ready


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "name",
            "kitti",
            "data.name='kitti': expected one of bdd, gta5, camvid, toy; set --config.data.name",
        ),
        ("source_size", (7, 64), r"data.source_size=\(7, 64\): expected \(width, height\), each at least 8"),
        ("target_size", (64, 4), r"data.target_size=\(64, 4\)"),
        ("batch_size", 0, "data.batch_size=0: expected a number >= 1; set --config.data.batch_size"),
        ("loader", "torch", "data.loader='torch': expected 'tf' or 'numpy'"),
        ("num_parallel_calls", -1, "data.num_parallel_calls=-1: expected a number of threads, 0 for"),
        ("prefetch", -1, "data.prefetch=-1"),
        ("cache_mb", -1, "data.cache_mb=-1"),
        ("scale", (0.0, 1.0), r"data.scale=\(0.0, 1.0\): expected \(low, high\), 0 < low <= high"),
        ("scale", (2.0, 1.0), r"data.scale=\(2.0, 1.0\)"),
        ("scale", ("x", 1.0), r"data.scale=\('x', 1.0\)"),
        ("source_size", ("a", "b"), r"data.source_size=\('a', 'b'\)"),
    ],
)
def test_settings_that_cannot_work_are_named(root, field, value, message):
    with pytest.raises(DataError, match=message):
        open_domains(tiny.data_config(root, **{field: value}))


def test_unknown_look_of_the_toy_city(tmp_path):
    config = tiny.data_config(tmp_path, name="toy")
    config.toy.source = "mars"
    with pytest.raises(DataError, match="data.toy.source='mars': expected one of gta5, bdd100k"):
        open_domains(config)
