"""A data set of one file, that of docs/EXTENDING.md: as source, as target, joined with another, in every command."""

import html
import json
import pathlib
import re
import sys

import numpy as np
import pytest
import tiny_datasets as tiny
import tiny_runs
from dataset_faults import street

from data_pipelines.basics import parallel, plugins
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import LAYOUTS, Layout, base, list_examples
from data_pipelines.doctor import __main__ as doctor
from data_pipelines.doctor import command_line
from data_pipelines.domains import benchmark, open_domains
from data_pipelines.feeding import selection_pictures
from data_pipelines.feeding.feed import Feed
from data_pipelines.feeding.input_pipeline import train_batches
from data_pipelines.prepare import __main__ as prepare
from data_pipelines.reading import class_histogram, label_spaces, loading

SECTION = re.search(
    r"^## A data set$.*?^```python\n(.*?)^```$",
    (tiny_runs.PROJECT / "docs" / "EXTENDING.md").read_text(),
    re.DOTALL | re.MULTILINE,
)[1]
OWN_IDS = {0: 1, 2: 3, 8: 4, 10: 5, 13: 7}  # train id of dataset_faults.street to the file's own


def write_town(root, split="train", count=4, seed=0):
    """Frames and labels of the example; returns the train ids that its labels mean."""
    meant = []
    for i in range(count):
        train_ids = street(np.zeros((48, 64)))
        rng = np.random.default_rng(seed + i)
        tiny.save(root / "frames" / split / f"f{i}.png", rng.integers(0, 256, (48, 64, 3), np.uint8))
        train_ids[:4] = 255
        ids = np.zeros_like(train_ids, np.uint8)
        for train_id, own in OWN_IDS.items():
            ids[train_ids == train_id] = own
        tiny.save(root / "ids" / split / f"f{i}_ids.png", ids)
        meant.append(train_ids)
    return meant


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """(plugin file, folder of the data set, train ids of its training labels)."""
    folder = tmp_path_factory.mktemp("town")
    file = folder / "dusk_town_plugin.py"
    file.write_text(SECTION)
    meant = write_town(folder / "town")
    write_town(folder / "town", "val", 3, seed=100)
    return file, folder / "town", meant


@pytest.fixture
def known(town):
    """The same, with the plugin loaded in this process."""
    with loaded(town[0]):
        yield town


class loaded:
    """A plugin in this process, for a while."""

    def __init__(self, *files):
        self.files = files

    def __enter__(self):
        self.before, self.modules = set(LAYOUTS), set(sys.modules)
        plugins.load([str(file) for file in self.files])

    def __exit__(self, *error):
        for name in set(LAYOUTS) - self.before:
            del LAYOUTS[name]
        for name in [name for name in sys.modules if name.startswith("dakd_plugin_") and name not in self.modules]:
            del sys.modules[name]
            plugins._hashes.pop(name, None)


def config(root, town_folder, **changes):
    """Settings of the data half, with the town's folder."""
    return tiny.data_config(root, dirs={"dusk_town": str(town_folder)}, **changes)


def test_the_example_is_read_as_it_means(known):
    _, folder, meant = known
    split = list_examples("dusk_town", folder, "train")
    assert [example.name for example in split.examples] == ["f0", "f1", "f2", "f3"]
    for example, train_ids in zip(split.examples, meant, strict=True):
        np.testing.assert_array_equal(loading.load_label(example.label, example.encoding)[0], train_ids)
    assert split.notes == ("dusk_town: 4 train pictures (labelled)",)


# --- whole runs -------------------------------------------------------------------------------------------------


def flags(toy_city, workdir, town, **changes):
    file, folder, _ = town
    fields = {"plugins": str(file), "data.dirs.dusk_town": str(folder), "train.steps": 2, "train.eval_every": 2}
    return tiny_runs.arguments(toy_city, workdir, **{**fields, "goal": "student", **changes})


@pytest.mark.parametrize(
    ("changes", "title", "licence"),
    [
        ({"data.source": "dusk_town"}, "dusk_town -> cityscapes", "dusk_town"),
        ({"data.target": "dusk_town"}, "gta5 -> dusk_town", "dusk_town"),
        (
            {"data.source": "gta5,dusk_town", "data.rare_class_temperature": 0.1},
            "gta5 + dusk_town -> cityscapes",
            "all",
        ),
    ],
)
def test_a_run_trains_two_steps_with_it_and_all_follows(run_py, toy_city, workdir, town, changes, title, licence):
    ended = run_py(flags(toy_city, workdir, town, **changes), fork=True)
    assert ended.code == 0, ended.stderr + ended.stdout
    folder = tiny_runs.stage_folder(workdir, "student")
    rows = [row for row in tiny_runs.metric_rows(folder) if row["kind"] == "train"]
    assert [row["step"] for row in rows] == [1, 2]
    record = json.loads((folder / "record.json").read_text())
    licences = record["licences"]
    assert "CC BY" in licences["dusk_town"]
    assert set(licences) == set(re.findall(r"\w+", title))
    assert title in html.unescape((workdir / "report_base" / "index.html").read_text())
    assert f"{folder.name.removeprefix('student-')[:8]}" in ended.stdout  # in the plan
    assert record["class_names"] == list(label_spaces.CITYSCAPES.class_names)
    again = run_py(flags(toy_city, workdir, town, **changes), fork=True)
    assert again.code == 0 and "finished, reused" in again.stdout


def planned_hashes(run_py, toy_city, workdir, town, **changes):
    ended = run_py(flags(toy_city, workdir, town, **{"goal": "source_only", **changes}) + ["--mode=plan"], fork=True)
    assert ended.code == 0, ended.stderr
    return re.findall(r"source_only .* ([0-9a-f]{8})\s*$", ended.stdout, re.MULTILINE)


def test_the_plugins_source_is_part_of_a_stages_hash_where_the_stage_uses_it(run_py, toy_city, workdir, town, tmp_path):
    file, folder, meant = town
    other = tmp_path / file.name
    other.write_text(SECTION.replace('4: "vegetation"', '4: "terrain"'))
    place = toy_city, workdir
    for changes, same in (({"data.source": "dusk_town"}, False), ({"data.target": "dusk_town"}, True)):
        before = planned_hashes(run_py, *place, town, **changes)
        after = planned_hashes(run_py, *place, (other, folder, meant), **changes)
        assert len(before) == 1 and (before == after) == same, changes  # source_only learns nothing from the target


def test_a_known_pair_named_by_its_data_sets_has_the_same_hash(run_py, toy_city, workdir, town):
    named = {"data.source": "gta5", "data.target": "cityscapes", "data.dirs.gta5": str(toy_city / "gta5")}
    place = toy_city, workdir, town
    assert planned_hashes(run_py, *place) == planned_hashes(run_py, *place, **named)


def test_the_default_workdir_is_called_after_the_pair(town):
    from dakd_jax.commands.kit import command_line as of_run

    words = ["--config=configs/base.py", "--config.data.source=gta5,dusk_town"]
    assert of_run.parse(words).workdir == pathlib.Path("runs/gta5+dusk_town-bdd")
    assert of_run.parse([*words, "--config.data.target=a/dusk_town/"]).workdir.name == "gta5+dusk_town-dusk_town"
    assert of_run.parse(["--config=configs/base.py"]).workdir == pathlib.Path("runs/bdd")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"data.source": "dusk_twon"}, ["data.source='dusk_twon': did you mean dusk_town?", "config.plugins"]),
        ({"data.target": "dusk_twon"}, ["data.target='dusk_twon': no data set and no folder", "dusk_town"]),
        ({"data.dirs.dusk_twon": "x"}, ["data.dirs.dusk_twon: there is no such data set; did you mean dusk_town"]),
        ({"data.source": "dusk_town,dusk_town"}, ["names a data set twice"]),
        ({"data.source": "flat_folder"}, ["data.source='flat_folder'", "no labels"]),
        ({"data.target": "dusk_town", "data.target_dir": "x"}, ["set one of them"]),
        ({"data.name": "kitti"}, ["data.name='kitti': expected one of"]),
        ({"plugins": "none.py"}, ["no file none.py"]),
        ({"data.source": "dusk_town", "data.dirs.dusk_town": "none"}, ["dusk_town: no folder none", "dirs.dusk_town"]),
    ],
)
def test_mistakes_are_one_line(run_py, toy_city, workdir, town, changes, parts):
    tiny_runs.one_line(run_py(flags(toy_city, workdir, town, **changes), fork=True), *parts)


# --- the commands for data --------------------------------------------------------------------------------------


def command(module, *arguments):
    return command_line.main([module.__name__, *map(str, arguments)], module.define_flags, module.run, module.__doc__)


def test_doctor_and_prepare_take_the_plugin(town, tmp_path, capsys):
    file, folder, meant = town
    with loaded():
        assert command(doctor, "--dataset=dusk_town", f"--source={folder}") == 2
        assert "or one that a file of --plugins brings" in capsys.readouterr().err
        code = command(doctor, "--plugins", file, "--dataset=dusk_town", f"--source={folder}", f"--output={tmp_path}")
        told = capsys.readouterr().out
        assert code == 0 and "Dusk Town ids" in told and "5 of 19" in told
        how = f"--source={folder}", "--size=32x24", f"--output={tmp_path / 'sets'}", "--num_workers=2"
        assert command(prepare, f"--plugins={file}", "--dataset=dusk_town", *how) == 0
        data = config(tmp_path, folder, name="bdd", source=("dusk_town",), records_dir=str(tmp_path / "sets"))
        data.source_size = (32, 24)
        tiny.write_cityscapes(tmp_path / "cityscapes")
        assert "source train: reads prepared records dusk_town-train-32x24" in open_domains(data).notes
    with loaded(changed(file, tmp_path)):  # what the records hold was read by another plugin
        notes = open_domains(data).notes
        assert "source train: reads files, resized to 32x24" in notes
        assert any("are of other files, or of another plugin" in note for note in notes)


def changed(file, folder):
    """A plugin of the same name that reads the labels otherwise."""
    other = folder / file.name
    other.write_text(SECTION.replace('4: "vegetation"', '4: "terrain"'))
    return other


OF_ITS_OWN_CLASS = """
import dataclasses
from data_pipelines.reading.label_spaces import LabelEncoding

@dataclasses.dataclass(frozen=True, eq=False)
class Mine(LabelEncoding):
    pass

IDS = Mine("mine", IDS.to_train_id, IDS.known)
"""


def test_worker_processes_know_the_plugin(town, tmp_path, monkeypatch):
    """What is sent to them is of a class of the plugin's: without it they could not be told what to do."""
    file = tmp_path / "of_own_class.py"
    file.write_text(SECTION.replace("\n\ndef on_disk", OF_ITS_OWN_CLASS + "\n\ndef on_disk"))
    monkeypatch.setattr(parallel, "WORTH_A_POOL", 1)
    with loaded(file):
        split = list_examples("dusk_town", town[1], "train")
        assert type(split.examples[0].encoding).__module__.startswith("dakd_plugin_of_own_class")
        here = class_histogram.class_histogram(split).counts
        there = class_histogram.class_histogram(split, num_workers=2).counts
        np.testing.assert_array_equal(here, there)
        how = f"--source={town[1]}", "--size=32x24", f"--output={tmp_path / 'sets'}", "--splits=train"
        assert command(prepare, f"--plugins={file}", "--dataset=dusk_town", *how, "--num_workers=2") == 0


def test_workers_of_beam_know_the_plugin(town, tmp_path):
    pytest.importorskip("apache_beam", reason="apache-beam is not installed (requirements-beam.txt)")
    file = tmp_path / "of_own_class.py"
    file.write_text(SECTION.replace("\n\ndef on_disk", OF_ITS_OWN_CLASS + "\n\ndef on_disk"))
    beam = (
        "--beam_runner=DirectRunner",
        "--beam_options=--direct_running_mode=multi_processing,--direct_num_workers=2",
    )
    how = f"--source={town[1]}", "--size=32x24", f"--output={tmp_path / 'sets'}", "--splits=train", *beam
    with loaded():
        assert command(prepare, f"--plugins={file}", "--dataset=dusk_town", *how) == 0


def test_a_plugin_of_both_halves_is_imported_once(town, tmp_path):
    from dakd_jax.basics import plugs

    file = tmp_path / "counted.py"
    file.write_text(f"import pathlib\nwith open({str(tmp_path / 'count')!r}, 'a') as f:\n    f.write('x')\n" + SECTION)
    with loaded():
        plugs.load([str(file)])
        plugins.load([str(file)])
        assert (tmp_path / "count").read_text() == "x" and plugins.loaded() == [str(file)]


# --- registry ---------------------------------------------------------------------------------------------------


def test_files_of_the_folder_are_found_by_themselves():
    assert [name for name in LAYOUTS if not LAYOUTS.source_hash(name)][:4] == [
        "bdd100k",
        "cityscapes",
        "flat_folder",
        "gta5",
    ]


def test_a_name_belongs_to_the_file_that_came_first(known, tmp_path):
    other = tmp_path / "other.py"
    for name in ("dusk_town", "gta5"):
        other.write_text(SECTION.replace('register("dusk_town"', f'register("{name}"'))
        with pytest.raises(
            DataError, match=rf"--plugins: .*other\.py: line \d+: data set '{name}' .* already; rename it"
        ):
            plugins.load([str(other)])
    other.write_text(SECTION.replace('register("dusk_town"', 'register("dusk town"'))
    with pytest.raises(DataError, match="letters, digits and _"):
        plugins.load([str(other)])


def test_a_file_that_says_what_the_system_says_and_keeps_labels_elsewhere(town, tmp_path):
    file, root = tmp_path / "bare.py", tmp_path / "d" / "dusk_town"
    section = SECTION.replace('root / "ids"', 'root.parent / "ids"')
    section = section.replace("pictures_in(require_folder(", "bare(").replace('exists")),', 'exists"),')
    file.write_text(
        section.replace(
            "def on_disk", "def bare(name, folder, way_out):\n    return sorted(folder.iterdir())\n\n\ndef on_disk"
        )
    )
    write_town(root)
    (root / "ids").rename(root.parent / "ids")
    with loaded(file):
        data = config(tmp_path, root, source=("dusk_town",), target="dusk_town")
        domains = open_domains(data)
        before = domains.fingerprint("source_train")
        assert len(domains.source_train) == 4 and domains.source_val is None  # no folder of it: a FileNotFoundError
        assert "frames/val: cannot be read (No such file or directory)" in domains.target_val.problem
        (tmp_path / "d").rename(tmp_path / "e")
        moved = config(tmp_path, tmp_path / "e" / "dusk_town", source=("dusk_town",), target="dusk_town")
        assert open_domains(moved).fingerprint("source_train") == before


def test_splits_by_rule_in_one_folder_with_their_labels_leave_only_strays_out(tmp_path):
    """Odd numbers are val's: what another split takes is not left out."""

    def on_disk(root, split):
        images = [image for image in base.pictures_in(root) if image.stem[1:].isdecimal()]
        images = [image for image in images if int(image.stem[1:]) % 2 == (split == "val")]
        return base.OnDisk(
            images=images,
            name=lambda image: image.stem,
            label=lambda image: (image.with_name(f"{image.stem}_ids.png"), label_spaces.TRAIN_IDS),
            folder=root,
            wanted="f1.png, f2.png, ... with f1_ids.png",
        )

    for name in ("f0", "f1", "f2", "f3", "f0_ids", "f1_ids", "f2_ids", "f3_ids", "cover"):
        tiny.save(tmp_path / f"{name}.png", np.zeros((4, 4), np.uint8))
    layout = Layout(("train", "val"), on_disk)
    for split in layout.splits:
        assert layout.passed_over(tmp_path, split, layout.look(tmp_path, split)) == [tmp_path / "cover.png"]


def test_a_package_counts_with_all_its_files_and_a_plugin_that_fails_is_one_line(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "towns_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("from towns_of_mine import ids\n" + SECTION)
    hashes = []
    for text in ("ROAD = 1\n", "ROAD = 2\n"):
        (package / "ids.py").write_text(text)
        with loaded("towns_of_mine"):
            hashes.append(LAYOUTS.source_hash("dusk_town"))
            assert plugins.loaded() == ["towns_of_mine"]
        for name in ("towns_of_mine", "towns_of_mine.ids"):
            del sys.modules[name]
            plugins._hashes.pop(name, None)
    assert hashes[0] != hashes[1] and len(hashes[0]) == 64
    broken = tmp_path / "broken.py"
    broken.write_text("import math\nmath.no_such\n")
    for name, said in (
        (str(broken), r"broken\.py: line 2: AttributeError: .*no_such"),
        ("no_such_module.of_mine", "there is no module 'no_such_module'"),
        (str(tmp_path / "none.py"), "there is no file .*none.py"),
    ):
        with pytest.raises(DataError, match=f"^--plugins: .*{said}"):
            plugins.load([name])


OTHER_CLASSES = """
import dataclasses
CITYSCAPES = dataclasses.replace(
    CITYSCAPES, name="weather", class_names=("sunny", "rainy"), palette=CITYSCAPES.palette[:2], categories=("a", "a")
)
IDS = CITYSCAPES.encoding("weather ids", {0: None, 1: "sunny", 3: "rainy", 4: None, 5: None, 7: None})
"""


def test_source_and_target_must_have_the_same_classes(town, tmp_path):
    file = tmp_path / "weather.py"
    section = SECTION.replace("\n\ndef on_disk", OTHER_CLASSES + "\n\ndef on_disk")
    file.write_text(section.replace("on_disk, licence", "on_disk, label_space=CITYSCAPES, licence"))
    with loaded(file):
        mixed = config(tmp_path, town[1], source=("dusk_town",))
        with pytest.raises(
            DataError, match="dusk_town has the 2 classes of weather .sunny, rainy. and cityscapes the 19"
        ):
            open_domains(mixed)
        alone = Feed(config(tmp_path, town[1], source=("dusk_town",), target="dusk_town"))
        assert alone.class_names == ("sunny", "rainy") and len(alone.palette) == 2
        assert len(alone.domains.source_train) == 4
    # Labels that mean classes which its label space does not have.
    section = section.replace('IDS = CITYSCAPES.encoding("weather', '_ = CITYSCAPES.encoding("weather')
    file.write_text(section.replace("on_disk, licence", "on_disk, label_space=CITYSCAPES, licence"))
    with loaded(file), pytest.raises(DataError, match="read as train ids 2, 4.*weather has 2 classes"):
        list_examples("dusk_town", town[1], "train")


# --- several sources --------------------------------------------------------------------------------------------


@pytest.fixture
def joined(known, tmp_path):
    """Settings with GTA5 and the town as the source: pictures of several sizes, some names twice."""
    tiny.write_gta5(tmp_path / "gta5", 3)
    tiny.save(tmp_path / "gta5" / "images" / "f0.png", tiny.picture(7))
    tiny.save(tmp_path / "gta5" / "labels" / "f0.png", label_spaces.TRAIN_ID_TO_LABEL_ID[tiny.train_id_label(7)])
    tiny.write_cityscapes(tmp_path / "cityscapes")
    tiny.write_cityscapes(tmp_path / "cityscapes", "val", 2)
    return config(tmp_path, known[1], name="gta5", source=("gta5", "dusk_town"))


def batches(data, start=0, count=6, **more):
    stream = train_batches(data, open_domains(data), seed=3, start_step=start, **more)
    return [next(stream) for _ in range(count)]


def test_joined_sources_come_one_after_another_under_names_of_their_own(joined):
    domains = open_domains(joined)
    names = [example.name for example in domains.source_train.examples]
    gta5 = ["gta5/00001", "gta5/00002", "gta5/00003", "gta5/f0"]
    assert names == gta5 + [f"dusk_town/f{i}" for i in range(4)]
    assert domains.source_val.dataset == "dusk_town"  # GTA5 has none
    assert "source train: reads of gta5 files, resized to 20x12; of dusk_town files, resized to 20x12" in domains.notes
    assert benchmark(joined) == "gta5 + dusk_town -> cityscapes"
    assert set(Feed(joined).licences("source", True)) == {"gta5", "dusk_town", "cityscapes"}


def test_joined_batches_are_a_pure_function_of_seed_and_step(joined):
    def bits(found):
        return [{key: value.tobytes() for key, value in batch.items()} for batch in found]

    whole = bits(batches(joined))
    assert bits(batches(joined)) == whole
    assert bits(batches(joined, start=4, count=2)) == whole[4:]
    with_threads = joined.copy_and_resolve_references()
    with_threads.update({"num_parallel_calls": 1, "prefetch": 0, "cache_mb": 0})
    assert bits(batches(with_threads)) == whole
    seen = [picture.tobytes() for batch in batches(joined, count=4) for picture in batch["source_image"]]
    assert len(set(seen)) == 8  # an epoch: each of all once


def test_the_joined_fingerprint_knows_every_part_and_their_order(joined, tmp_path):
    def fingerprint(data):
        return open_domains(data).fingerprint("source_train")

    before = fingerprint(joined)
    assert fingerprint(joined) == before
    other = joined.copy_and_resolve_references()
    other.source = ("dusk_town", "gta5")
    assert fingerprint(other) != before
    other.source = ("gta5",)
    assert fingerprint(other) == open_domains(tiny.data_config(tmp_path, name="gta5")).fingerprint("source_train")
    tiny.save(tmp_path / "gta5" / "images" / "00002.png", tiny.picture(99, (32, 16)))
    assert fingerprint(joined) != before


def test_records_lists_and_choices_work_on_joined_sources(joined, tmp_path):
    whole = open_domains(joined).source_train
    some = selection_pictures.spread(whole, 3)
    assert [example.name for example in some.examples] == ["gta5/00001", "gta5/00003", "dusk_town/f1"]
    assert some.fingerprint != whole.fingerprint
    counts = class_histogram.class_histogram(whole).counts
    assert counts.shape == (8, 20) and counts[4:, [4, 11]].sum() == 0
    plain = batches(joined)
    how = f"--source={tmp_path / 'gta5'}", "--size=20x12", f"--output={tmp_path / 'prepared'}", "--num_workers=1"
    assert command(prepare, "--dataset=gta5", *how) == 0
    assert any("of gta5 prepared records gta5-train-20x12; of dusk_town files" in n for n in open_domains(joined).notes)
    for one, other in zip(plain, batches(joined), strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
    (tmp_path / "list.txt").write_text("gta5/f0\n00002.png\nf3\n")
    joined.source_list = str(tmp_path / "list.txt")
    restricted = open_domains(joined)
    names = [example.name for example in restricted.source_train.examples]
    assert "source train: gta5+dusk_town: 3 pictures restricted by list.txt" in restricted.notes
    assert names == ["gta5/00002", "gta5/f0", "dusk_town/f3"]
    (tmp_path / "list.txt").write_text("f0.png\n")
    with pytest.raises(DataError, match="'f0.png', which may be gta5/f0 and dusk_town/f0"):
        open_domains(joined)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "bdd"),
        ({"name": "camvid"}, "camvid"),
        ({"source": ("gta5",)}, "gta5"),  # a known pair, under its short name
        ({"name": "camvid", "source": ("gta5",)}, "gta5 -> cityscapes"),  # of other data in these layouts
        ({"name": "toy", "source": ("bdd100k",)}, "toy"),
        ({"source": ("gta5",), "target": "bdd100k"}, "gta5 -> bdd100k"),
        ({"name": "north to south", "source": ("gta5",), "target": "bdd100k"}, "north to south"),
        ({"target": "cityscapes"}, "bdd"),
    ],
)
def test_what_a_pair_is_called(tmp_path, changes, name):
    assert benchmark(tiny.data_config(tmp_path, **changes)) == name


def test_any_two_data_sets_are_a_pair_and_a_folder_is_a_target(tmp_path, known):
    tiny.write_bdd100k(tmp_path / "bdd100k")
    tiny.write_bdd100k(tmp_path / "bdd100k", "val", 2, seed=250)
    data = config(tmp_path, known[1], source=("dusk_town",), target="bdd100k")
    domains = open_domains(data)
    assert [len(getattr(domains, role)) for role in ("source_train", "target_train", "target_val")] == [4, 3, 2]
    assert Feed(data).audit({"source"}) == [] and Feed(data).instances_problem() == "bdd100k has no instance labels"
    pictures = tmp_path / "mine"
    tiny.save(pictures / "a.png", tiny.picture(5))
    new = config(tmp_path, known[1], source=("dusk_town",), target=str(pictures))
    old = config(tmp_path, known[1], source=("dusk_town",), target_dir=str(pictures))
    assert Feed(new).fingerprint("source", True) == Feed(old).fingerprint("source", True)
    assert benchmark(new) == benchmark(old) == "dusk_town -> mine" and Feed(new).target_lacks_labels()


def test_folders_by_their_old_and_new_names(tmp_path):
    tiny.write_pair(tmp_path / "root")
    (tmp_path / "root" / "cityscapes").rename(tmp_path / "cs")
    for changes in ({"dirs": {"cityscapes": str(tmp_path / "cs")}}, {"cityscapes_dir": str(tmp_path / "cs")}):
        assert len(open_domains(tiny.data_config(tmp_path / "root", **changes)).target_train) == 3
    both = tiny.data_config(tmp_path / "root", dirs={"cityscapes": "a"}, cityscapes_dir="b")
    with pytest.raises(DataError, match="data.dirs.cityscapes=a and data.cityscapes_dir=b: set the first only"):
        open_domains(both)


def test_a_target_whose_labels_are_not_complete_is_missed_and_not_taken_for_unlabelled(known, tmp_path):
    """Also where the data set names no kinds of label files."""
    root = tmp_path / "town"
    write_town(root)
    write_town(root, "val", 2)
    data = config(tmp_path, root, source=("dusk_town",), target="dusk_town")
    layout = LAYOUTS["dusk_town"]
    bare = layout._replace(on_disk=lambda *where: layout.on_disk(*where)._replace(label_files=()))
    LAYOUTS["dusk_town"] = bare
    (root / "ids" / "val" / "f0_ids.png").unlink()
    assert "f0.png has no label" in Feed(data).evaluation_problem() and not Feed(data).target_lacks_labels()
    for label in root.rglob("*_ids.png"):
        label.unlink()
    assert Feed(data).target_lacks_labels()
