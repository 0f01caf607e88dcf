"""A folder of somebody's own unlabelled pictures as the target; and no labelled target at all."""

import pytest
import tiny_runs

from dakd_jax import train, weights
from dakd_jax.errors import UserError


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
    chosen.data.cityscapes_dir = str(workdir / "cityscapes")
    monkeypatch.setattr(train, "train_step", None)
    with pytest.raises(UserError, match="val"):
        tiny_runs.run(chosen, workdir)
    assert not (workdir / "stages").exists()
