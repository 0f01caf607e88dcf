"""The golden weights and batches as Flax trees, in float64 (see tests/golden/README.md)."""

import functools
import importlib.util
import re
import sys

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.models.backbones.drn import PUBLISHED
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.models.weight_files import pretrained

STUDENT = Segmenter(arch="drn_d_22", num_classes=19)
TEACHER = Segmenter(arch="drn_d_38", num_classes=19)
TEACHER_F7 = Segmenter(arch="drn_d_38", num_classes=19, auxiliary_tap="layer7")
NETWORKS = {"student": STUDENT, "teacher_cd": TEACHER, "teacher_f7": TEACHER_F7}


@functools.cache
def _weights_module(folder):
    spec = importlib.util.spec_from_file_location("golden_weights", folder / "golden_weights.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def state_dict(folder, which):
    """{PyTorch name: array} of 'student', 'teacher', 'D1' or 'D2'."""
    return _weights_module(folder).state_dict(which)


def _filled(shapes, weights, name):
    template = jax.tree.map(lambda s: np.zeros(s.shape, np.int32 if s.dtype == np.int32 else np.float64), shapes)
    return pretrained.from_state_dict(weights, template, name=name, published=PUBLISHED)


@functools.cache
def segmenter(folder, model):
    """Golden {'params', 'batch_stats'} of `model`, float64; x64 must be on. Not to be donated."""
    assert jax.config.jax_enable_x64
    which = "student" if model.arch == "drn_d_22" else "teacher"
    picture = jnp.zeros((1, 32, 32, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), picture, train=False))
    return _filled(shapes, state_dict(folder, which), which)


@functools.cache
def discriminator(folder, which):
    """Golden parameters of 'D1' or 'D2', float64; x64 must be on. Not to be donated."""
    assert jax.config.jax_enable_x64
    shapes = jax.eval_shape(lambda: Discriminator().init(jax.random.key(0), jnp.zeros((1, 32, 32, 19))))
    return _filled(shapes, state_dict(folder, which), which)["params"]


def named(variables):
    """{PyTorch name: array in PyTorch layout} of a tree."""
    return pretrained.to_state_dict(variables)


def flat(tree):
    return flax.traverse_util.flatten_dict(tree)


def nhwc(array):
    """PyTorch's [N, C, H, W] to [N, H, W, C] in float64."""
    return np.asarray(array, np.float64).transpose(0, 2, 3, 1)


def nchw(array):
    """[N, H, W, C] to PyTorch's [N, C, H, W]."""
    return np.asarray(array).transpose(0, 3, 1, 2)


def matched(stored, key, ours):
    """(ours, reference) of a key that may be stored thinned out: KEY_every<n> flat, KEY_s<n> in rows and columns.

    Args:
      ours: the whole array, in PyTorch's layout.
    """
    (name,) = [name for name in stored if re.fullmatch(rf"{re.escape(key)}(_every\d+|_s\d+)?", name)]
    thinned = re.search(r"_(every|s)(\d+)$", name.removeprefix(key))
    if not thinned:
        return ours, stored[name]
    step = int(thinned[2])
    return (ours.ravel()[::step] if thinned[1] == "every" else ours[..., ::step, ::step]), stored[name]


def forget():
    """Lets go of the weights, hundreds of megabytes."""
    for kept in (segmenter, discriminator):
        kept.cache_clear()
