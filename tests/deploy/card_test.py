"""dakd card: what it counts against closed forms, how it measures, what it writes, and where it is shown."""

import importlib.util
import io
import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest
import report_examples
import tiny_runs
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS
from dakd_jax.deploy.card import card_page, collecting, counts, latency, runtimes, subjects
from dakd_jax.deploy.card.latency import Order
from dakd_jax.deploy.export.program import NetworkProgram
from dakd_jax.models import segmenter
from dakd_jax.models.backbones import drn
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.studies.experiment import page
from dakd_jax.studies.kit import more_pages, stamp, trade

# Counts


@pytest.mark.parametrize(
    ("shape", "kernel", "how"),
    [
        ((1, 9, 7, 4), (3, 3, 4, 5), {"window_strides": (1, 1), "padding": "SAME"}),
        ((2, 9, 7, 4), (3, 5, 4, 5), {"window_strides": (2, 3), "padding": [(0, 3), (2, 1)]}),
        ((1, 9, 8, 4), (3, 3, 1, 8), {"window_strides": (1, 2), "padding": "SAME", "feature_group_count": 4}),
        ((1, 9, 8, 4), (3, 3, 4, 2), {"window_strides": (1, 1), "padding": "SAME", "rhs_dilation": (4, 2)}),
        ((1, 5, 4, 3), (3, 3, 3, 2), {"window_strides": (1, 1), "padding": [(2, 2), (2, 2)], "lhs_dilation": (2, 3)}),
    ],
    ids=["same", "strides", "groups", "dilated", "transposed"],
)
def test_a_convolution_is_counted_as_its_ones_add_up(shape, kernel, how):
    """A convolution of ones by ones tells at each place how often it multiplies."""

    def convolved(x, by):
        return jax.lax.conv_general_dilated(x, by, dimension_numbers=("NHWC", "HWIO", "NHWC"), **how)

    found = counts.count(convolved, *(jax.ShapeDtypeStruct(of, np.float32) for of in (shape, kernel)))
    made = convolved(np.ones(shape, np.float32), np.ones(kernel, np.float32))
    assert found.macs_inside == int(made.sum())
    assert found.macs == made.size * np.prod(kernel[:3])
    assert found.others == 0


def test_matrix_products_what_is_not_used_and_other_arithmetic():
    def function(x):
        unused = x @ x.T  # noqa: F841
        y = jax.nn.relu(jax.numpy.einsum("ij,jk->ik", x, np.ones((5, 7), np.float32)) + 1)
        return jax.jit(lambda y: y * 2)(y).T

    found = counts.count(function, jax.ShapeDtypeStruct((3, 5), np.float32))
    assert (found.macs, found.macs_inside, found.others) == (3 * 5 * 7, 3 * 5 * 7, 3 * 21)


@pytest.fixture(scope="module")
def tiny():
    """(model, weights)."""
    model = Segmenter(arch="tiny", num_classes=19)
    return model, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), segmenter.blank_segmenter(model))


def test_the_gmacs_of_a_network_are_those_of_its_layers(tiny):
    model, variables = tiny
    height, width = 48, 64
    expected = 0
    for path, kernel in jax.tree_util.tree_leaves_with_path(variables["params"]):
        names = [key.key for key in path]
        if names[-1] == "kernel" and names[0] != "seg2":  # the auxiliary head says no label
            stride = drn.STRIDES[int(next((n for n in names if n.startswith("layer")), "layer8").removeprefix("layer"))]
            expected += kernel.size * (height // stride) * (width // stride)
    found = counts.of_network(NetworkProgram(model, variables, (height, width)))
    assert found["network"] * 1e9 == pytest.approx(expected)
    rows, columns, classes, low = height, width, model.num_classes, (height // 8, width // 8)
    upsampling = rows * low[0] * low[1] * classes + rows * columns * low[1] * classes
    assert (found["with_upsampling"] - found["network"]) * 1e9 == pytest.approx(upsampling)
    assert found["gflop"]["apart"] < 0.02 and found["gflop"]["by_hand"] > 1e-3


# Measuring


@pytest.fixture
def orders(tmp_path, monkeypatch):
    """A function of changes of two rows to what they wrote down and what was measured."""
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parent))
    told = tmp_path / "told.txt"

    def measured(runs, **changes):
        told.unlink(missing_ok=True)
        rows = [
            Order(
                "card_openers:openable", {"told": str(told), "name": name, "threads": number, **how}, ("json",), 1, size
            )
            for number, (name, size, how) in enumerate((("a", (40, 32), {}), ("b", (33, 35), changes)))
        ]
        turns = []
        found = latency.measure(rows, runs, lambda: turns.append(1))
        assert len(turns) == latency.units(rows, runs)
        return found, told.read_text().splitlines()

    return measured


def test_rows_take_turns_in_processes_of_their_own(orders):
    found, told = orders(5)
    assert [one.problem for one in found] == ["", ""]
    start = [
        f"{name} {what}"
        for name, of in (("a", "1x32x40x3"), ("b", "1x35x33x3"))
        for what in ("loads labels", f"labels 1 {of}")
    ]
    assert told[:12] == 3 * start
    turn = [line.split()[0] + line.split()[1][:6] for line in told[12:] if "loads" not in line]
    each = ["alabels", "alogits", "blabels", "blogits"]
    assert turn == [one for calls in (4 + 1, 1 + 1) for one in each for _ in range(calls)]
    for number, one in enumerate(found):
        assert set(one.labels.flat) == {number} and one.labels.shape == ((32, 40), (35, 33))[number]
        assert {output: len(seconds) for output, seconds in one.seconds.items()} == {"labels": 5, "logits": 5}
        assert len(one.starts) == 3 and all(55e6 < start["peak"] < 85e6 for start in one.starts)


@pytest.mark.parametrize(
    ("fails", "said"),
    [("labels", "ValueError: cannot be run"), ("logits", "logits: ValueError: cannot be run"), ("dies", "exit code 3")],
)
def test_a_row_that_fails_is_told_and_the_others_go_on(orders, fails, said):
    (whole, broken), _ = orders(2, fails=fails)
    assert said in broken.problem and "\n" not in broken.problem
    assert not whole.problem and len(whole.seconds["logits"]) == 2


def test_percentiles():
    found = latency.percentiles([i / 1000 for i in range(1, 101)])
    assert found == {"p50": 50.5, "p90": 90.1, "p99": 99.01, "best": 1.0}


# The card of a network


@pytest.fixture
def card(chain, tmp_path, monkeypatch):
    """(what the command prints, card.json) of a stage and its teacher, measured in jax and ONNX Runtime."""
    monkeypatch.setattr(latency, "STARTS", 1)
    console = Console(file=io.StringIO(), width=200)
    net = f"{chain[0]}#case_d"
    flags = {
        "output": str(tmp_path / "card"),
        "beside": [],
        "size": None,
        "threads": (0,),
        "runs": 2,
        "formats": ("onnx",),
    }
    context = tiny_runs.context(tiny_runs.config(tmp_path), tmp_path, console, "card", **flags)
    object.__setattr__(context, "words", (net,))
    with tiny_runs.quick_compilation():
        COMMANDS["card"].run(context)
    return console.file.getvalue(), trade.read(tmp_path / "card" / "card.json")


def test_a_card_is_whole(card, chain, tmp_path):
    text, found = card
    (network,) = found["networks"]
    folder = tiny_runs.stage_folder(chain[0], "case_d")
    record = json.loads((folder / "record.json").read_text())
    (told,) = (json.loads(path.read_text()) for path in folder.glob("evaluation-native-*.json"))
    assert (
        network["name"] == "case_d" and network["stage"] == record["hash"] and network["size"] == list(tiny_runs.SIZE)
    )
    assert network["score"] == {"miou": round(100 * told["scores"]["miou"], 2), "protocol": "native"}
    assert network["parameters"] == 5074 and network["gmacs"]["gflop"]["apart"] < 0.02
    assert found["left_out"] == [] and found["runs"] == 2 and found["machine"]["versions"]["jax"] == jax.__version__
    assert [(row["runtime"], row["file_mb"] is None) for row in found["rows"]] == [
        ("JAX", True),
        ("ONNX Runtime", False),
    ]
    for row in found["rows"]:
        for times in (*row["warm_ms"].values(), row["cold_ms"]):
            assert 0 < times["best"] <= times["p50"] <= times["p90"] <= times["p99"]
        assert set(row["warm_ms"]) == {"labels", "logits"}
        assert row["labels_as_jax"] == 1 and row["peak_memory_mb"] > 0 and row["threads"] == len(latency.usable_cores())
    folder = tmp_path / "card"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"card.json", "card.md", "index.html", "figures/trade.png"}
    shown = (folder / "index.html").read_text()
    for words in ("case_d (", "labels a picture of 64x32 in", "ONNX Runtime", "data:image/png;base64,", "GFLOP"):
        assert words in shown
    section = trade.markdown_section(found, level=3)
    assert section.startswith(f"### {trade.HEADING}\n") and section.count("| case_d") == 3
    assert (folder / "card.md").read_text().startswith(f"# {trade.HEADING}\n")
    assert "ONNX Runtime" in text and f"Card: {folder / 'index.html'}" in text


def made_up(**network):
    """A card of two networks and two runtimes that nothing has measured."""
    times = {"p50": 2.0, "p90": 3.0, "p99": 4.0, "best": 1.0}
    score, gmacs = {"miou": 40.0, "protocol": "native"}, {"network": 1.5, "with_upsampling": 1.6}
    gmacs["gflop"] = {"by_hand": 3.0, "of_the_program": 3.1, "apart": 0.03}
    networks = [
        {"name": name, "stage": stage, "size": [64, 32], "parameters": 5000, "gmacs": gmacs, "score": score} | network
        for name, stage in (("student", "ab"), ("case_d", "cd"))
    ]
    rows = [
        {"network": name, "teaching": "", "runtime": runtime, "dtype": "float32", "threads": threads, "file_mb": 1.0}
        | {
            "warm_ms": {"labels": times, "logits": times},
            "cold_ms": times,
            "peak_memory_mb": 10.0,
            "labels_as_jax": 1.0,
        }
        for name in ("student", "case_d")
        for runtime in ("JAX", "<b>Mine")
        for threads in (1, 2)
    ]
    rows.append(rows[0] | {"teaching": "student as it teaches", "warm_ms": {"labels": times}, "threads": 2})
    machine = {"cpu": "a CPU", "cores": 2, "load": {"before": 0.1, "after": 0.2}, "versions": {"jax": "1"}}
    left_out = [{"runtime": "LiteRT", "why": "no"}]
    return {
        "format": 1, "command": "dakd card x", "date": "2026-01-01", "machine": machine, "runs": 5, "starts": 1,
        "methods": latency.METHODS, "networks": networks, "rows": rows, "left_out": left_out,
    }  # fmt: skip


def test_a_card_without_scores_shows_latency_alone(tmp_path):
    without = made_up(score={"miou": None, "why": "the run has not been evaluated"})
    (axis,) = trade.figure(without).axes
    assert "latency alone" in axis.get_title() and [t.get_text() for t in axis.get_yticklabels()] == [
        "student",
        "case_d",
    ]
    assert "student has no mIoU here: the run has not been evaluated." in trade.network_table(without).caption
    (axis,) = trade.figure(made_up()).axes
    assert axis.get_ylabel() == "mIoU (%)" and not axis.get_title()
    shown = card_page.write(without, tmp_path / "card").read_text()
    assert "&lt;b&gt;Mine" in shown and "<b>Mine" not in shown and "Left out: LiteRT: no." in shown
    assert any("1.00 times as long as student there" in one for one in trade.sentences(without))


def test_a_report_shows_the_card_of_its_own_networks(tmp_path):
    stages = {"student": "ab", "case_d": "cd", "teacher": "ef"}
    report = page.write_report(report_examples.experiment(record={"stages": stages}), tmp_path / "report_x")
    with stamp.writing(report, {"stages": stages}):
        pass
    before = report.read_text()
    assert trade.HEADING not in before
    card_page.write(made_up(), tmp_path / more_pages.CARD)
    card_page.update_reports(tmp_path)
    text = report.read_text()
    assert trade.HEADING in text and 'href="../card/index.html"' in text and "&lt;b&gt;Mine" in text
    assert len(text.split(before.partition("<!-- more pages -->")[0])) == 2  # nothing else has changed
    file = tmp_path / more_pages.CARD / "card.json"
    for other in (made_up(stage="another"), {"format": 1, "networks": [], "rows": 3}, {"format": 2}, {"format": 1}):
        file.write_text(json.dumps(other))
        card_page.update_reports(tmp_path)
        assert report.read_text() == before
    file.unlink()
    card_page.update_reports(tmp_path)
    assert report.read_text() == before


# What a card is about


@pytest.fixture
def stage(chain, tmp_path):
    """A copy of a stage's folder."""
    made = tiny_runs.stage_folder(chain[0], "teacher")
    return shutil.copytree(made, tmp_path / "run" / "stages" / made.name)


def score(stage, size=tiny_runs.SIZE):
    found = subjects.find(str(stage))
    return collecting.scores.recorded(found.found, found.stage, size)


def test_a_score_is_that_of_this_network_at_this_size(stage):
    (told,) = stage.glob("evaluation-native-*.json")
    assert score(stage)["miou"] == round(100 * json.loads(told.read_text())["scores"]["miou"], 2)
    assert score(stage, (128, 64)) == {"miou": None, "why": "the run's score is of 64x32"}
    content = json.loads(told.read_text())
    content["of"]["network"] = content["hash"] = "another"
    told.write_text(json.dumps(content))
    assert score(stage) == {"miou": None, "why": "the run has not been evaluated"}
    told.write_text("{")
    assert score(stage)["miou"] is None
    bare = shutil.copy(stage / "model.pth", stage.parent / "bare.pth")
    found = subjects.find(str(bare), arch="tiny", size=tiny_runs.SIZE)
    assert found.stage is None and found.run is None
    assert collecting.scores.recorded(found.found, None, tiny_runs.SIZE)["why"].startswith("no run's record")


def test_a_teacher_of_several_views_has_a_row_of_its_own(stage):
    record = json.loads((stage / "record.json").read_text())
    record["config"]["teacher"]["views"] = {"mirror": True, "scales": [1.0, 1.5], "clean": False}
    (stage / "record.json").write_text(json.dumps(record))
    found = subjects.find(str(stage))
    assert found.teaching == "teacher as it teaches (scales 1, 1.5, mirrored too)" and found.run == stage.parents[1]
    rows, _ = collecting._in_jax(found, tiny_runs.SIZE, collecting.CardSettings(threads=(0,)), stage)
    assert [bool(row.teaching) for row in rows] == [False, True] and rows[1].order.outputs == ("labels",)
    picture = latency.picture(tiny_runs.SIZE)
    with tiny_runs.quick_compilation():
        labels = runtimes.open_teaching(**rows[1].order.arguments, output="labels")(picture)
        told = collecting._network(found, tiny_runs.SIZE)
    assert labels.shape == (1, 32, 64) and labels.dtype == np.uint8
    assert told["teaching"]["gmacs"] == pytest.approx(2 * (1 + 1.5**2) * told["gmacs"]["network"])


def test_a_network_that_is_named_twice_is_there_once(stage):
    one, path = subjects.find(str(stage)), subjects.find(str(stage / "model.pth"))
    shutil.copytree(stage, stage.with_name("teacher-2"))
    other = subjects.find(str(stage.with_name("teacher-2")))
    assert [of.name for of in subjects.told_apart([one, path])] == ["teacher"]
    assert [of.name for of in subjects.told_apart([one, other, path])] == [
        str(stage),
        str(stage.with_name("teacher-2")),
    ]


def test_what_is_not_installed_is_told_in_a_line_and_left_out(stage, monkeypatch):
    there, gone = importlib.util.find_spec, ("ai_edge_litert", "onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in gone else there(name))
    monkeypatch.setattr(collecting, "_measured", lambda orders, runs, console: fake(orders))
    console = Console(file=io.StringIO(), width=200)
    found = collecting.collect([subjects.find(str(stage))], collecting.CardSettings(threads=(0,)), console, command="x")
    install = "pip install -r requirements-deploy.txt"
    assert console.file.getvalue().splitlines() == [
        f"left out: ONNX Runtime: onnx needs onnx: {install}",
        f"left out: LiteRT: tflite needs ai_edge_litert: {install}",
    ]
    assert [row["runtime"] for row in found["rows"]] == ["JAX"] and len(found["left_out"]) == 2


def test_int8_wants_pictures(stage, monkeypatch):
    monkeypatch.setattr(collecting, "_measured", lambda orders, runs, console: fake(orders))
    console, found = Console(file=io.StringIO(), width=200), subjects.find(str(stage))
    pictures = [np.zeros((32, 64, 3), np.uint8)]
    settings = collecting.CardSettings(threads=(0,), formats=("onnx", "onnx:int8"))
    without = collecting.collect([found], settings, console, command="x")
    assert "there are none; name some: --calibrate=FOLDER" in console.file.getvalue()
    assert [row["dtype"] for row in without["rows"]] == ["float32", "float32"]
    whole = collecting.collect([found], settings._replace(calibration=lambda *of: pictures), console, command="x")
    assert [row["dtype"] for row in whole["rows"]] == ["float32", "float32", "int8"]
    assert "ONNX Runtime int8" in trade.latency_table(whole).to_markdown()


def fake(orders):
    labels = np.zeros((32, 64), np.uint8)
    start = {"load": 1.0, "first": 1.0, "peak": 1e6}
    return [latency.Measured([start], {"labels": [1.0], "logits": [1.0]}, labels) for _ in orders]


def test_mistakes_are_one_line(run_py, chain, stage, tmp_path):
    bare = shutil.copy(stage / "model.pth", tmp_path / "bare.pth")
    full = tmp_path / "full"
    full.write_text("")
    own = ["--config.student.arch=tiny", "--config.data.target_size=64,32"]
    for words, said in (
        ([stage, "--size=64"], "--size=64: expected WIDTHxHEIGHT"),
        ([stage, "--size=16x16", f"--output={tmp_path / 'out'}"], "at least 32 pixels"),
        ([stage, "--size=dynamic"], "latency is of one size"),
        ([stage, "--threads=two"], "--threads=two: expected how many, or all"),
        ([stage, "--formats=onnx,coreml"], "coreml is none of stablehlo, stablehlo:float32"),
        ([stage, "--runs=0"], "runs"),
        ([stage, f"--output={full}"], "cannot write the card to"),
        ([bare, *own], "is no stage of a run needs --output=DIR"),
        ([stage, f"--beside={tmp_path / 'nowhere'}"], "no checkpoint at"),
    ):
        ended = run_py(["--config=configs/base.py", f"--workdir={tmp_path / 'w'}", "--mode=card", *map(str, words)])
        tiny_runs.one_line(ended, said)
    assert not (tmp_path / "out" / "card.json").exists()


def test_sizes_and_threads():
    settings = collecting.CardSettings(threads=(0, 1, 10_000))
    assert settings.thread_counts() == sorted({1, len(os.sched_getaffinity(0))})
    with pytest.raises(UserError, match="--size=64x8"):
        collecting.CardSettings(size=(64, 8)).size_of(None)
