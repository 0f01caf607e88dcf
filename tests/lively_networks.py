"""Random weights with which a network predicts several classes, and batch norms that are not those of a new network."""

import jax
import numpy as np

from dakd_jax.models.segmenter import Segmenter, init_segmenter


def lively_variables(model: Segmenter, seed: int = 0) -> dict:
    """{'params', 'batch_stats'}, numpy arrays: heads 300 times as large, statistics and gains at random."""
    rng = np.random.default_rng(seed)

    def at_random(path, leaf):
        name, leaf = path[-1].key, np.asarray(leaf)
        if name == "kernel":
            return 300 * leaf if path[1].key.startswith("seg") else leaf
        if name in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype)
        return leaf if name == "count" else rng.normal(0, 0.1, leaf.shape).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(at_random, init_segmenter(model, seed, "student"))
