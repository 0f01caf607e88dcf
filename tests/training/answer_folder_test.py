"""Answers that another program made: what a folder may hold, what becomes of it, and what is told of a wrong one."""

import io
import json
import re

import numpy as np
import pytest
import tiny_runs
from PIL import Image
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.stages.experiment import Experiment
from dakd_jax.training.teaching import answer_folder, forms
from dakd_jax.training.teaching.forms import HandedIn
from data_pipelines.feeding.feed import Feed

RNG = np.random.default_rng(0)


# What an answer means


def softmax(x):
    e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_logits_of_other_classes_become_log_probabilities_of_ours():
    logits = RNG.normal(0, 2, (2, 4, 6, 5)).astype(np.float16)
    ours = (2, 0, 1, 0, -1)  # two of theirs are one of ours, and one is none
    expected = np.zeros((2, 4, 6, 3))
    for theirs, one in enumerate(ours):
        if one >= 0:
            expected[..., one] += softmax(logits)[..., theirs]
    expected = np.log(expected / expected.sum(-1, keepdims=True))
    for first in (False, True):
        form = HandedIn("logits", (4, 6, 5), first, ours, 3, "float16")
        rows = (np.moveaxis(logits, -1, 1) if first else logits).reshape(2, -1)
        assert rows.shape[1] == form.entries
        found = form.said(rows, (4, 6)).log_probs
        for level in ("main", "auxiliary"):
            np.testing.assert_allclose(found[level], expected, atol=1e-5)


def test_probabilities_of_another_size_are_resized_as_probabilities():
    probabilities = softmax(RNG.normal(0, 2, (1, 4, 6, 3))).astype(np.float32)
    form = HandedIn("probabilities", (4, 6, 3), False, (0, 1, 2), 3, "float32")
    found = np.exp(form.said(probabilities.reshape(1, -1), (8, 12)).log_probs["main"])
    # Half-pixel centres at twice the size: quarters of the neighbours.
    padded = np.pad(probabilities[0], ((1, 1), (1, 1), (0, 0)), "edge")
    rows = np.stack([0.25 * padded[:-2] + 0.75 * padded[1:-1], 0.75 * padded[1:-1] + 0.25 * padded[2:]], 1)
    rows = rows.reshape(8, 8, 3)
    both = np.stack([0.25 * rows[:, :-2] + 0.75 * rows[:, 1:-1], 0.75 * rows[:, 1:-1] + 0.25 * rows[:, 2:]], 2)
    np.testing.assert_allclose(found[0], both.reshape(8, 12, 3), atol=1e-6)


def test_labels_have_the_confidence_of_their_pixel_or_of_all():
    labels = np.array([[[0, 1], [2, 3]]], np.uint8)
    confidence = np.array([[[255, 128], [51, 0]]], np.uint8)
    ours, each = (1, 0, 2, 3), [0.99, 128 / 255, 0.25, 0.25]  # at most 0.99, at least what says nothing
    for sure, rows, of in ((0.0, (labels, confidence), each), (0.7, (labels,), [0.7] * 4)):
        form = HandedIn("labels", (2, 2, 4), False, ours, 4, "uint8", sure)
        row = np.concatenate([one.reshape(1, -1) for one in rows], axis=1)
        assert row.shape[1] == form.entries
        expected = [
            [of[i] if one == chosen else (1 - of[i]) / 3 for one in range(4)] for i, chosen in enumerate((1, 0, 2, 3))
        ]
        found = np.exp(form.said(row, (2, 2)).log_probs["main"])
        np.testing.assert_allclose(found.reshape(4, 4), expected, atol=1e-6)


@pytest.mark.parametrize(
    "form",
    [HandedIn("labels", (2, 2, 4), False, (1, 0, 2, 3), 4, "uint8", 0.5)],
    ids=str,
)
def test_a_form_comes_back_from_json(form):
    pairs = (("source", form),)
    assert forms.of_told(json.loads(json.dumps(forms.told(pairs)))) == pairs


# A folder


@pytest.fixture
def made(toy_city, tmp_path):
    """(config's changes, folder) of answers of probabilities to all pictures of the toy city."""
    chosen = tiny_runs.config(toy_city, goal=("case_c",))
    feed, folder = Feed(chosen.data), tmp_path / "answers"
    for domain in ("source", "target"):
        for example in feed.training_pictures(domain).examples:
            path = folder / domain / f"{example.name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, softmax(RNG.normal(0, 1, (8, 16, 19))).astype(np.float32))
    domain = {"size": [16, 8]}
    manifest = {
        "format": 1, "kind": "probabilities", "classes": list(feed.class_names), "made_by": "a test", "licence": "MIT",
        "domains": {"source": domain, "target": domain},
    }  # fmt: skip
    (folder / "answers.json").write_text(json.dumps(manifest))
    return folder


def rewrite(folder, **changes):
    manifest = json.loads((folder / "answers.json").read_text()) | changes
    (folder / "answers.json").write_text(json.dumps(manifest))


def experiment_of(toy_city, folder, workdir, console=None, **changes):
    fields = {"goal": ("case_c",), "replace.teacher": str(folder), **changes}
    chosen = tiny_runs.config(toy_city, **fields)
    return Experiment(chosen, Feed(chosen.data), workdir, console or Console(file=io.StringIO(), width=300))


def test_a_case_is_trained_from_the_answers_without_any_teacher(toy_city, made, tmp_path):
    console = Console(file=io.StringIO(), width=300)
    # Without anything else to learn from the target a step is compiled in half the time.
    changes = {"goal": ("case_a",), "adaptation.methods": (), "data.mirror": True}
    experiment = experiment_of(toy_city, made, tmp_path / "run", console, **changes)
    assert list(experiment.plan) == ["case_a"]
    (source, target) = experiment.teacher_notes()
    assert "probabilities, 16x8" in source and "(made by: a test)" in target
    experiment.check()
    experiment.evaluator = None
    with tiny_runs.quick_compilation():
        experiment.ensure("case_a")
    (folder,) = (tmp_path / "run" / "stages").iterdir()
    record = json.loads((folder / "record.json").read_text())
    assert record["status"] == "finished" and record["identity"]["parents"]["teacher"].startswith("answers:")
    assert record["teacher_answers"] == {"source": "handed in: a test"}
    assert record["licences"]["the teacher's answers"] == "MIT"
    losses = [row["loss/source/kl_main"] for row in tiny_runs.metric_rows(folder) if row["kind"] == "train"]
    assert len(losses) == tiny_runs.STEPS and all(0 < loss < 10 for loss in losses)


def test_the_answers_count_by_their_content_and_the_teachers_network_does_not(toy_city, made, tmp_path):
    def hash_of(**changes):
        return experiment_of(toy_city, made, tmp_path, **changes).plan["case_c"].hash

    before = hash_of()
    assert hash_of(**{"teacher.width": 0.5, "teacher.views.mirror": True}) == before
    rewrite(made, made_by="another name")
    assert hash_of() == before
    file = next((made / "target").rglob("*.npy"))
    np.save(file, np.load(file)[:, :, ::-1])
    assert hash_of() != before


def test_a_mirrored_picture_has_the_mirrored_answer(toy_city, made):
    names = tuple(Feed(tiny_runs.config(toy_city).data).class_names)
    domain = answer_folder.read(str(made), names).domains["target"]
    name = str(next((made / "target").rglob("*.npy")).relative_to(made / "target").with_suffix(""))
    plain, mirrored = (domain.row(name, flipped).reshape(8, 16, 19) for flipped in (False, True))
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])


def _spoil(content):
    def change(folder):
        file = next((folder / "source").rglob("*.npy"))
        np.save(file, content(np.load(file)), allow_pickle=True)

    return change


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda f: (f / "answers.json").write_text("{"), ["answers.json cannot be read as JSON"]),
        (lambda f: rewrite(f, format=2), ["'format' is 2", "expected 1"]),
        (lambda f: rewrite(f, kind="guesses"), ["'kind' is 'guesses'", "logits, probabilities, labels"]),
        (lambda f: rewrite(f, colour=1), ["'colour' is unknown"]),
        (lambda f: rewrite(f, classes=["road"]), ["no class means the run's 'sidewalk'"]),
        (lambda f: rewrite(f, class_map={"road": "street"}), ["'road' means 'street'"]),
        (lambda f: rewrite(f, domains={"source": {"size": [16, 8], "folder": "../x"}}), ["'folder' is '../x'"]),
        (lambda f: rewrite(f, domains={"source": {"size": [16, 8]}}), ["no answers on the target, which case_c"]),
        (lambda f: rewrite(f, domains=dict.fromkeys(("source", "target"), {"size": [8, 8]})), ["8x16x19 of float32"]),
        (lambda f: next((f / "target").rglob("*.npy")).unlink(), ["has no .*.npy or .npz"]),
        (_spoil(lambda x: x.astype(object)), ["\\.npy: .*object"]),
        (_spoil(lambda x: x.astype(np.float64)), ["float64"]),
        (_spoil(lambda x: x * np.nan), ["not finite"]),
        (_spoil(lambda x: x * 2), ["add up to 1"]),
        (lambda f: next((f / "source").rglob("*.npy")).write_bytes(b"no array"), ["cannot be read", "write it anew"]),
    ],
    ids=range(15),
)  # fmt: skip
def test_a_wrong_folder_is_told_in_a_line_before_any_work(toy_city, made, tmp_path, change, parts):
    change(made)
    with pytest.raises(UserError) as caught:
        experiment_of(toy_city, made, tmp_path / "run").check()
    for part in parts:
        assert re.search(part, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"data.scale": (0.5, 1.0)}, "data.scale and data.crop"),
        ({"loss.mse_on": "features"}, "compares features"),
        ({"goal": ("teacher", "case_a")}, "config.goal names 'teacher'"),
    ],
    ids=str,
)
def test_what_answers_cannot_do_is_refused(toy_city, made, tmp_path, changes, part):
    with pytest.raises(UserError, match=part):
        experiment_of(toy_city, made, tmp_path / "run", **changes).check()


def test_labels_are_of_the_runs_classes(toy_city, made, tmp_path):
    for domain in ("source", "target"):
        for file in (made / domain).rglob("*.npy"):
            Image.fromarray(RNG.integers(0, 19, (8, 16), dtype=np.uint8)).save(file.with_suffix(".png"))
    rewrite(made, kind="labels")
    experiment_of(toy_city, made, tmp_path / "run").check()
    Image.fromarray(np.full((8, 16), 255, np.uint8)).save(next((made / "source").rglob("*.png")))
    with pytest.raises(UserError, match="class 255 at some pixel"):
        experiment_of(toy_city, made, tmp_path / "run").check()


def test_the_example_of_the_docs_teaches(toy_city, tmp_path, monkeypatch):
    text = (tiny_runs.PROJECT / "docs" / "any_teacher.md").read_text()
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    chosen = tiny_runs.config(toy_city)
    monkeypatch.setattr("configs.demo.get_config", lambda: chosen)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/any_teacher.md", "exec"), {})
    experiment = experiment_of(toy_city, "my_answers", tmp_path / "run", goal=("case_b",))
    experiment.check()
    assert experiment.teacher_notes() == [
        "teacher on target pictures: probabilities, 16x8, in my_answers/target (made by: the colour blue)"
    ]
