"""dakd pack: a folder that says what it is, is read as the network that it was made of, and tells what was altered."""

import dataclasses
import errno
import io
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import tiny_runs
import yaml
from PIL import Image
from plug_tools import example, forgotten
from rich.console import Console

import dakd_jax
from dakd_jax.basics import atomic_files, plugs
from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS
from dakd_jax.deploy.finding import packed
from dakd_jax.deploy.packing import hub_folder, model_card, provenance
from dakd_jax.models.backbones import BACKBONES
from dakd_jax.models.preprocessing import NORMALISERS
from dakd_jax.models.segmenter import Segmenter, init_segmenter
from dakd_jax.stages import weights
from data_pipelines.datasets import LAYOUTS
from data_pipelines.domains.pairs import TOY_LICENCE

NAMES = tuple(f"class | {letter}" for letter in "abcdefghijklmnopqrs")
CITYSCAPES = LAYOUTS["cityscapes"].licence
FILES = ["README.md", "config.json", "golden/labels.png", "golden/overlay.png", "golden/picture.png"]
FILES += ["model.safetensors"]


@pytest.fixture(autouse=True)
def quickly():
    with tiny_runs.quick_compilation():
        yield


@pytest.fixture(scope="module")
def net(lively):
    """One that predicts several classes, of a file without a record."""
    return dakd_jax.load(lively[0], arch="tiny", size=tiny_runs.SIZE, classes=NAMES, bit_depth=12)


@pytest.fixture(scope="module")
def made(net, tmp_path_factory):
    """Its folder; not to be changed."""
    folder = tmp_path_factory.mktemp("packed") / "net"
    with tiny_runs.quick_compilation():
        hub_folder.pack(net, folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(made, tmp_path / "net")


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def told(folder):
    return json.loads((folder / "config.json").read_text())


def rewrite(folder, **changes):
    """Changes config.json, and its hash with it."""
    content = told(folder) | changes
    del content["config_sha256"]
    content["config_sha256"] = packed.records.hash_json(content)
    (folder / "config.json").write_text(json.dumps(content))


def picture(size=(70, 40)):
    return np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)


def refused(folder, *parts, **how):
    with pytest.raises(UserError) as raised:
        dakd_jax.load(folder, **how)
    line = str(raised.value)
    assert "\n" not in line and "Traceback" not in line
    for part in parts:
        assert part in line
    return line


def command(mode, chosen, *words, **flags):
    """(exit code, what it printed) of a command in this process."""
    console = Console(file=io.StringIO(), width=300)
    context = tiny_runs.context(chosen, "unused", console, mode, **flags)
    toy = lambda index, size: picture(size)  # noqa: E731
    code = COMMANDS[mode].run(dataclasses.replace(context, words=tuple(map(str, words)), toy_picture=toy))
    return code or 0, console.file.getvalue()


# What is written and read


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_it_is_the_network_that_was_packed(net, made, name):
    again = dakd_jax.load(made / name)
    assert files_of(made) == FILES
    assert (again.classes, again.size, again.bit_depth) == (NAMES, tiny_runs.SIZE, 12)
    assert again.licences == net.licences and np.array_equal(again.colours, net.colours)
    np.testing.assert_array_equal(again.probabilities(picture()), net.probabilities(picture()))
    labels = np.asarray(Image.open(made / "golden" / "labels.png"))
    np.testing.assert_array_equal(labels, net.predict(made / "golden" / "picture.png"))
    assert len(np.unique(labels)) == told(made)["golden"]["classes"] >= 5
    assert hub_folder.check(again, made, told(made)) == 1
    assert (made / "model.safetensors").stat().st_mode & 0o044 == (made / "config.json").stat().st_mode & 0o044


def test_of_a_run_names_colours_licences_scores_and_record_go_along(chain, tmp_path):
    net = dakd_jax.load(f"{chain[0]}#case_b")
    said = hub_folder.pack(net, tmp_path / "b")
    again, origin = dakd_jax.load(tmp_path / "b"), told(tmp_path / "b")["origin"]
    assert again.classes == net.classes and np.array_equal(again.colours, net.colours)
    assert again.licences == net.licences == {"gta5": TOY_LICENCE, "cityscapes": TOY_LICENCE}
    np.testing.assert_array_equal(again.predict(picture()), net.predict(picture()))
    record = json.loads((net.found.place.path.parent / "record.json").read_text())
    (evaluation,) = net.found.place.path.parent.glob("evaluation-*.json")
    scores = json.loads(evaluation.read_text())["scores"]
    assert origin["hash"] == record["hash"] and origin["stage"] == "case_b" and origin["data"] == "toy"
    assert origin["scores"][0]["miou"] == scores["miou"] and origin["teacher"]["arch"] == "tiny"
    card = (tmp_path / "b" / "README.md").read_text()
    assert f"| native   | {100 * scores['miou']:>7.1f} |" in card and "toy city alone" in card
    assert str(chain[0]) not in (tmp_path / "b" / "config.json").read_text() + card
    assert "the most that were found" in "".join(hub_folder.summary(said))  # of six steps
    hub_folder.pack(again, tmp_path / "c")
    mine, its = told(tmp_path / "b"), told(tmp_path / "c")
    assert mine == its  # packed again it is the same


def test_no_path_of_the_machine_goes_along():
    assert provenance._without_folder("trunk /home/me/w.pth") == "trunk w.pth"
    assert provenance._without_folder("random weights") == "random weights"
    assert provenance._data({"name": "gta5", "target": "/home/me/city"}) == "gta5 -> city"
    assert provenance._data({"source": ["a", "/b/c"], "target": "d"}) == "a + c -> d"


def test_the_golden_picture_is_of_the_toy_city(chain, toy_city, tmp_path):
    chosen = tiny_runs.config(toy_city)
    code, said = command("pack", chosen, chain[0], output=str(tmp_path / "p"))
    assert code == 0 and "golden pair (toy city)" in said
    np.testing.assert_array_equal(Image.open(tmp_path / "p" / "golden" / "picture.png"), picture(tiny_runs.SIZE))


def test_commands_take_the_folder(folder, made, run_py, tmp_path):
    ended = run_py(["--mode=check", str(folder)])
    assert ended.code == 0 and "here: 100.000% of the golden pair's labels agree" in ended.stdout, ended.stderr
    ended = run_py(["--mode=pack", str(folder), f"--output={tmp_path / 'again'}", "--config.student.arch=tiny"])
    assert ended.code == 0 and files_of(tmp_path / "again") == FILES, ended.stderr
    tiny_runs.one_line(run_py(["--mode=pack", str(folder), f"--output={folder}"]), "is there already")
    tiny_runs.one_line(run_py(["--mode=pack", str(folder)]), "needs --output=DIR, a new folder")
    assert files_of(folder) == FILES and told(folder) == told(made)


def test_predict_and_export_take_the_folder(folder, toy_city, tmp_path):
    chosen = tiny_runs.config(toy_city)
    golden = folder / "golden"
    command("predict", chosen, folder, golden / "picture.png", output=str(tmp_path / "answers"))
    np.testing.assert_array_equal(
        Image.open(tmp_path / "answers" / "labels" / "picture.png"), Image.open(golden / "labels.png")
    )
    _, said = command(
        "export", chosen, folder, format="stablehlo", output=str(tmp_path / "net.stablehlo"), size="", calibrate=""
    )
    assert dakd_jax.load(tmp_path / "net.stablehlo").classes == NAMES and "100.000%" in said
    with pytest.raises(UserError, match="is an export; name the run"):
        command("pack", chosen, tmp_path / "net.stablehlo", output=str(tmp_path / "p"))


# Whole or not at all


@pytest.mark.parametrize("there", ["empty folder", "file", "link to nowhere"])
def test_what_is_there_is_left_alone(net, tmp_path, there):
    output = tmp_path / "there"
    {"empty folder": output.mkdir, "file": output.touch, "link to nowhere": lambda: output.symlink_to("nowhere")}[
        there
    ]()
    with pytest.raises(UserError, match="is there already; name a new folder"):
        hub_folder.pack(net, output)
    with pytest.raises(FileExistsError), atomic_files.new_folder(output):
        raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("name", ["model.safetensors", "labels.png", "README.md", "config.json"])
def test_a_full_disk_is_one_line_and_leaves_nothing(net, tmp_path, monkeypatch, name):
    replace = atomic_files.os.replace

    def full(source, target):
        if pathlib.Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(atomic_files.os, "replace", full)
    with pytest.raises(UserError, match="No space left on device") as raised:
        hub_folder.pack(net, tmp_path / "new" / "net")
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "new").iterdir())


def test_a_stop_leaves_nothing(net, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(model_card, "text", stopped)
    with pytest.raises(KeyboardInterrupt):
        hub_folder.pack(net, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written(net, tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file" / "net", tmp_path / ("n" * 300)):
        with pytest.raises(UserError, match="cannot write .*; make room or choose another --output"):
            hub_folder.pack(net, output)


# What is not as it was


def test_altered_weights(folder):
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    refused(folder, "model.safetensors is not the file that dakd pack wrote (its hash is another)")
    refused(file, "is not the file that dakd pack wrote")
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refused(folder, "is a pointer of git-lfs", "git lfs pull")
    file.unlink()
    refused(folder, "lacks model.safetensors, which dakd pack wrote")


def test_altered_config(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("class | a", "class | z"))
    refused(folder, "config.json was altered since it was written")
    (folder / "config.json").write_text(text[:-20])
    refused(folder, "config.json is cut or damaged")
    (folder / "config.json").write_text(json.dumps(json.loads(text), indent=4, sort_keys=True))
    assert dakd_jax.load(folder).classes == NAMES  # what says the same is the same
    rewrite(folder, dakd_pack=2)
    refused(folder, "is of format version 2, and this dakd_jax reads 1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": NAMES[:7], "palette": [[0, 0, 0]] * 7}, "choose the class count"),
        ({"classes": None}, "does not say all that its network is"),
        ({"palette": [[0, 0, 0]]}, "no table of 19 colours"),
        ({"size": "large"}, "does not say all"),
        ({"network": {"arch": ["tiny"]}}, "does not say all"),
        ({"network": {"arch": "tiny", "width": "broad"}}, "does not say all"),
        ({"network": []}, "does not say all"),
        ({"licences": 3}, "does not say all"),
        ({"sha256": []}, "is not the file"),
    ],
    ids=range(9),
)
def test_a_config_that_somebody_wrote_wrongly(folder, changes, said):
    rewrite(folder, **changes)
    refused(folder, said)


@pytest.mark.parametrize("name", [packed.PICTURE, packed.LABELS])
def test_an_altered_golden_pair(folder, toy_city, name):
    Image.fromarray(255 - np.asarray(Image.open(folder / name))).save(folder / name)
    with pytest.raises(UserError, match=f"{name} is not the file that dakd pack wrote"):
        command("check", tiny_runs.config(toy_city), folder)
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"lacks {name}"):
        command("check", tiny_runs.config(toy_city), folder)


def test_a_golden_pair_that_fails(lively, folder, net):
    other = init_segmenter(lively[1], 1, "student")
    weights.save(folder / "model.safetensors", other, lively[1])
    rewrite(folder, sha256=told(folder)["sha256"] | {"model.safetensors": weights.hash_file(folder / packed.WEIGHTS)})
    with pytest.raises(UserError, match="on its golden pair .* of the labels are the network's, and 99.9% were"):
        hub_folder.check(dakd_jax.load(folder), folder, told(folder))


def test_what_the_folder_says_is_not_said_again(folder):
    refused(folder, "config.json says what this network is: leave arch=, size= out", arch="tiny", size=(64, 32))
    refused(folder, "tells of 19 classes", classes=["road", "sky"])
    refused(f"{folder}#student", "the folder holds one network; leave #student out")
    assert dakd_jax.load(folder, bit_depth=10, palette=[[9, 9, 9]] * 19).bit_depth == 10


def test_other_folders_with_a_config_are_not_ours(folder):
    (folder / "config.json").write_text('{"model_type": "segformer"}')
    refused(folder, "no record beside it says what network it is")
    assert len(dakd_jax.load(folder, arch="tiny", size=(64, 32)).classes) == 19
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    refused(folder, "no record beside it says what network it is")


# Plugins


def test_a_plugin_is_named_and_never_loaded_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("plain.py").write_text(example("A backbone"))
    folder = tmp_path / "net"
    with forgotten(BACKBONES, NORMALISERS):
        plugs.load(["plain.py"])
        model = Segmenter(arch="plain4", num_classes=4, width=0.5)
        weights.save(tmp_path / "net.pth", init_segmenter(model, 0, "student"), model)
        net = dakd_jax.load(tmp_path / "net.pth", arch="plain4", width=0.5, size=(64, 32))
        said = hub_folder.summary(hub_folder.pack(net, folder))
        expected = net.predict(picture())
    assert "needs a plugin, for its backbone plain4: plain.py" in said
    assert 'plugins=["plain.py"]' in (folder / "README.md").read_text()
    line = refused(
        folder, "needs a plugin, which is code and does not lie in it: its backbone plain4 comes from plain.py"
    )
    assert "plugins=['plain.py']" in line and "--config.plugins=plain.py" in line
    with forgotten(BACKBONES, NORMALISERS):
        np.testing.assert_array_equal(dakd_jax.load(folder, plugins="plain.py").predict(picture()), expected)


# The card


def front_matter(card):
    (text,) = re.findall(r"\A---\n(.*?)\n---\n\n# ", card, re.DOTALL)
    return yaml.safe_load(text)


def test_the_card_is_what_hubs_read(made):
    card = (made / "README.md").read_text()
    assert front_matter(card) == {
        "license": "unknown",
        "library_name": "dakd_jax",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation", "jax", "flax", "tiny"],
    }
    assert "![What the network says of the golden picture](golden/overlay.png)" in card
    assert "| class \\| a |     0 | #" in card and "not recorded" in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert code.startswith("import dakd_jax\n\nnet = dakd_jax.load(")


@pytest.mark.parametrize(
    ("licences", "licence", "data_sets"),
    [
        ({}, "unknown", None),
        ({"flat_folder": None}, "unknown", None),
        ({"gta5": TOY_LICENCE, "cityscapes": TOY_LICENCE}, "apache-2.0", ["toy-city"]),
        ({"a": "CC-BY-4.0", "flat_folder": None}, "unknown", ["a"]),
        ({"a": "CC-BY-4.0", "b": "MIT"}, "other", ["a", "b"]),
        (
            {"cityscapes": LAYOUTS["cityscapes"].licence, "gta5": LAYOUTS["gta5"].licence},
            "other",
            ["cityscapes", "gta5"],
        ),
        ({"cityscapes": LAYOUTS["cityscapes"].licence, "flat_folder": None}, "other", ["cityscapes"]),
        ({'x": y\n- z': "MIT <b>"}, "mit", ['x": y\n- z']),
    ],
    ids=str,
)
def test_the_licence_is_that_of_the_data(made, licences, licence, data_sets):
    card = model_card.text(told(made) | {"licences": licences}, "net")
    found = front_matter(card)
    assert found["license"] == licence and found.get("datasets") == data_sets
    assert ("license_name" in found) == (licence == "other")
    for name, its in licences.items():
        assert f"- {' '.join(name.split())}: {(its or 'unknown').replace('<', '&lt;')}\n" in card
    assert ("toy city alone" in card) == (data_sets == ["toy-city"])


def test_a_section_of_what_it_costs_has_its_place(made):
    card = model_card.text(told(made), "net", "## What the trade is worth\n\n| a |\n")
    assert re.findall(r"^## (.*)$", card, re.MULTILINE)[:3] == [
        "How to load it",
        "What the trade is worth",
        "Data and licences",
    ]
    assert model_card.text(told(made), "net") == card.replace("## What the trade is worth\n\n| a |\n\n", "")


def test_a_class_that_is_nowhere_has_no_score(chain, tmp_path):
    stage = shutil.copytree(tiny_runs.stage_folder(chain[0], "case_b"), tmp_path / "case_b-1")
    (evaluation,) = stage.glob("evaluation-*.json")
    content = json.loads(evaluation.read_text())
    content["scores"]["iou"][0] = float("nan")
    evaluation.write_text(json.dumps(content))
    hub_folder.pack(dakd_jax.load(stage), tmp_path / "p")
    text = (tmp_path / "p" / "config.json").read_text()
    assert "NaN" not in text and json.loads(text)["origin"]["scores"][0]["iou"][0] is None
    assert re.search(r"\| road +\| +0 \| +#804080 \| +– \|", (tmp_path / "p" / "README.md").read_text())
