"""Random weights with which a network predicts several classes, and batch norms that are not those of a new network."""

import jax
import numpy as np

from dakd_jax.models.segmenter import Segmenter, blank_segmenter


def lively_variables(model: Segmenter, seed: int = 0) -> dict:
    """{'params', 'batch_stats'}, numpy arrays; nothing is compiled for them."""
    rng = np.random.default_rng(seed)

    def at_random(path, leaf):
        name = path[-1].key
        if name == "kernel":
            large = 10 if path[1].key.startswith("seg") else 1
            return rng.normal(0, large * np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape).astype(leaf.dtype)
        if name in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype)
        return leaf if name == "count" else rng.normal(0, 0.1, leaf.shape).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(at_random, blank_segmenter(model))
