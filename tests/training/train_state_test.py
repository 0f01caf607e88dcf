"""What training starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import step_parts
import tiny_runs
from flax import linen as nn

from dakd_jax.models import segmenter as segmenter_module
from dakd_jax.models.convolution import initializers
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter

MODEL = Segmenter(arch="tiny", num_classes=5)


def kernels(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if np.ndim(leaf) == 4]


@tiny_runs.quick_compilation()
def test_each_role_and_each_seed_starts_from_weights_of_its_own():
    student, teacher = (segmenter_module.init_segmenter(MODEL, 0, role)["params"] for role in ("student", "teacher"))
    again, other = (segmenter_module.init_segmenter(MODEL, seed, "student")["params"] for seed in (0, 1))
    judges = step_parts.discriminators(Discriminator(width=0.05), 0, 5)
    for a, b in ((student, teacher), (student, other), (judges["main"], judges["auxiliary"])):
        assert all(np.any(x != y) for x, y in zip(kernels(a), kernels(b), strict=True))
    assert all(np.all(x == y) for x, y in zip(kernels(student), kernels(again), strict=True))


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (initializers.he_normal, nn.initializers.variance_scaling(2.0, "fan_out", "normal")),
        (initializers.normal(0.3), nn.initializers.normal(0.3)),
        (initializers.torch_uniform, nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")),
    ],
)
def test_kernels_start_as_flax_draws_them(ours, theirs):
    """To the bit: that ours are drawn in a row is for the compiler. Compiled, as networks are: it joins two factors."""
    key, shape = jax.random.key(3), (4, 3, 6, 5)
    drawn = [jax.jit(of, static_argnums=(1, 2))(key, shape, jnp.float32) for of in (ours, theirs)]
    assert np.array_equal(*drawn)
