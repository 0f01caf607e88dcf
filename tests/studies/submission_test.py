"""--mode=submit: files that cityscapesScripts takes, and its own evaluation of them."""

import json
import shutil
import zipfile

import numpy as np
import protocol_examples
import pytest
import tiny_datasets
import tiny_runs
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as reference
from PIL import Image

from dakd_jax.basics.errors import UserError
from dakd_jax.stages import weights
from data_pipelines.basics.errors import DataError


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """(root, workdir, folder of the label files, text) of the command on a finished student."""
    root = protocol_examples.write_pair(tmp_path_factory.mktemp("submission"))
    chosen, workdir = protocol_examples.config(root, goal=("student",)), root / "work"
    protocol_examples.finish(chosen, workdir, ("student",))
    text = tiny_runs.run(chosen, workdir, "submit")
    return root, workdir, workdir / "submission_tiny_val", text


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def test_one_label_file_for_each_picture(submitted):
    _, workdir, folder, text = submitted
    assert list(files_of(folder)) == [f"bonn_{i:06d}_000019_pred_labelIds.png" for i in range(3)]
    assert "3 of 3 label files written now" in text and f"To upload: {folder}.zip" in text
    with zipfile.ZipFile(f"{folder}.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files_of(folder)
    values = set()
    for path in folder.glob("*.png"):
        picture = np.asarray(Image.open(path))
        assert picture.dtype == np.uint8 and picture.shape[::-1] == protocol_examples.SIZE
        values |= set(np.unique(picture).tolist())
    assert len(values) > 3 and values <= {7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33}


def test_cityscapesscripts_finds_the_files_and_gives_our_scores(submitted, monkeypatch, tmp_path):
    """Its own search and evaluation, instances too, against the stored evaluation of the matrix."""
    root, workdir, folder, _ = submitted
    chosen = protocol_examples.config(root, goal=("student",), **{"eval.scales": (1.0,)})
    monkeypatch.setattr("dakd_jax.evaluation.protocols.matrix", only("native"))
    tiny_runs.run(chosen, workdir, "protocols")
    (mine,) = json.loads((workdir / "protocols_tiny" / "protocols.json").read_text())["networks"]["student"].values()

    monkeypatch.setenv("CITYSCAPES_RESULTS", str(folder))
    truths = sorted(map(str, (root / "cityscapes").rglob("val/*/*_gtFine_labelIds.png")))
    arguments = reference.args
    arguments.predictionPath = arguments.predictionWalk = None
    arguments.evalInstLevelScore, arguments.quiet, arguments.JSONOutput = True, True, False
    made = [reference.getPrediction(arguments, truth) for truth in truths]
    told = reference.evaluateImgLists(made, truths, arguments)
    assert mine["mean_class_iou"] == told["averageScoreClasses"]
    assert mine["mean_category_iou"] == told["averageScoreCategories"]
    assert mine["mean_class_iiou"] == told["averageScoreInstClasses"]
    assert mine["mean_category_iiou"] == told["averageScoreInstCategories"]
    assert mine["iou"] == [None if np.isnan(v := told["classScores"][name]) else v for name in class_names()]


def only(*names):
    from dakd_jax.evaluation import protocols

    matrix = protocols.matrix
    return lambda scales: {name: row for name, row in matrix(scales).items() if name in names}


def class_names():
    from data_pipelines.reading.label_spaces import CITYSCAPES_CLASSES

    return CITYSCAPES_CLASSES


def test_a_stopped_command_goes_on(submitted):
    root, workdir, folder, _ = submitted
    chosen, before = protocol_examples.config(root, goal=("student",)), files_of(folder)
    archive = workdir / "submission_tiny_val.zip"
    packed = archive.read_bytes()
    (folder / "bonn_000001_000019_pred_labelIds.png").unlink()
    archive.unlink()
    untouched = folder / "bonn_000000_000019_pred_labelIds.png"
    made = untouched.stat().st_mtime_ns
    assert "1 of 3 label files written now" in tiny_runs.run(chosen, workdir, "submit")
    assert files_of(folder) == before and archive.read_bytes() == packed
    assert untouched.stat().st_mtime_ns == made
    assert "0 of 3 label files written now" in tiny_runs.run(chosen, workdir, "submit")


def test_a_zip_of_earlier_files_never_passes_for_that_of_the_new_ones(submitted, monkeypatch):
    root, workdir, folder, _ = submitted
    chosen = protocol_examples.config(root, goal=("student",))
    archive, packed = workdir / "submission_tiny_val.zip", (workdir / "submission_tiny_val.zip").read_bytes()
    shutil.rmtree(folder)
    archive.write_bytes(b"of another network")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="No space left"):
        patch.setattr("dakd_jax.studies.submission.Submission._zip", full)
        tiny_runs.run(chosen, workdir, "submit")
    assert not archive.exists()
    tiny_runs.run(chosen, workdir, "submit")
    assert archive.read_bytes() == packed


def test_files_of_another_network_are_not_mixed_in(submitted):
    root, workdir, folder, _ = submitted
    before = files_of(folder)
    chosen = protocol_examples.config(root, goal=("student",), **{"eval.submit_protocol": "sliding_window"})
    with pytest.raises(UserError, match=r"holds label files of another command \(protocol native.*delete it first"):
        tiny_runs.run(chosen, workdir, "submit")
    assert files_of(folder) == before


def test_test_pictures_have_no_labels(submitted, tmp_path):
    """Another protocol, names that the server does not know, and a checkpoint of its own."""
    root, workdir, _, _ = submitted
    (folder,) = (workdir / "stages").glob("student-*")
    chosen = protocol_examples.config(
        root,
        **{"eval.checkpoint": str(folder / weights.FILE), "eval.split": "test", "eval.submit_protocol": "mirror"},
    )
    with pytest.raises(DataError, match="no folder .*leftImg8bit/test"):
        tiny_runs.run(chosen, tmp_path, "submit")
    picture = Image.open(next((root / "cityscapes").rglob("bonn_000000*_leftImg8bit.png")))
    tiny_datasets.save(root / "cityscapes/leftImg8bit/test/ulm/ulm_1_leftImg8bit.png", np.asarray(picture))
    text = tiny_runs.run(chosen, tmp_path, "submit")
    assert "note: 1 pictures are not called CITY_SEQUENCE_FRAME as Cityscapes names them, the first ulm_1" in text
    assert list(files_of(tmp_path / "submission_tiny_test")) == ["ulm_1_pred_labelIds.png"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval.split": "train"}, "config.eval.split='train': expected 'val' or 'test'"),
        ({"eval.submit_protocol": "mine"}, "eval.submit_protocol='mine': expected one of native, .*sliding_window"),
        ({"goal": ("student", "case_b")}, "holds no finished case_b of this config; train first"),
        ({"eval.checkpoint": "nowhere"}, "no checkpoint at nowhere"),
    ],
    ids=str,
)
def test_mistakes(submitted, changes, message):
    root, workdir, _, _ = submitted
    with pytest.raises(UserError, match=message):
        tiny_runs.run(protocol_examples.config(root, **{"goal": ("student",), **changes}), workdir, "submit")
