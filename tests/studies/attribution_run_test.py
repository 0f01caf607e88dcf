"""--mode=attribution on a real tiny run, and who is who in a plan."""

import dataclasses
import io
import shutil
import types

import jax
import numpy as np
import pytest
import tiny_runs
from attribution_examples import C, attribution, picture
from attribution_networks import CLASSES, MODEL, variables
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.models.segmenter import log_probabilities
from dakd_jax.objectives import paradigms
from dakd_jax.stages.experiment import Experiment
from dakd_jax.studies.attribution import collection
from dakd_jax.studies.kit import stamp
from data_pipelines.feeding.feed import Feed

GOAL = ("student", "case_a")


@pytest.fixture(scope="module")
def config(toy_city):
    return tiny_runs.config(toy_city, goal=GOAL)


@pytest.fixture
def workdir(chain, tmp_path):
    """The chain's stages in a folder of its own; the student has lost its checkpoints."""
    (tmp_path / "stages").mkdir()
    for stage in (chain[0] / "stages").iterdir():
        (tmp_path / "stages" / stage.name).symlink_to(stage)
    student = tiny_runs.stage_folder(tmp_path, "student")
    kept = [path for path in student.iterdir() if path.is_file()]
    student.unlink()
    student.mkdir()
    for path in kept:
        shutil.copy(chain[0] / "stages" / student.name / path.name, student)
    return tmp_path


def test_one_command_counts_and_the_second_only_prints(config, workdir, monkeypatch):
    monkeypatch.setattr(collection, "GRADIENT_BATCHES", 2)
    shown = []

    def write(found, folder, **texts):
        shown.append((found, texts))
        (folder / "index.html").write_text("written elsewhere")
        return folder / "index.html"

    monkeypatch.setattr("dakd_jax.studies.attribution.attribution_page.write_attribution", write)
    report = tiny_runs.plain_report(config, workdir)
    text = tiny_runs.run(config, workdir, "attribution")
    assert 'href="../attribution_tiny/index.html"' in report.read_text()
    ((found, texts),) = shown
    assert texts == {"title": "tiny", "command": "python run.py"}

    experiment = Experiment(config, Feed(config.data), workdir, None)
    for name, planned in experiment.plan.items():
        confusion, _ = experiment.evaluator.stored(planned)
        np.testing.assert_array_equal(found.networks[name].confusion, confusion, err_msg=name)
    assert (found.reference, found.cases, found.pictures) == ("student", ("case_a",), 5)
    steps = found.over_training["case_a"]
    np.testing.assert_array_equal(steps[tiny_runs.STEPS], found.networks["case_a"].quasi)
    assert len(steps) > 1 and "student" not in found.over_training
    terms = ("segmentation", "adversarial", "source KL", "source MSE", "source quasi CE")
    assert (found.alignments["case_a"].terms, found.alignments["student"].terms) == (terms, terms[:1])
    assert all(np.isfinite(a.cosine).all() and a.cosine.shape[1] == 2 for a in found.alignments.values())
    assert found.notes[0] == collection._OBJECTS_ARE[False]
    assert found.notes[1:] == ("Student, adapted: the adversarial term is left out, its discriminators were not kept.",)

    assert "(a) distilled on source" in text[text.index("What was taken over") :]
    monkeypatch.setattr(collection.Collector, "collect", None)
    monkeypatch.setattr("dakd_jax.studies.attribution.attribution_page.write_attribution", None)
    again = tiny_runs.run(config, workdir, "attribution")
    page = workdir / "attribution_tiny" / "index.html"
    with stamp.writing(page, {"stages": {}}):  # now it is as if of another seed
        page.write_text("of others")
    monkeypatch.setattr("dakd_jax.studies.attribution.attribution_page.write_attribution", write)
    assert tiny_runs.run(config, workdir, "attribution") == again
    assert page.read_text() == "written elsewhere" and shown[-1][0].networks.keys() == found.networks.keys()
    assert again == "".join(line for line in text.splitlines(True) if not line.startswith("Attribution  "))


def test_a_checkpoint_of_other_weights_lends_no_discriminators(chain, config, tmp_path):
    experiment = Experiment(config, Feed(config.data), chain[0], None)
    planned = experiment.plan["case_a"]
    (tmp_path / "checkpoints").mkdir()
    step = str(tiny_runs.STEPS)
    (tmp_path / "checkpoints" / step).symlink_to(planned.folder / "checkpoints" / step)
    planned = dataclasses.replace(planned, folder=tmp_path)
    other = types.SimpleNamespace(variables=lambda name: experiment.variables("student"))
    kept = collection.snapshots(other, planned, experiment._settings(planned))
    assert list(kept.over_training) == [tiny_runs.STEPS] and kept.adaptation is None


def fake_predictions(monkeypatch, made):
    """Networks whose weights are a name and a step answer with made[name, step] for the picture of that number."""

    def answer(weights, images):
        return np.stack([made[weights["key"]][int(number)] for number in images])

    def predict(weights, images, **how):
        assert how == {"model": "student", "size": (13, 17), "normaliser": "n", "statistics": "s"}
        return answer(weights, images)

    def predict_with_confidence(weights, images, **how):
        assert how["model"] == "teacher"
        return answer(weights, images), np.stack([picture(int(number))[1] for number in images])

    monkeypatch.setattr(collection.predict, "predict", predict)
    monkeypatch.setattr(collection, "predict_with_confidence", predict_with_confidence)
    monkeypatch.setattr(collection.jax, "device_put", lambda tree: tree)
    settings = lambda self, name: types.SimpleNamespace(  # noqa: E731
        models=types.SimpleNamespace(segmenter="teacher" if name == "teacher" else "student")
    )
    monkeypatch.setattr(collection.Collector, "_settings", settings)


def one_size(**attributes):
    """An evaluator whose teacher sees the pictures as the student does."""
    found = types.SimpleNamespace(**attributes)
    found.of = lambda network: found
    return found


def test_one_pass_counts_each_network_and_checkpoint_under_its_own_name(monkeypatch):
    """Three pictures in batches of two, one of them padding."""
    names = list(picture(0)[2])
    made = {(name, None): [picture(number)[2][name] for number in range(3)] for name in names}
    made["case_a", 2], made["case_d", 4] = made["student", None], made["teacher", None]
    fake_predictions(monkeypatch, made)
    labels = [picture(number)[0] for number in range(3)]
    batches = [
        {"image": np.array([0, 1]), "label": np.stack(labels[:2]), "mask": np.array([True, True])},
        {"image": np.array([2, 0]), "label": np.stack([labels[2], labels[2]]), "mask": np.array([True, False])},
    ]
    rules = types.SimpleNamespace(label_size=None, how={"normaliser": "n", "statistics": "s"})
    collector = collection.Collector.__new__(collection.Collector)
    collector.roles, collector._rules, collector._num_classes = collection.Roles("student", ()), rules, C
    collector._experiment = types.SimpleNamespace(
        plan=dict.fromkeys(names),
        variables=lambda name: {"key": (name, None)},
        evaluator=one_size(rules=rules, batches=lambda: batches),
        feed=types.SimpleNamespace(instances_problem=lambda: "none", evaluation_names=lambda: ("a", "b", "c")),
        console=Console(file=io.StringIO()),
    )
    earlier = {name: {step: {"key": (name, step)}} for name, step in (("case_a", 2), ("case_d", 4))}
    networks, confidence, over_training, pictures = collector._count(earlier)

    expected = attribution(pictures=3)
    assert pictures == 3 and set(networks) == set(names)
    for name, counts in networks.items():
        for mine, theirs in zip(counts.arrays(), expected.networks[name].arrays(), strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
    np.testing.assert_allclose(confidence, expected.confidence)
    np.testing.assert_array_equal(over_training["case_a"][2], networks["student"].quasi)
    np.testing.assert_array_equal(over_training["case_d"][4], networks["teacher"].quasi)


def test_confidence_is_the_share_of_the_class_after_resizing():
    images, size = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8), (20, 30)
    with tiny_runs.quick_compilation():
        classes, confidence = collection.predict_with_confidence(variables(0), images, model=MODEL, size=size)
    heads = MODEL.apply(variables(0), images, train=False)
    logp = log_probabilities(heads.main, (16, 24), 8)
    full = jax.image.resize(logp, (2, *size, CLASSES), "bilinear", antialias=False)
    shares = np.exp(np.asarray(full, np.float64))
    shares /= shares.sum(axis=-1, keepdims=True)
    np.testing.assert_array_equal(classes, shares.argmax(axis=-1))
    np.testing.assert_allclose(confidence, shares.max(axis=-1), rtol=1e-5)


def plan(*names, finished=True):
    return {name: types.SimpleNamespace(name=name, stage=paradigms.STAGES[name], finished=finished) for name in names}


def test_roles():
    assert collection.roles(plan("student", "teacher", "case_c", "case_d")) == ("student", ("case_c", "case_d"))
    both = plan("student", "teacher", "student_continued", "case_a")
    assert collection.roles(both).reference == "student_continued"
    for names in (("teacher", "case_a"), ("student", "teacher"), ("student",)):  # no reference, no case, neither
        with pytest.raises(UserError, match=r"compares cases with the undistilled student, but the plan holds .*goal="):
            collection.roles(plan(*names))
    with pytest.raises(UserError, match="train student, teacher, case_a first"):
        collection.roles(plan("student", "teacher", "case_a", finished=False))


def test_a_plan_without_a_teacher_has_figures_and_no_attribution():
    """Where files take the places of all cases."""
    alone = plan("student", "case_c")
    assert collection.roles(alone, mode="figures") == ("student", ("case_c",))
    with pytest.raises(UserError, match="needs the teacher as well, but the plan holds student, case_c"):
        collection.roles(alone)


def test_labelled_instances_are_used_where_labels_keep_their_size():
    label = np.zeros((1, 4, 6), np.uint8)
    made = {"views": {((3, 2), "bicubic"): "pictures"}, "labels": {None: label}, "instances": ["instances"]}
    asked = []

    def protocol_batches(**how):
        asked.append(how)
        return [made]

    rules = types.SimpleNamespace(label_size=None, resample="bicubic")
    experiment = types.SimpleNamespace(
        evaluator=one_size(
            rules=rules,
            image_size=(3, 2),
            settings=types.SimpleNamespace(batch_size=1),
            batches=lambda: [{"image": "padded", "label": np.stack([label[0]] * 2), "mask": np.array([True, False])}],
        ),
        feed=types.SimpleNamespace(protocol_batches=protocol_batches, instances_problem=lambda: ""),
    )
    (one,) = collection._labelled_pictures(experiment)
    assert (one.images, one.instances) == ("pictures", ["instances"]) and np.array_equal(one.labels, label)
    assert asked == [{"views": (((3, 2), "bicubic"),), "label_sizes": (None,), "batch_size": 1}]
    rules.label_size = (6, 4)  # the instances are not at that size
    (one,) = collection._labelled_pictures(experiment)
    assert (one.images, one.instances, len(one.labels)) == ("padded", [None], 1)
