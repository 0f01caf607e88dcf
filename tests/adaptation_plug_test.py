"""Adaptation methods that are added by one file: AdaBN from here, FDA from docs/EXTENDING.md, each in a whole run."""

import json
import re

import jax
import numpy as np
import plug_tools
import pytest
import tiny_runs

from dakd_jax.basics import plugs
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives.adaptation import METHODS
from dakd_jax.stages import weights

CHANGES = {
    "goal": "student", "train.steps": 2, "train.eval_every": 0, "train.checkpoint_every": 1, "data.batch_size": 1,
}  # fmt: skip

ADABN = '''
"""AdaBN (Li et al., 2017): the running statistics are those of target pictures, made when the training ends."""

import dataclasses
import itertools

import jax

from dakd_jax.objectives.adaptation import Method, register
from dakd_jax.objectives.context import Option


@register
@dataclasses.dataclass(frozen=True)
class AdaBN(Method):
    batches: int = 3

    NAME = "adabn"
    PASSES = ()
    OPTIONS = {"batches": Option(3, "of target pictures", positive=True)}

    def init(self, key, student, model):
        return {"key": jax.random.key_data(key("adabn")), "steps": 0.0}

    def update(self, state, outputs, batch, tools):
        assert set(outputs) == {"source"}  # it asks for no pass of its own
        return state | {"steps": state["steps"] + 1}, {"loss/adabn/steps": state["steps"] + 1}

    def finish(self, state, student, batches, forward):
        for batch in itertools.islice(batches, self.batches):
            _, statistics = forward(student, batch["target_image"], "batch")
            student = student | {"batch_stats": statistics}
        return student
'''


def run(run_py, toy_city, workdir, plugin, methods, *more):
    words = [*tiny_runs.arguments(toy_city, workdir, **CHANGES), f"--config.plugins={plugin}", *more]
    words.append(f"--config.adaptation.methods={methods}")
    ended = run_py(words)
    assert ended.code == 0, ended.stderr
    return words, tiny_runs.stage_folder(workdir, "student")


def hashes(run_py, words):
    ended = run_py([*words, "--mode=plan"])
    assert ended.code == 0, ended.stderr
    return re.findall(r"^ *student .* (\w{8}) *$", ended.stdout, re.MULTILINE)


@pytest.fixture(scope="module")
def adabn(run_py, toy_city, tmp_path_factory):
    """(plugin, words, stage folder) of a finished run."""
    place = tmp_path_factory.mktemp("adabn")
    (place / "adabn.py").write_text(ADABN)
    return place / "adabn.py", *run(run_py, toy_city, place / "workdir", place / "adabn.py", "adabn")


def test_its_finish_makes_the_weights_that_are_kept(adabn, toy_city):
    """Its statistics differ from those of the last checkpoint, its weights do not; its state is saved."""
    _, _, folder = adabn
    record = json.loads((folder / "record.json").read_text())
    model = Segmenter(arch="tiny", num_classes=19)
    kept = weights.load(folder, model)
    rows = [row for row in tiny_runs.metric_rows(folder) if row["kind"] == "train"]
    assert [row["loss/adabn/steps"] for row in rows] == [1, 2] and record["status"] == "finished"
    assert not any(name.startswith(("loss/target", "loss/discriminator")) for name in rows[0])
    counts = {int(np.asarray(leaf)) for path, leaf in _leaves(kept["batch_stats"]) if path.endswith("count")}
    assert counts == {2 + 3}  # steps of training, and batches of the target


def _leaves(tree):
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in flat]


def test_methods_options_and_source_count_and_nothing_else_does(adabn, run_py, toy_city, tmp_path):
    plugin, words, _ = adabn
    (mine,) = hashes(run_py, words)
    (other,) = hashes(run_py, [*words, "--config.adaptation.adabn.batches=4"])
    plain = [word for word in words if "plugins" not in word and "methods" not in word]
    (adversarial,) = hashes(run_py, plain)
    (loaded,) = hashes(run_py, [*plain, f"--config.plugins={plugin}"])
    assert len({mine, other, adversarial}) == 3 and loaded == adversarial
    changed = tmp_path / "changed.py"
    changed.write_text(plugin.read_text().replace('"adabn"', '"adabn_2"') + "# another version\n")
    again = [word.replace(str(plugin), str(changed)).replace("=adabn", "=adabn_2") for word in words]
    assert hashes(run_py, again)[0] not in (mine, adversarial)


def test_the_documented_example_composes_with_another(run_py, toy_city, tmp_path):
    plugin = tmp_path / "my_fda.py"
    plugin.write_text(plug_tools.example("An adaptation method"))
    more = ("--config.adaptation.my_fda.beta=0.2",)
    _, folder = run(run_py, toy_city, tmp_path / "workdir", plugin, "my_fda,entropy", *more)
    rows = [row for row in tiny_runs.metric_rows(folder) if row["kind"] == "train"]
    assert all(0 < row["loss/target/entropy_main"] <= 1 for row in rows)
    assert not any("adversarial" in name or "discriminator" in name for row in rows for name in row)


def test_the_example_swaps_low_amplitudes_and_keeps_phases(tmp_path):
    file = tmp_path / "my_fda.py"
    file.write_text(plug_tools.example("An adaptation method"))
    with plug_tools.forgotten(METHODS):
        plugs.load([str(file)])
        swap = __import__("sys").modules[METHODS["my_fda"].__module__].swap
        source, target = np.random.default_rng(0).normal(100, 20, (2, 1, 16, 24, 3)).astype(np.float32)
        mixed = np.fft.fft2(np.asarray(swap(source, target, 0.3)), axes=(1, 2))
    of_source, of_target = (np.fft.fft2(x, axes=(1, 2)) for x in (source, target))
    low = (np.abs(np.fft.fftfreq(16))[:, None] <= 0.15) & (np.abs(np.fft.fftfreq(24))[None] <= 0.15)
    np.testing.assert_allclose(np.abs(mixed)[:, low], np.abs(of_target)[:, low], rtol=1e-3)
    np.testing.assert_allclose(mixed[:, ~low], of_source[:, ~low], rtol=1e-3, atol=0.1)


@pytest.mark.parametrize(
    ("methods", "phrase"),
    [("adversaria", "did you mean adversarial"), ("entropy,entropy", "a method can be named once")],
)
def test_mistakes_are_one_line(run_py, toy_city, workdir, methods, phrase):
    words = [*tiny_runs.arguments(toy_city, workdir, **CHANGES), f"--config.adaptation.methods={methods}"]
    tiny_runs.one_line(run_py(words), phrase)


@pytest.mark.parametrize(
    ("number", "right", "wrong", "phrase"),
    [
        (1, "    def update(", "    def updat(", "method 'adabn1': updat is no hook; did you mean update?"),
        (2, '"loss/adabn/steps": state["steps"] + 1', '"x": state.steps', r"adabn.py:\d+: .* method 'adabn2' fails"),
        (3, "    def update(", "    def prepare(self, state, batch, tools):\n        return {}\n\n    def update(",
         "method 'adabn3': prepare gave a batch without source_image"),
    ],
)  # fmt: skip
def test_a_method_that_does_not_keep_to_the_contract_is_one_line_before_any_work(
    run_py, toy_city, tmp_path, number, right, wrong, phrase
):
    plugin, name = tmp_path / "adabn.py", f"adabn{number}"
    assert right in ADABN
    plugin.write_text(ADABN.replace(right, wrong).replace('NAME = "adabn"', f'NAME = "{name}"'))  # the process stays
    words = [*tiny_runs.arguments(toy_city, tmp_path / "workdir", **CHANGES), f"--config.plugins={plugin}"]
    tiny_runs.one_line(run_py([*words, f"--config.adaptation.methods={name}", "--mode=plan"]), phrase)
