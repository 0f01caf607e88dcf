"""Weights of PyTorch checkpoints to Flax trees and back.

A Flax path joined by dots is the PyTorch name, leaf names aside; convolutions are OIHW there and HWIO here.
"""

import re

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from dakd_jax import torch_files
from dakd_jax.errors import UserError

# Tensors in released files that no network here uses: the ImageNet classifier, the replaced upsampling
# convolutions, and the projection of family C's residual-free layers.
UNUSED = re.compile(r"^(base\.)?(fc|up1|up2|layer[78]\.0\.downsample)\.")
STATISTICS = {"mean": "running_mean", "var": "running_var", "count": "num_batches_tracked"}
SHOWN = 6  # names listed in full in an error


def _torch_name(path: tuple[str, ...]) -> str:
    *modules, leaf = path
    leaf = STATISTICS.get(leaf, {"kernel": "weight", "scale": "weight"}.get(leaf, leaf))
    return ".".join((*modules, leaf))


def _to_torch(array: np.ndarray, leaf: str) -> np.ndarray:
    if leaf == "kernel":
        return np.ascontiguousarray(array.transpose(3, 2, 0, 1))
    return array.astype(np.int64) if leaf == "count" else array


def _to_flax(array: np.ndarray, leaf: str) -> np.ndarray:
    return array.transpose(2, 3, 1, 0) if leaf == "kernel" and array.ndim == 4 else array


def _flatten(variables: dict) -> dict:
    """{PyTorch name: (collection, path)} of a {'params', 'batch_stats'} tree."""
    return {
        _torch_name(path): (collection, path)
        for collection, tree in variables.items()
        for path in flax.traverse_util.flatten_dict(tree)
    }


def to_state_dict(variables: dict) -> dict[str, np.ndarray]:
    """{PyTorch name: array in PyTorch layout} of {'params': ..., 'batch_stats': ...} (or of params alone)."""
    flat = {c: flax.traverse_util.flatten_dict(tree) for c, tree in variables.items()}
    return {
        name: _to_torch(np.asarray(flat[collection][path]), path[-1])
        for name, (collection, path) in _flatten(variables).items()
    }


def from_state_dict(state_dict: dict, template: dict, *, name: str, optional=None) -> dict:
    """`template` with every leaf replaced from `state_dict`, in the template's dtypes.

    Args:
      template: {'params': ..., 'batch_stats': ...} of the network that is to be filled.
      name: what the error calls the checkpoint.
      optional: predicate of PyTorch names that may be missing (they keep the template's values).

    Raises:
      UserError: lists all unknown names, missing names and wrong shapes at once; or names the first tensor that holds
        a value that is not finite.
    """
    flat = {c: flax.traverse_util.flatten_dict(tree) for c, tree in template.items()}
    wanted = _flatten(template)
    unknown = [n for n in state_dict if n not in wanted and not UNUSED.match(n)]
    missing, shapes = [], []
    for torch_name, (collection, path) in wanted.items():
        old = flat[collection][path]
        if torch_name not in state_dict:
            if not torch_name.endswith("num_batches_tracked") and not (optional and optional(torch_name)):
                missing.append(torch_name)
            continue
        new = _to_flax(np.asarray(state_dict[torch_name]), path[-1])
        if new.shape != old.shape:
            theirs = np.asarray(state_dict[torch_name]).shape
            shapes.append(f"{torch_name} {theirs} instead of {_to_torch(np.asarray(old), path[-1]).shape}")
        else:
            flat[collection][path] = jnp.asarray(new, old.dtype)
    _complain(name, unknown, missing, shapes)
    _refuse_nonfinite(name, {torch_name: state_dict[torch_name] for torch_name in wanted if torch_name in state_dict})
    return {c: flax.traverse_util.unflatten_dict(tree) for c, tree in flat.items()}


def _complain(name, unknown, missing, shapes):
    problems = [
        f"{len(items)} {what}: {', '.join(items[:SHOWN])}{', ...' if len(items) > SHOWN else ''}"
        for what, items in (("unknown names", unknown), ("missing names", missing), ("wrong shapes", shapes))
        if items
    ]
    if problems:
        raise UserError(
            f"{name} does not fit this network: {'; '.join(problems)}. Choose the architecture, width and class "
            "count that the file was made with."
        )


def _refuse_nonfinite(name: str, tensors: dict) -> None:
    for torch_name, array in tensors.items():
        finite = np.isfinite(np.asarray(array))
        if not finite.all():
            raise UserError(
                f"{name}: {np.count_nonzero(~finite)} of {finite.size} values of {torch_name} are NaN or infinite: a "
                "training that diverged, or a damaged file; name that of a sound network"
            )


def read_state_dict(path: str) -> dict[str, np.ndarray]:
    """The arrays that save_segmenter was given, by PyTorch's names. Raises UserError when the file is damaged."""
    return {name: array for name, array in torch_files.read(path).items() if not UNUSED.match(name)}


def load_segmenter(path: str, template: dict) -> tuple[dict, str]:
    """(variables, 'segmenter' | 'trunk') of a .pth file: a whole two-headed segmenter, or an ImageNet trunk.

    A trunk has the same names without 'base.'; the heads then keep the template's start.
    """
    state_dict = torch_files.read(path)
    if any(name.startswith("base.") for name in state_dict):
        return from_state_dict(state_dict, template, name=str(path)), "segmenter"
    trunk = {f"base.{name}": array for name, array in state_dict.items()}
    heads = re.compile(r"^seg[12]\.")
    return from_state_dict(trunk, template, name=str(path), optional=heads.match), "trunk"


def load_discriminator(path: str, params: dict) -> dict:
    """Parameters of a discriminator from a .pth file."""
    return from_state_dict(torch_files.read(path), {"params": params}, name=str(path))["params"]


def save_segmenter(path: str, variables: dict) -> None:
    """Writes a .pth that torch.load(weights_only=True) reads, with the released code's names.

    The two unused upsampling convolutions are written as the bilinear kernels that they were fixed at.
    """
    state_dict = to_state_dict(variables)
    classes = state_dict["seg1.bias"].shape[0]
    state_dict |= {f"up{i}.weight": np.tile(_bilinear_kernel(16), (classes, 1, 1, 1)) for i in (1, 2)}
    torch_files.write(path, state_dict)


def save_discriminator(path: str, params: dict) -> None:
    """Writes a discriminator as a .pth."""
    torch_files.write(path, to_state_dict({"params": params}))


def _bilinear_kernel(size: int) -> np.ndarray:
    """float32 [1, 1, size, size]: the transposed convolution that upsamples by size / 2."""
    centre = (size - 1) / 2
    line = 1 - np.abs(np.arange(size) - centre) / (size / 2)
    return np.outer(line, line)[None, None].astype(np.float32)
