"""The leaves of a tree by name, as messages, checksums and files call them."""

from typing import Any

import jax


def named_leaves(tree: Any) -> dict[str, Any]:
    """{path joined by dots: leaf} in the order of the tree."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in flat}
