"""Small training states, checkpoints of them, and ways to damage these."""

import contextlib
import json
import shutil

import jax
import numpy as np
import pytest
import step_parts

from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import optimizers
from dakd_jax.training.checkpointing import Checkpoints

IDENTITY = {"seed": 0, "network": {"arch": "drn_d_22", "width": 0.05}, "steps": 8}


def state(width=0.05, arch="drn_d_22", discriminator=0.05, levels="multi", seed=0, classes=19):
    return step_parts.create(
        segmenter_module.init_segmenter(Segmenter(arch=arch, num_classes=classes, width=width), seed, "student"),
        step_parts.discriminators(Discriminator(width=discriminator), seed, classes, levels),
        optimizer=optimizers.SegmenterOptimizer(),
    )


def like_the_fixtures():
    """Shapes of the state in fixtures/checkpoint_format_*.zip."""
    return jax.eval_shape(lambda: state(width=0.02, discriminator=0.02, classes=3))


def filled(tree, seed=3):
    """Every leaf replaced by other numbers of its kind."""
    rng = np.random.default_rng(seed)

    def other(leaf):
        if leaf.dtype.kind == "i":
            return jax.numpy.asarray(rng.integers(1, 99, leaf.shape).astype(leaf.dtype))
        return jax.numpy.asarray(rng.standard_normal(leaf.shape).astype(leaf.dtype))

    return jax.tree.map(other, tree)


def at(made, step):
    return made.replace(step=jax.numpy.asarray(step))


def assert_equal(found, made):
    assert jax.tree.structure(found) == jax.tree.structure(made)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(made), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@contextlib.contextmanager
def opening():
    """Gives a function that opens Checkpoints; closes them at the end."""
    made = []

    def open_(folder, **changes):
        made.append(Checkpoints(folder, **{"keep": 2, "identity": IDENTITY, **changes}))
        return made[-1]

    yield open_
    for checkpoints in made:
        checkpoints.close()


def save_two(folder):
    """The states that were saved in a folder, by step: 1 and 2."""
    shapes = jax.eval_shape(state)
    made = {1: at(filled(shapes, seed=9), 1), 2: at(filled(shapes), 2)}
    with opening() as open_:
        checkpoints = open_(folder)
        for one in made.values():
            checkpoints.save(one)
    return made


@pytest.fixture
def opened():
    with opening() as open_:
        yield open_


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """(folder with the checkpoints of steps 1 and 2, the states by step); not to be changed."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    return folder, save_two(folder)


def largest(folder):
    return max((p for p in folder.rglob("*") if p.is_file() and "/d/" in str(p)), key=lambda p: p.stat().st_size)


def cut(folder):
    file = largest(folder)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(folder):
    file = largest(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def another_state(folder):
    """A flip that every reader lets pass: whole files, other numbers."""
    shutil.rmtree(folder / "state")
    shutil.copytree(folder.parent / "1" / "state", folder / "state")


def tell(folder, **changes):
    """Changes about.json; a value of None takes a key away."""
    about = json.loads((folder / "about.json").read_text()) | changes
    (folder / "about.json").write_text(json.dumps({k: v for k, v in about.items() if v is not None}))


# What is done to the folder of a checkpoint: how the reason that is told begins.
DAMAGES = {
    "cut": (cut, "state/.*/d/.* has .* bytes instead of"),
    "flipped bit": (flip, "the bytes of state/.*/d/.* have changed"),
    "another state": (another_state, "state/"),
    "missing shard": (lambda folder: largest(folder).unlink(), "state/.*/d/.* is missing"),
    "a folder for a shard": (
        lambda folder: (file := largest(folder), file.unlink(), file.mkdir()),
        "state/.*/d/.* is missing",
    ),
    "missing manifests": (
        lambda folder: [file.unlink() for file in folder.rglob("manifest.ocdbt")],
        "state/.*manifest.ocdbt is missing",
    ),
    "missing state": (lambda folder: shutil.rmtree(folder / "state"), "state/.* is missing"),
    "missing about": (lambda folder: (folder / "about.json").unlink(), "about.json is missing"),
    "half an about": (lambda folder: (folder / "about.json").write_text('{"format": 3, "ste'), "about.json is torn"),
    "an about of zeros": (lambda folder: (folder / "about.json").write_bytes(bytes(99)), "about.json is torn"),
    "a flipped bit in about": (lambda folder: tell(folder, told={"skipped_steps": 1}), "about.json has changed"),
    "a flipped bit in the format": (lambda folder: tell(folder, format=2), "about.json has changed"),
    "an about without files": (lambda folder: tell(folder, files=None), "about.json lacks files"),
    "empty folder": (lambda folder: (shutil.rmtree(folder), folder.mkdir()), "about.json is missing"),
}
