"""A tiny Cityscapes with instances, and finished networks that nobody trained, for the tests of the protocols."""

import shutil
from pathlib import Path

import jax
import numpy as np
import tiny_datasets
import tiny_runs
from rich.console import Console

from dakd_jax.basics import records
from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.stages import experiment as stages
from dakd_jax.stages import settings, weights
from data_pipelines.feeding.feed import Feed
from data_pipelines.reading import label_spaces

SIZE = (72, 48)  # width, height of the pictures
SETTINGS = {"data.name": "bdd", "eval.scales": (0.5, 1.0), "eval.batch_size": 2, "goal": ("student", "teacher")}
CARAVAN = 29  # a label id with instances that are not scored


def instance_ids(label_ids: np.ndarray, seed: int) -> np.ndarray:
    """int32 [H, W] of *_instanceIds.png: some instances of several sizes, groups without a number, and a caravan."""
    rng = np.random.default_rng(seed)
    found = label_ids.astype(np.int32)
    numbers = rng.integers(0, 4, (label_ids.shape[0] // 8, label_ids.shape[1] // 8)).repeat(8, 0).repeat(8, 1)
    with_instances = np.isin(label_ids, [24, 25, 26, 27, 28, 31, 32, 33, CARAVAN])
    return np.where(with_instances & (numbers < 3), found * 1000 + numbers, found).astype(np.int32)


def labels(seed: int, size=SIZE) -> np.ndarray:
    """uint8 [H, W] of label ids in blocks: most classes, void, and a caravan."""
    ids = np.array([row.label_id for row in label_spaces.LABEL_CLASSES if row.label_id < 34] + [24, 26, 33] * 3)
    rng = np.random.default_rng(seed)
    blocks = rng.choice(ids, (size[1] // 4, size[0] // 4)).repeat(4, 0).repeat(4, 1)
    blocks[0, 0] = 33  # an instance of one pixel, or part of one
    return blocks.astype(np.uint8)


def write_val(root: Path, count=3, instances=True):
    """Val pictures, smooth at random, with labels and, if asked for, instances."""
    for i in range(count):
        name, coarse = (
            f"bonn_{i:06d}_000019",
            np.random.default_rng(i).integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8, 3)),
        )
        tiny_datasets.save(
            root / f"leftImg8bit/val/bonn/{name}_leftImg8bit.png", coarse.repeat(8, 0).repeat(8, 1).astype(np.uint8)
        )
        ids = labels(i)
        tiny_datasets.save(root / f"gtFine/val/bonn/{name}_gtFine_labelIds.png", ids)
        if instances:
            tiny_datasets.save(root / f"gtFine/val/bonn/{name}_gtFine_instanceIds.png", instance_ids(ids, i))


def write_pair(root: Path, **how) -> Path:
    """The tiny source, and this city as the target."""
    tiny_datasets.write_pair(root)
    for kind in ("gtFine", "leftImg8bit"):
        shutil.rmtree(root / "cityscapes" / kind / "val")
    write_val(root / "cityscapes", **how)
    return root


def telling_variables(model, seed=0):
    """Weights whose predictions vary from pixel to pixel: a random trunk, heads of ordinary size."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if leaf.dtype.kind == "i":
            return np.zeros(leaf.shape, leaf.dtype)
        if "kernel" in name:
            return (rng.standard_normal(leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))).astype(leaf.dtype)
        start = 1.0 if name.endswith(("scale", "var")) else 0.0
        return (start + rng.uniform(0.0, 0.3, leaf.shape)).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, segmenter_module.blank_segmenter(model))


def config(root, **changes):
    """Of the tiny city and networks."""
    return tiny_runs.config(root, **{**SETTINGS, **changes})


def finish(chosen, workdir, names=("student", "teacher")) -> dict:
    """Makes stages of the plan finished ones of telling weights; {name: folder}."""
    experiment = stages.Experiment(chosen, Feed(chosen.data), Path(workdir), Console())
    folders = {}
    for seed, name in enumerate(names):
        planned = experiment.plan[name]
        planned.folder.mkdir(parents=True)
        model = settings.segmenter(chosen[planned.stage.network], 19)
        weights.save(planned.folder / weights.FILE, telling_variables(model, seed))
        records.write_json(planned.folder / "record.json", {"status": "finished"})
        folders[name] = planned.folder
    return folders
