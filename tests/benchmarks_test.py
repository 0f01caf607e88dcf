"""The step beside PyTorch's, and the script for a machine with a GPU, at tiny size on the CPU."""

import contextlib
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
import torch
from tiny_runs import PROJECT, environment, quick_compilation

from benchmarks import card_rivals, growth, steps
from benchmarks.torch_rival import drn, parts
from dakd_jax.deploy.card import collecting, runtimes
from dakd_jax.models import segmenter
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.training import train_state
from dakd_jax.training.step.train_step import train_step
from data_pipelines.doctor import command_line

# By curve, relative, float32 on both sides: 2.5e-6 was seen within three steps, and without weight decay 2e-5 in the
# second and 5e-5 in the third. At rates this high two more steps would multiply what rounding does by a hundred.
SAME, STEPS = 1e-5, 3
RATES = {"segmenter": 3e-2, "discriminator": 1e-2}  # high, so that what a step changes is seen in the next losses
PARTS = ("float32_compiled",)  # --tiny alone runs all


@contextlib.contextmanager
def one_thread():
    """More of PyTorch's threads than free cores wait for each other at every small operation.

    And without oneDNN, whose 3.12 crashes in gradients of convolutions of few channels on a CPU without AVX-512.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.mkldnn.flags(enabled=False):
            yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def case_c():
    """(arguments, fixed) of a step of case (c) of tiny networks, and the batch; sizes that no stride divides."""
    batch = steps.made_up_batch(2, (68, 34), (84, 52))
    batch["source_label"][:, :9] = 255
    return *steps.prepared(steps.NETWORKS["tiny"](), "case_c", batch, RATES), batch


def test_the_rival_of_case_c_does_the_same_work(case_c):
    (state, teacher, arrays, weights, rates), fixed, batch = case_c
    how = parts.How()
    adam = fixed["options"].methods[0].optimizer
    rival = drn.Rival(fixed["models"], state, teacher, weights, rates, optimizer=fixed["optimizer"], adam=adam, how=how)
    with quick_compilation(), one_thread():
        state = train_state.copied(state)  # the step eats it
        compiled = train_step.lower(state, teacher, arrays, weights, rates, **fixed).compile()
        for _ in range(STEPS):
            state, watched = compiled(state, teacher, arrays, weights, rates)
            theirs = {curve: float(value) for curve, value in rival.step(how.batch(batch)).items()}
            ours = {curve: float(watched[curve]) for curve in watched if curve.startswith("loss/")}
            assert ours == pytest.approx(theirs, rel=SAME)
    assert watched["norm/gradient/segmenter"] > 0.01  # something was learnt


def test_the_rival_that_is_given_the_teachers_answers_has_the_same_losses(case_c):
    arguments, fixed, batch = case_c
    with quick_compilation(), one_thread():
        (state, teacher, arrays, weights, rates), kept = steps.with_answers(arguments, fixed)
        assert teacher is None
        how, adam = parts.How(), fixed["options"].methods[0].optimizer
        given = {"optimizer": fixed["optimizer"], "adam": adam, "how": how}
        found = []
        for of, forms, seen in ((arguments[1], {}, batch), (None, dict(kept["options"].answers), arrays)):
            rival = drn.Rival(fixed["models"], state, of, weights, rates, answers=forms, **given)
            seen = how.batch({name: np.asarray(array) for name, array in seen.items()})
            answers = [seen.get(f"teacher_{domain}_answers") for domain in ("source", "target")]
            source = rival._source_loss(seen["source_image"], seen["source_label"], answers[0])[1]
            losses = source | rival._target_loss(seen["target_image"], answers[1])[1]
            found.append({curve: float(value) for curve, value in losses.items()})
            assert (rival.teacher is None) == (of is None)
    assert found[1] == pytest.approx(found[0], rel=SAME)
    assert min(value for curve, value in found[0].items() if "kl" in curve or "mse" in curve) > 1e-5


def test_growth_is_measured_along_an_axis(capsys, monkeypatch):
    arguments = ["growth", "--network=tiny", "--axes=pictures", "--batch_size=1,2", "--classes=5", "--size=64x32"]
    arguments += ["--width=1", "--steps=1"]
    with quick_compilation():
        assert command_line.main(arguments, growth.define_flags, growth.run, growth.__doc__) == 0
    told = json.loads(capsys.readouterr().out)
    one, two = told["points"]["pictures"]
    assert (one["pictures"], two["pictures"], one["pixels"], one["classes"]) == (1, 2, 2048, 5)
    assert one["parameters"] == two["parameters"] > 9_000
    # What is done to weights and optimisers, once a step, is all that does not grow.
    assert 1.8 < two["gflop"] / one["gflop"] < 2 and two["temporary_mib"] > 1.2 * one["temporary_mib"]
    assert 0.8 < told["fits"]["pictures"]["gflop"]["share_at_base"] < 1 and one["seconds"] > 0
    assert set(told["fits"]) == {"pictures"}


@pytest.mark.parametrize(("constant", "slope"), [(0.0, 3.0), (6.0, 0.5), (4.0, 0.0)])
def test_a_line_is_found_again(constant, slope):
    points = [{"pixels": x, "seconds": constant + slope * x} for x in (2, 8, 32)]
    found = growth.fitted(points, "pixels", "seconds", base=8)
    share = slope * 8 / (constant + slope * 8)
    assert found == {
        "share_at_base": pytest.approx(share, abs=1e-3),
        "per_unit": pytest.approx(slope, abs=1e-9),
        "worst": 0,
    }
    points[1]["seconds"] *= 1.5
    assert growth.fitted(points, "pixels", "seconds", base=8)["worst"] > 0.1
    assert growth.fitted(points[:1], "pixels", "seconds", base=8) is None


def test_growth_refuses_values_that_are_none(capsys):
    for wrong in ("--size=64", "--classes=0", "--width=x", "--axes=height"):
        assert command_line.main(["growth", wrong], growth.define_flags, growth.run, "") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and wrong[2:].split("=")[0] in line


def test_the_rival_computes_in_bfloat16(case_c):
    (state, teacher, _, weights, rates), fixed, batch = case_c
    given = {"optimizer": fixed["optimizer"], "adam": fixed["options"].methods[0].optimizer}
    with one_thread():
        totals = []
        for bfloat16 in (False, True):
            how = parts.How(bfloat16=bfloat16)
            rival = drn.Rival(fixed["models"], state, teacher, weights, rates, **given, how=how)
            totals.append({of: float(value) for of, value in rival.step(how.batch(batch)).items() if "total" in of})
    assert totals[0] != totals[1] and totals[1] == pytest.approx(totals[0], rel=2e-2)


@pytest.mark.parametrize("arch", ["drn_d_22", "drn_d_38"])
def test_the_rivals_networks_are_ours(arch):
    model = Segmenter(arch=arch, num_classes=5, width=0.0625)
    variables = jax.tree_util.tree_map_with_path(steps.made_up, segmenter.blank_segmenter(model))
    pictures = steps.made_up_batch(1, (68, 44), (32, 32))["source_image"]
    with quick_compilation(), one_thread():
        heads = jax.jit(lambda of: segmenter.forward(model, of, pictures)[0].log_probabilities((44, 68)))(variables)
        with torch.no_grad():
            theirs = drn.Segmenter(model, variables, parts.How()).eval()(torch.tensor(pictures))
    for level in parts.LEVELS:
        np.testing.assert_allclose(heads[level], theirs[level].permute(0, 2, 3, 1).numpy(), atol=2e-5)
        assert np.ptp(theirs[level].numpy()) > 0.1


def pytorch_rows(tmp_path, monkeypatch, network):
    """Of a card: (subject, picture of a size that no stride divides, arguments of eager PyTorch and of its export)."""
    monkeypatch.setitem(card_rivals.NETWORKS, network, (card_rivals.NETWORKS[network][0], (68, 44)))
    subject = card_rivals._made_up(network, tmp_path)
    rows, _ = card_rivals._in_pytorch(
        subject, (68, 44), collecting.CardSettings(threads=(1,)), tmp_path, eager_only=True
    )
    picture = steps.made_up_batch(1, (68, 44), (32, 32))["source_image"]
    return subject, picture, *(row.order.arguments for row in rows)


def test_what_a_card_has_of_pytorch_says_what_ours_says(tmp_path, monkeypatch):
    with one_thread(), quick_compilation():
        subject, picture, eager, exported = pytorch_rows(tmp_path, monkeypatch, "tiny")
        how = {"path": subject.path, "how": subject.how}
        ours, labels = (runtimes.open_jax(**how, output=output)(picture) for output in ("logits", "labels"))
        for opened, given in ((card_rivals.open_torch, eager), (runtimes.open_file, exported)):
            np.testing.assert_allclose(opened(**given, output="logits")(picture).transpose(0, 2, 3, 1), ours, atol=1e-5)
            assert np.mean(opened(**given, output="labels")(picture)[0] == labels) > 0.999
    assert len(np.unique(labels)) > 2


def test_pytorchs_export_of_a_lite_says_what_it_says(tmp_path, monkeypatch):
    with one_thread():
        _, picture, eager, exported = pytorch_rows(tmp_path, monkeypatch, "lite0")
        logits = card_rivals.open_torch(**eager, output="logits")(picture)
        found = runtimes.open_file(**exported, output="logits")(picture)
    np.testing.assert_allclose(found, logits, atol=1e-4 * np.ptp(logits))


def test_everything_for_a_gpu_runs_on_a_cpu(tmp_path):
    out = tmp_path / "folder" / "out.json"
    arguments = ["--tiny", "--minutes=60", f"--parts={','.join(PARTS)}", f"--out={out}"]
    command = [sys.executable, "-m", "benchmarks.on_gpu", *arguments]
    ended = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(out.read_text())["parts"]
    assert list(found) == list(PARTS) and not [part for part in found.values() if "error" in part], found
    beside = found["float32_compiled"]
    assert beside["losses_apart"] < 5e-5 and beside["forward_apart"] < 5e-5 and beside["rival"]["compiled"] == "eager"
    assert min(beside["seconds"].values()) > 0 and set(beside["ratio"]) == {"step", "forward"}
    assert all(0 < beside["share_of_peak"][of] < 1 for of in ("ours", "rival"))
    assert all(beside["memory_gib"][of]["peak"] >= beside["memory_gib"][of]["state"] > 0 for of in ("ours", "rival"))
    assert beside["memory_gib"]["ours"]["plan"]["computing"] > 0


OWN_PARTS = """
import os, subprocess, sys
from benchmarks import on_gpu

def fails():
    raise ValueError("no\\nway")

jobs = {"fails": fails, "hangs": lambda: subprocess.run(["sleep", "60"]), "dies": lambda: os._exit(7)}
given = {name: on_gpu.Part(0.01 if name == "hangs" else 1, {"": job}) for name, job in jobs.items()}
given["works"] = on_gpu.Part(1, {"a": lambda: {"x": 1}, "b": lambda: {"x": 2}}, at_once=True)
given["half"] = on_gpu.Part(1, {"a": lambda: {"x": 1}, "b": fails})
on_gpu.parts = lambda tiny: given
on_gpu._set_up = lambda tiny, folder: None
sys.exit(on_gpu.command_line.main(sys.argv, on_gpu.define_flags, on_gpu.run, ""))
"""


def test_a_part_that_fails_or_takes_too_long_is_its_error_and_the_rest_goes_on(tmp_path):
    found = own_parts(tmp_path / "out.json")
    assert found["fails"]["error"] == "ValueError: no"
    assert "no more time" in found["hangs"]["error"]
    assert found["dies"]["error"] == "its process ended with exit code 7"
    assert found["works"]["a"] == {"x": 1} and found["works"]["b"] == {"x": 2}
    assert found["half"]["error"] == "b: ValueError: no" and found["half"]["a"] == {"x": 1}


def test_parts_that_would_begin_too_late_are_skipped(tmp_path):
    found = own_parts(tmp_path / "out.json", "--minutes=0", "--parts=works,fails")
    assert found == {name: {"skipped": "no time was left"} for name in ("works", "fails")}


def own_parts(out, *arguments):
    """The parts in the JSON of a run of OWN_PARTS."""
    command = [sys.executable, "-c", OWN_PARTS, f"--out={out}", *arguments]
    ended = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(out.read_text())["parts"]
