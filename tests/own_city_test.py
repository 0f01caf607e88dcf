"""A folder of somebody's own unlabelled pictures as the target; and no labelled target at all."""

import shutil

import pytest
import tiny_runs
from PIL import Image

from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import metrics
from dakd_jax.stages import weights
from dakd_jax.training import loop
from data_pipelines.basics.errors import DataError


def _city_without_labels(toy_city, **changes):
    return tiny_runs.config(
        toy_city,
        **{"data.name": "bdd", "data.cityscapes_dir": str(toy_city / "nowhere"), "goal": ("student",)},
        **changes,
    )


def test_own_pictures_without_any_labels_end_with_weights_and_no_scores(toy_city, workdir):
    pictures = next((toy_city / "cityscapes" / "leftImg8bit" / "train").iterdir())
    chosen = _city_without_labels(toy_city, **{"data.target_dir": str(pictures), "train.steps": 3})
    text = tiny_runs.run(chosen, workdir)
    folder = tiny_runs.stage_folder(workdir, "student")
    assert "No labelled target pictures" in text and str(folder / weights.FILE) in text
    assert (folder / weights.FILE).exists() and not list(folder.glob("evaluation-*"))
    assert {row["kind"] for row in tiny_runs.metric_rows(folder)} == {"train"}


def test_own_pictures_are_scored_where_labelled_ones_exist(toy_city, workdir):
    pictures = next((toy_city / "cityscapes" / "leftImg8bit" / "train").iterdir())
    chosen = tiny_runs.config(
        toy_city, **{"data.name": "bdd", "data.target_dir": str(pictures), "goal": ("student",), "train.steps": 3}
    )
    assert "Report: " in tiny_runs.run(chosen, workdir)


def test_labelled_target_pictures_are_missed_before_any_training(toy_city, workdir, monkeypatch):
    chosen = tiny_runs.config(toy_city, **{"data.name": "bdd", "goal": ("student",)})
    images = toy_city / "cityscapes" / "leftImg8bit"
    only_train = workdir / "cityscapes" / "leftImg8bit"
    only_train.mkdir(parents=True)
    (only_train / "train").symlink_to(images / "train")
    (workdir / "cityscapes" / "gtFine").symlink_to(toy_city / "cityscapes" / "gtFine")  # labels there are, but of train
    chosen.data.cityscapes_dir = str(workdir / "cityscapes")
    monkeypatch.setattr(loop, "train_step", None)
    with pytest.raises(UserError, match="val"):
        tiny_runs.run(chosen, workdir)
    assert not (workdir / "stages").exists()


def test_a_city_without_any_labels_ends_with_weights_and_no_scores(toy_city, workdir, tmp_path):
    (tmp_path / "cityscapes").mkdir()
    (tmp_path / "cityscapes" / "leftImg8bit").symlink_to(toy_city / "cityscapes" / "leftImg8bit")
    changes = {"data.name": "gta5", "data.cityscapes_dir": str(tmp_path / "cityscapes"), "train.steps": 3}
    text = tiny_runs.run(tiny_runs.config(toy_city, goal=("student",), **changes), workdir)
    folder = tiny_runs.stage_folder(workdir, "student")
    assert "No label of the target is at hand" in text and "No labelled target pictures" in text
    assert (folder / weights.FILE).exists() and not list(folder.glob("evaluation-*"))
    supervised = tiny_runs.config(toy_city, goal=("target_supervised",), **changes)
    with pytest.raises(DataError, match="has no label"):
        tiny_runs.run(supervised, workdir)


def test_labels_that_are_all_void_are_told_as_such(toy_city, workdir, tmp_path):
    city = shutil.copytree(toy_city / "cityscapes", tmp_path / "cityscapes")
    for label in city.glob("gtFine/val/*/*_labelIds.png"):
        Image.new("L", (64, 48)).save(label)
    changes = {"data.name": "gta5", "data.cityscapes_dir": str(city), "train.steps": 3}
    text = tiny_runs.run(tiny_runs.config(toy_city, goal=("student",), **changes), workdir)
    assert metrics.NOTHING_TO_SCORE in text and "nan" not in text
    assert "a single class or all void" in text  # before training, by the quick look
    one = {"eval.checkpoint": str(tiny_runs.stage_folder(workdir, "student")), **changes}
    text = tiny_runs.run(tiny_runs.config(toy_city, **one), workdir, mode="evaluate")
    assert metrics.NOTHING_TO_SCORE in text and "nan" not in text
