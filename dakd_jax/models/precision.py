"""In what dtype the networks compute; parameters, batch statistics, losses and optimisers stay float32.

With 'bfloat16' a copy of the kernels is rounded inside the step, and a convolution computes in the dtype of its kernel:
forward and backward it reads and writes bfloat16, which halves the memory of activations and uses the fast units of a
GPU. Sums over a picture (batch statistics, gradients of biases, losses) stay float32. bfloat16 has the exponents of
float32, so that losses need no scaling, and 8 significant bits: one rounding is off by at most 2^-9.
"""

import jax
import jax.numpy as jnp

# 'float32': in the dtype of the parameters, which in training is float32.
PRECISIONS = {"float32": None, "bfloat16": jnp.bfloat16}


def computing_params(params: dict, precision: str) -> dict:
    """Parameters as a network computes with them: the kernels of its convolutions rounded, all else as it is."""
    dtype = PRECISIONS[precision]
    if dtype is None:
        return params

    def rounded(path, leaf):
        return leaf.astype(dtype) if path[-1].key == "kernel" else leaf

    return jax.tree_util.tree_map_with_path(rounded, params)


def in_dtype_of_kernel(inputs, kernel, bias, *, dtype=None):
    """For flax.linen.Conv(promote_dtype=...): inputs follow the kernel; the bias is added, and summed, as it is."""
    return jnp.asarray(inputs, kernel.dtype), kernel, bias


def widened(x: jax.Array) -> jax.Array:
    """A floating array in float32 at least: what losses are computed in."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
