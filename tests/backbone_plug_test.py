"""A backbone that is added by one file, the worked example of docs/EXTENDING.md, goes through a whole run."""

import dataclasses
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import plug_tools
import pytest
import tiny_runs
from flax import linen as nn
from ml_collections import ConfigDict

from dakd_jax.basics import plugs, records
from dakd_jax.basics.errors import UserError
from dakd_jax.commands.kit import overrides
from dakd_jax.models import segmenter
from dakd_jax.models.backbones import BACKBONES, Backbone, Feature, outlines
from dakd_jax.models.batch_norm import BatchNorm
from dakd_jax.models.preprocessing import NORMALISERS
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.models.weight_files import torch_files
from dakd_jax.objectives import paradigms
from dakd_jax.stages import older_configs, settings, stage_identity, weights

SECTION = (tiny_runs.PROJECT / "docs" / "EXTENDING.md").read_text().split("## A backbone\n")[1].split("\n## ")[0]
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
ARCH = "plain4"
STEPS = {"train.steps": 2, "train.teacher_steps": 2, "train.eval_every": 0, "train.checkpoint_every": 1}
MINE = {"student.arch": ARCH, "teacher.arch": ARCH, "teacher.output_stride": 16, "teacher.width": 0.5}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """Path of the example, which is imported."""
    file = tmp_path_factory.mktemp("plugin") / "plain.py"
    file.write_text(EXAMPLE)
    with plug_tools.forgotten(BACKBONES, NORMALISERS):
        plugs.load([str(file)])
        yield str(file)


@pytest.fixture(scope="module")
def whole_run(run_py, plugin, toy_city, tmp_path_factory):
    """(workdir, changes, stdout) of a run with the example as student and teacher, by the command line."""
    workdir = tmp_path_factory.mktemp("run") / "workdir"
    changes = {**STEPS, **MINE, "plugins": plugin, "goal": "student,case_a"}
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **changes))
    assert ended.code == 0, ended.stderr
    return workdir, changes, ended.stdout


def test_two_steps_of_a_whole_run_with_plan_curves_and_report(whole_run):
    workdir, _, said = whole_run
    assert re.search(r"teacher +plain4 x0.5, stride 16 ", said) and re.search(r"case_a +plain4 x1 ", said)
    assert {folder.name.split("-")[0] for folder in (workdir / "stages").iterdir()} == {"teacher", "student", "case_a"}
    rows = tiny_runs.metric_rows(tiny_runs.stage_folder(workdir, "case_a"))
    losses = [row for row in rows if "loss/source/kl_main" in row]
    assert [row["step"] for row in losses] == [1, 2] and np.isfinite(losses[-1]["loss/source/total"])
    (page,) = workdir.glob("report_*/index.html")
    assert "plain4" in page.read_text()


def test_every_other_mode_follows(whole_run, run_py, toy_city, tmp_path):
    workdir, changes, _ = whole_run
    words = tiny_runs.arguments(toy_city, workdir, **changes)
    again = run_py(words)
    assert again.code == 0 and again.stdout.count("finished, reused") == 3
    for mode in ("plan", "attribution"):
        ended = run_py([*words, f"--mode={mode}"])
        assert ended.code == 0, ended.stderr
    folder = tiny_runs.stage_folder(workdir, "teacher")
    # The record tells taps, stride and normaliser; the plugin must be named.
    told = {"eval.checkpoint": str(folder), "plugins": changes["plugins"]}
    words = [word for word in tiny_runs.arguments(toy_city, tmp_path / "x", **told) if ".arch=" not in word]
    ended = run_py([*(word for word in words if ".width=" not in word), "--mode=evaluate"])
    assert ended.code == 0 and "mIoU" in ended.stdout, ended.stderr
    ended = run_py(["--mode=verify", f"--workdir={workdir}"])
    assert ended.code == 0, ended.stdout


def test_without_the_plugin_one_line_says_what_is_missing(whole_run, run_py, toy_city, workdir):
    without = {name: value for name, value in whole_run[1].items() if name != "plugins"}
    ended = run_py(tiny_runs.arguments(toy_city, workdir, **without), fork=True)
    if "plain4" in BACKBONES and ended.code == 0:
        pytest.skip("the process that forks has the plugin")
    tiny_runs.one_line(ended, "config.student.arch='plain4'", "config.plugins names")


def test_the_plugin_s_source_is_in_the_identity_of_what_uses_it(plugin, tmp_path, monkeypatch):
    def identity(name, **changes):
        config = tiny_runs.config("data", plugins=(plugin,), **changes)
        return stage_identity.identity(config, paradigms.STAGES[name], "data", {})

    source = {f"backbone {ARCH}": plugs.source_hash(BACKBONES._origins[ARCH])}
    normaliser = {"normaliser around_zero": NORMALISERS.source_hash("around_zero")}
    assert len(next(iter(source.values()))) == 64 and set(source.values()) == set(normaliser.values())
    assert identity("student", **{"student.arch": ARCH})["plugins"] == source | normaliser
    assert identity("case_a", **{"teacher.arch": ARCH})["plugins"] == source | normaliser
    assert identity("student", **{"student.normaliser": "around_zero"})["plugins"] == normaliser
    assert "plugins" not in identity("student", **{"teacher.arch": ARCH})
    assert "plugins" not in identity("student")
    before = [records.hash_json(identity("student", **{"student.arch": arch})) for arch in (ARCH, "tiny")]
    monkeypatch.setitem(plugs._loaded, BACKBONES._origins[ARCH], "0" * 64)
    after = [records.hash_json(identity("student", **{"student.arch": arch})) for arch in (ARCH, "tiny")]
    assert before[0] != after[0] and before[1] == after[1]
    file = tmp_path / "x.pth"
    file.write_bytes(b"x")
    mine = tiny_runs.config("data", **{"student.arch": ARCH}).student
    hashed = weights.file_identity(str(file), "student", mine)
    monkeypatch.undo()
    assert hashed != weights.file_identity(str(file), "student", mine)


def test_changing_the_file_trains_anew(whole_run, run_py, toy_city, tmp_path):
    changed = tmp_path / "plain.py"
    changed.write_text(EXAMPLE.replace("plain4", "plain4_changed").replace("around_zero", "around_zero_too") + "#\n")
    workdir, changes, _ = whole_run
    other = {"plugins": str(changed), "student.arch": "plain4_changed", "teacher.arch": "plain4_changed"}
    ended = run_py([*tiny_runs.arguments(toy_city, workdir, **changes | other), "--mode=plan"])
    assert ended.code == 0 and ended.stdout.count("to be trained") == 3, ended.stdout


# What the segmenter makes of a spec


@pytest.mark.parametrize("stride", [4, 16])
@pytest.mark.parametrize("size", [(32, 32), (50, 37)])
def test_heads_of_any_stride_give_log_probabilities_of_the_picture(plugin, stride, size):
    model = Segmenter(ARCH, 5, output_stride=stride)
    variables = segmenter.init_segmenter(model, 0, "student")
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    heads, _ = segmenter.forward(model, variables, images)
    strides = {"block0": 2, "block1": 4, "block2": min(8, stride), "block3": stride}
    for name, of in strides.items():
        assert heads.features[name].shape[1:3] == tuple(-(-side // of) for side in size)
    # The main logits come at the skip's stride.
    assert (heads.main_stride, heads.auxiliary_stride) == (4, strides["block2"])
    found = heads.log_probabilities(size)
    for level in ("main", "auxiliary"):
        assert found[level].shape == (2, *size, 5)
        np.testing.assert_allclose(np.exp(found[level]).sum(axis=-1), 1, rtol=1e-5)


def test_the_skip_is_added_to_the_upsampled_logits(plugin):
    from dakd_jax.models import resizing

    model = Segmenter(ARCH, 5, output_stride=16)
    variables = segmenter.init_segmenter(model, 0, "student")
    heads, _ = segmenter.forward(model, variables, np.arange(50 * 37 * 3, dtype=np.uint8).reshape(1, 50, 37, 3))
    deep, shallow = (np.asarray(heads.features[name]) for name in ("block3", "block1"))

    def of(head, x):
        return x @ variables["params"][head]["kernel"][0, 0] + variables["params"][head]["bias"]

    expected = resizing.upsample_aligned(of("seg1", deep), 4)[:, :13, :10] + of("seg1_skip", shallow)
    np.testing.assert_allclose(heads.main, expected, rtol=1e-4, atol=1e-5)


def test_a_decoder_is_chosen_with_or_without_the_skip(plugin):
    images = np.zeros((1, 32, 48, 3), np.uint8)
    strides = {}
    for arch in (ARCH, "tiny", "resnet18"):
        for decoder in ("", "linear", "skip"):
            model = Segmenter(arch, 5, width=0.1, decoder=decoder)
            blank = segmenter.blank_segmenter(model)
            heads, _ = jax.eval_shape(lambda v, model=model: segmenter.forward(model, v, images), blank)
            assert ("seg1_skip" in blank["params"]) == (model.decoder == "skip")
            assert heads.main.shape == (1, 32 // heads.main_stride, 48 // heads.main_stride, 5)
            strides[arch, decoder] = heads.main_stride
    assert [strides[ARCH, decoder] for decoder in ("", "linear", "skip")] == [4, 4, 4]
    assert [strides["tiny", decoder] for decoder in ("", "linear", "skip")] == [8, 8, 4]
    assert [strides["resnet18", decoder] for decoder in ("", "linear", "skip")] == [8, 8, 4]


def test_the_normaliser_is_the_spec_s_unless_one_is_named(plugin):
    model = Segmenter(ARCH, 5)
    variables = segmenter.init_segmenter(model, 0, "student")
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    assert model.normaliser == "around_zero"
    x = (images.astype(np.float32) - 127) / 128
    by_hand = model.apply(variables, x, train=False, method="heads").main
    np.testing.assert_allclose(segmenter.forward(model, variables, images)[0].main, by_hand, rtol=1e-6)
    other = segmenter.forward(model, variables, images, normaliser="rgb_unit")[0].main
    by_hand = model.apply(variables, np.float32(images / 255), train=False, method="heads").main
    np.testing.assert_allclose(other, by_hand, rtol=1e-5, atol=1e-6)


def test_momentum_and_epsilon_of_batch_norm_are_the_spec_s(plugin):
    model = Segmenter(ARCH, 5)
    variables = segmenter.init_segmenter(model, 0, "student")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    _, stats = segmenter.forward(model, variables, images, statistics="batch")
    _, same = segmenter.forward(model, variables, images)
    jax.tree.map(np.testing.assert_array_equal, same, variables["batch_stats"])
    x = (images.astype(np.float32) - 127) / 128
    kernel = variables["params"]["base"]["conv0"]["kernel"]
    y = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    ours = stats["base"]["bn0"]
    np.testing.assert_allclose(ours["mean"], 0.2 * np.mean(y, axis=(0, 1, 2)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(ours["var"], 0.8 + 0.2 * np.var(y, axis=(0, 1, 2), ddof=1), rtol=1e-4)
    heads, _ = segmenter.forward(model, variables, images)
    expected = np.maximum(np.asarray(y) / np.sqrt(1 + 1e-3), 0)
    np.testing.assert_allclose(heads.features["block0"], expected, rtol=1e-4, atol=1e-6)


def test_defaults_of_batch_norm_are_pytorch_s():
    assert (BatchNorm().momentum, BatchNorm().epsilon) == (0.1, 1e-5)


def test_a_backbone_that_is_registered_anew_is_compiled_anew(plugin, monkeypatch):
    """As by a notebook's cell that is changed and executed again; the function is compiled once for a module."""
    images = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(1, 32, 32, 3)
    variables = segmenter.init_segmenter(Segmenter(ARCH, 5), 0, "student")
    compiled = jax.jit(lambda model, *of: segmenter.forward(model, *of)[0].main, static_argnums=0)

    before = compiled(Segmenter(ARCH, 5), variables, images)
    monkeypatch.setitem(BACKBONES._things, ARCH, dataclasses.replace(BACKBONES[ARCH], epsilon=10.0))
    assert np.abs(compiled(Segmenter(ARCH, 5), variables, images) - before).max() > 1e-6
    monkeypatch.undo()
    np.testing.assert_array_equal(compiled(Segmenter(ARCH, 5), variables, images), before)
    assert compiled._cache_size() == 2


def test_a_published_trunk_is_read_by_its_own_names(plugin, tmp_path):
    model = Segmenter(ARCH, 19)
    start = segmenter.init_segmenter(model, 0, "student")
    theirs = weights.pretrained.to_state_dict(segmenter.init_segmenter(model, 1, "student"))
    trunk = {
        re.sub(r"^base\.(conv|bn)(\d)", r"blocks.\2.\1", name): array
        for name, array in theirs.items()
        if name.startswith("base.")
    }
    assert "blocks.0.conv.weight" in trunk
    torch_files.write(tmp_path / "t.pth", trunk | {"classifier.weight": np.zeros((10, 16), np.float32)})
    network = ConfigDict({"pretrained": str(tmp_path / "t.pth")})
    found = weights.pretrained.to_state_dict(weights.start(model, network, 0, "student"))
    for name, array in found.items():
        expected = theirs if name.startswith("base.") else weights.pretrained.to_state_dict(start)
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    torch_files.write(tmp_path / "t.pth", {"conv1.weight": np.zeros((4, 3, 3, 3), np.float32)})
    with pytest.raises(UserError, match="does not fit.*Published weights of this architecture: nowhere: an example"):
        weights.start(model, network, 0, "student")


# Mistakes of who wrote it, and of who names it


class Odd(nn.Module):
    """Gives whatever `gives` makes of the picture."""

    gives: object

    @nn.compact
    def __call__(self, x, *, train):
        return self.gives(x)


def spec(gives, **changes):
    fields = {"normaliser": "rgb_unit", "main_tap": "a", "auxiliary_tap": "a", "output_strides": (2,), **changes}
    return Backbone(make=lambda width, output_stride, batch_norm: Odd(gives), **fields)


def even(x):
    return (Feature(x[:, ::2, ::2], 2, "a"),)


def broken(x):
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (spec(lambda x: x), "expected a tuple of backbones.Feature"),
        (spec(lambda x: ()), "expected a tuple of backbones.Feature"),
        (spec(lambda x: (x,)), "expected a tuple of backbones.Feature"),
        (spec(broken), "its module fails: KeyError: 'no such thing'"),
        (spec(lambda x: (Feature(x[:, :64:2, :96:2], 2, "a"),)), r"'a' of stride 2 has the shape \(1, 32, 48, 3\)"),
        (spec(lambda x: even(x) * 2), "have one name: a, a"),
        (spec(even, auxiliary_tap="b"), "its auxiliary_tap 'b' is none of its features, a"),
        (spec(even, skip_tap="c"), "its skip_tap 'c' is none of its features"),
        (spec(even, normaliser="mine"), "its normaliser 'mine' is none of .*bgr_minus_mean"),
    ],
)
def test_a_backbone_that_keeps_no_contract_is_one_line(monkeypatch, made, line):
    monkeypatch.setitem(BACKBONES._things, "odd", made)
    with pytest.raises(UserError, match=f"config.student.arch='odd'.*{line}") as caught:
        settings.check(tiny_runs.config("nowhere", **{"student.arch": "odd"}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"student.output_stride": 8}, "config.student.output_stride=8: expected one of 4, 16"),
        ({"student.main_tap": "layer8"}, "config.student.main_tap='layer8': expected one of block0, .*block3"),
        ({"student.main_tap": "block0"}, "main_tap='block0' has stride 2, and plain4 adds 'block1' of stride 4"),
        ({"student.arch": "plain5"}, "config.student.arch='plain5': did you mean plain4"),
        ({"loss.mse_on": "features"}, "has 16 at stride 4 and the teacher's 8 at stride 8; use 'log_probabilities'"),
    ],
)
def test_what_a_backbone_does_not_offer_is_one_line(plugin, changes, line):
    with pytest.raises(UserError, match=line):
        settings.check(tiny_runs.config("nowhere", **{"student.arch": ARCH, **changes}))


def test_the_smallest_picture_follows_from_the_output_stride(plugin, monkeypatch):
    large = spec(lambda x: (Feature(x[:, ::64, ::64], 64, "a"),), output_strides=(64,))
    monkeypatch.setitem(BACKBONES._things, "coarse", large)
    settings.check(tiny_runs.config("nowhere", **{"student.arch": ARCH, "data.source_size": (32, 32)}))
    with pytest.raises(UserError, match="each side at least 64 pixels, or nothing is left after stride 64"):
        settings.check(tiny_runs.config("nowhere", **{"student.arch": "coarse"}))


def test_features_of_a_backbone_are_found_without_computing(plugin):
    found = outlines(BACKBONES["tiny"], 1.0, 0)
    assert list(found) == [f"layer{i}" for i in range(9)]
    assert found["layer6"] == (8, 8) and found["layer3"] == (4, 8)
    assert jnp.shape(found["layer8"]) == (2,)


# Older configs


def counted(**changes):
    return stage_identity.counted(tiny_runs.config("data", **changes), paradigms.STAGES["case_a"])


def test_what_is_the_backbone_s_own_counts_as_it_did_before_it_could_be_left_open():
    before = {"student.auxiliary_layer": 6, "student.normaliser": "bgr_minus_mean", "teacher.auxiliary_layer": 6}
    found = counted()
    assert before.items() <= found.items() and not [name for name in found if "tap" in name or "stride" in name]
    own = {"student.auxiliary_tap": "layer6", "student.main_tap": "layer8", "student.output_stride": 8}
    assert counted(**own, **{"student.normaliser": "bgr_minus_mean"}) == found
    assert counted(**{"student.auxiliary_tap": "layer7"}) == found | {"student.auxiliary_layer": 7}
    assert counted(**{"student.main_tap": "layer7"}) == found | {"student.main_tap": "layer7"}


def old(**changes):
    """A config as it was written before: plain data."""
    made = tiny_runs.config("data").to_dict()
    for network in ("student", "teacher"):
        for field in ("auxiliary_tap", "main_tap", "output_stride"):
            del made[network][field]
        made[network] |= {"auxiliary_layer": 6, "normaliser": "bgr_minus_mean"}
    made["student"] |= changes
    del made["plugins"]
    return made


@pytest.mark.parametrize("kind", [dict, ConfigDict])
def test_an_older_config_is_one_of_today(kind):
    found = older_configs.modernise(kind(old(auxiliary_layer=7)))
    assert found["student"]["auxiliary_tap"] == "layer7" and "auxiliary_layer" not in found["student"]
    assert found["student"]["main_tap"] == "" and found["teacher"]["output_stride"] == 0 and found["plugins"] == ()
    assert settings.segmenter(ConfigDict(found).student, 19) == Segmenter("tiny", 19, auxiliary_tap="layer7")
    again = older_configs.modernise(kind(dict(found)))
    assert again == found


def test_identity_takes_a_config_of_any_age():
    stage = paradigms.STAGES["case_a"]
    assert stage_identity.counted(ConfigDict(old()), stage) == counted()
    seven = stage_identity.counted(ConfigDict(old(auxiliary_layer=7)), stage)
    assert seven == counted(**{"student.auxiliary_tap": "layer7"})


def test_both_names_of_a_field_may_not_differ():
    made = ConfigDict(old(auxiliary_tap="layer6"))
    assert older_configs.modernise(made).student.auxiliary_tap == "layer6"
    with pytest.raises(UserError, match="config.student.auxiliary_tap='layer5' and config.student.auxiliary_layer=6"):
        older_configs.modernise(ConfigDict(old(auxiliary_tap="layer5")))


def test_an_older_config_from_python_is_checked_as_one_of_today():
    made = ConfigDict(old(auxiliary_layer=7))
    settings.check(made)
    assert made.student.auxiliary_tap == "layer7"
    for layer in (9, "six", [6]):
        with pytest.raises(
            UserError, match="student.auxiliary_(tap='(layer9|six)': expected one of|layer=.6.*cannot be)"
        ):
            settings.check(ConfigDict(old(auxiliary_layer=layer)))


@pytest.mark.parametrize("words", [["--config.student.auxiliary_layer=7"], ["--config.student.auxiliary_layer", "7"]])
def test_the_old_field_on_the_command_line(words):
    argv = ["run.py", *words, "--config.seed=1"]
    expected = ["run.py", "--config.student.auxiliary_tap=layer7", "--config.seed=1"]
    assert overrides.settle(argv, tiny_runs.base.get_config()) == expected


def test_an_old_config_file_and_an_old_flag_plan_as_before(run_py, toy_city, workdir, tmp_path):
    lines = ["from configs import base", "", "def get_config():", "    config = base.get_config()"]
    lines += ["    config.student.auxiliary_layer = 7", "    return config"]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    words = [*tiny_runs.arguments(toy_city, workdir)[1:], "--config.goal=student", "--mode=plan"]
    plans = [
        run_py([*words, *more]).stdout
        for more in (
            [f"--config={tmp_path / 'mine.py'}"],
            ["--config=configs/base.py", "--config.student.auxiliary_layer=7"],
            ["--config=configs/base.py", "--config.student.auxiliary_tap=layer7"],
            ["--config=configs/base.py"],
        )
    ]
    hashes = [re.search(r"student .* ([0-9a-f]{8}) *\n", text)[1] for text in plans]
    assert len(set(hashes[:3])) == 1 and hashes[3] != hashes[0]


def test_a_stage_of_before_is_reused_compared_and_read(run_py, chain, toy_city, tmp_path):
    """Its record has the fields of then."""
    workdir = tmp_path / "old"
    shutil.copytree(chain[0], workdir)
    for file in (workdir / "stages").glob("*/record.json"):
        record = json.loads(file.read_text())
        record["config"] = records.plain(old())
        file.write_text(json.dumps(record))
    words = tiny_runs.arguments(toy_city, workdir, goal="case_a", **{"eval.checkpoint": ""})
    ended = run_py([*words, "--mode=plan"])
    assert ended.code == 0 and "to be trained" not in ended.stdout, ended.stdout + ended.stderr
    ended = run_py(["--mode=compare", str(chain[0]), str(workdir), "--full"])
    assert not re.search("auxiliary|main_tap|output_stride|normaliser", ended.stdout), ended.stdout
    folder = tiny_runs.stage_folder(workdir, "student")
    model = Segmenter("tiny", 19)
    weights.load(folder, model)
    with pytest.raises(UserError, match="tells of auxiliary_tap 'layer6', and the network .* has 'layer7'"):
        weights.load(folder, model.clone(auxiliary_tap="layer7"))
    contradicts = [*words, f"--config.eval.checkpoint={folder}", "--mode=evaluate"]
    ended = run_py([*contradicts, "--config.student.auxiliary_layer=7"])
    tiny_runs.one_line(ended, "--config.student.auxiliary_tap=layer7 contradicts .*, which says layer6")
