"""Weights by PyTorch's names to Flax trees and back, and which part of a file of weights is the network.

A Flax path joined by dots is the PyTorch name, leaf names aside; convolutions are OIHW there and HWIO here.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from dakd_jax.basics.errors import UserError
from dakd_jax.models import weight_files
from dakd_jax.models.backbones import Published
from dakd_jax.models.weight_files import torch_files
from dakd_jax.models.weight_files.parts import FilePart, NetworkNames, choose, name_shown, names_shown
from dakd_jax.models.weight_files.torch_files.reader import one_line

TRUNK, HEADS = "base.", "seg"  # how the names of a segmenter begin: of its backbone, of its heads
STATISTICS = {"mean": "running_mean", "var": "running_var", "count": "num_batches_tracked"}
SHOWN = 6  # names listed in full in an error
OURS = Published()  # of what nobody else has published


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


def _leaves(variables: dict) -> dict[str, tuple]:
    """{PyTorch name: (path with the collection first, leaf)} of a {'params', 'batch_stats'} tree."""
    return {_torch_name(path[1:]): (path, leaf) for path, leaf in flax.traverse_util.flatten_dict(variables).items()}


def to_state_dict(variables: dict) -> dict[str, np.ndarray]:
    """{PyTorch name: array in PyTorch layout} of {'params': ..., 'batch_stats': ...} (or of params alone)."""
    return {name: _to_torch(np.asarray(leaf), path[-1]) for name, (path, leaf) in _leaves(variables).items()}


def from_state_dict(
    state_dict: Mapping[str, np.ndarray], template: dict, *, name: str, optional=None, published: Published = OURS
) -> dict:
    """`template` with every leaf replaced from `state_dict`, in the template's dtypes.

    Args:
      template: {'params': ..., 'batch_stats': ...} of the network that is to be filled.
      name: what the error calls the checkpoint.
      optional: predicate of PyTorch names that may be missing (they keep the template's values).
      published: of the network's backbone: which names may stand beside its own.

    Raises:
      UserError: lists all unknown names, missing names and wrong shapes at once; or names the first tensor that holds
        a value that is not finite.
    """
    network = _network("network", template, optional, published)
    unknown = tuple(n for n in state_dict if n not in network and not network.unused.match(n))
    names = list(_leaves(template))
    missing = tuple(n for n in names if n in network.required and n not in state_dict)
    part = FilePart(network, "", {n: n for n in names if n in state_dict}, unknown, missing)
    return _filled(part, state_dict, template, name=name)


def _network(kind: str, template: dict, optional=None, published: Published = OURS) -> NetworkNames:
    names = list(_leaves(template))
    may_be_missing = {n for n in names if n.endswith(STATISTICS["count"]) or (optional and optional(n))}
    return NetworkNames(kind, frozenset(names) - may_be_missing, frozenset(may_be_missing), published.unused)


def _filled(part: FilePart, tensors: Mapping, template: dict, *, name: str, source: str = "") -> dict:
    """`template` with the tensors of a part in it; none is loaded before all fit. Raises UserError.

    source: where weights of the architecture are published, for the message.
    """
    wrong = _wrong_shapes(part, tensors, template)
    if wrong or not part.fits:
        published = f" Published weights of this architecture: {source}." if source and not part.fits else ""
        raise UserError(f"{name} does not fit this network: {_misfit(part, wrong)}{published}")
    flat = flax.traverse_util.flatten_dict(template, keep_empty_nodes=True)
    for wanted, (path, like) in _leaves(template).items():
        if wanted in part.names:
            array = np.asarray(_loaded(tensors[part.names[wanted]]))
            _refuse_nonfinite(name, part.names[wanted], array)
            flat[path] = jnp.asarray(_to_flax(array, path[-1]).reshape(like.shape), like.dtype)
    return flax.traverse_util.unflatten_dict(flat)


def _loaded(tensor) -> np.ndarray:
    return tensor.to_array() if hasattr(tensor, "to_array") else tensor


def _torch_shape(path: tuple[str, ...], leaf) -> tuple[int, ...]:
    """Of a leaf as PyTorch lays it out."""
    shape = np.shape(leaf)
    return tuple(shape[i] for i in (3, 2, 0, 1)) if path[-1] == "kernel" else shape


def _wrong_shapes(part: FilePart, tensors: Mapping, template: dict) -> dict[str, tuple]:
    """{wanted name: (the file's shape, the network's)} where they differ."""
    leaves = _leaves(template)
    found = {n: (_shape(tensors[theirs]), _torch_shape(*leaves[n])) for n, theirs in part.names.items() if n in leaves}
    # A count of batches may be a list of one.
    found = {n: pair for n, pair in found.items() if not (pair == ((1,), ()) and n.endswith(STATISTICS["count"]))}
    return {n: pair for n, pair in found.items() if pair[0] != pair[1]}


def _shape(tensor) -> tuple[int, ...]:
    getattr(tensor, "nbytes", None)  # a PyTorch file may claim any shape: this raises Unreadable for an impossible one
    return tuple(tensor.shape)


def _misfit(part: FilePart, wrong: dict[str, tuple]) -> str:
    """What is wrong with a part that comes nearest, names as they stand in the file beside names as wanted."""
    shapes = [
        f"{name_shown(part.names[n])} {str(theirs)[:80]} instead of {ours}" for n, (theirs, ours) in wrong.items()
    ]
    if part.fits:
        what = _listed("wrong shapes", shapes)
        return f"{what}. Its names fit: choose the {_what_differs(wrong)} that the file was made with."
    if not part.names:
        return (
            f"none of its {len(part.unknown)} names is one of the network's. In the file: "
            f"{names_shown(part.unknown, SHOWN)}; wanted: {names_shown(sorted(part.network.required), SHOWN)}. Name a "
            "file of the architecture that the config names."
        )
    problems = [
        _listed(what, map(name_shown, items))
        for what, items in (("unknown names", part.unknown), ("missing names", part.missing))
        if items
    ]
    problems += [_listed("wrong shapes", shapes)] * bool(shapes)
    wanted, theirs = next(iter(part.names.items()))
    where = f" in the file for {name_shown(wanted)}" * (wanted != theirs)
    problems += [f"{len(part.names)} names fit, as {name_shown(theirs)}{where}"]
    way_out = "Choose the architecture that the file was made with"
    if part.fits_alone and not wrong:
        way_out = f"The key #{name_shown(part.key)} after the path reads it without the unknown ones"
    return f"{'; '.join(problems)}. {way_out}."


def _listed(what: str, items) -> str:
    items = list(items)
    return f"{len(items)} {what}: {', '.join(items[:SHOWN])}{', ...' if len(items) > SHOWN else ''}"


def _what_differs(wrong: dict[str, tuple]) -> str:
    """'width', 'class count' or both: the heads' first axis are the classes."""
    heads = {n: pair for n, pair in wrong.items() if n.startswith(HEADS)}
    classes = any(theirs[:1] != ours[:1] for theirs, ours in heads.values())
    width = any(theirs[1:] != ours[1:] for theirs, ours in heads.values()) or len(heads) < len(wrong)
    return " and ".join(["width"] * width + ["class count"] * classes)


def _refuse_nonfinite(name: str, tensor_name: str, array: np.ndarray) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        raise UserError(
            f"{name}: {np.count_nonzero(~finite)} of {finite.size} values of {name_shown(tensor_name)} are NaN or "
            "infinite: a training that diverged, or a damaged file; name that of a sound network"
        )


def read_state_dict(path: str | pathlib.Path, published: Published = OURS) -> dict[str, np.ndarray]:
    """The arrays that save_segmenter was given, by PyTorch's names. Raises UserError when the file is damaged."""
    with one_line(pathlib.Path(path)):
        found = {one.name: one.tensor.to_array() for one in weight_files.scan(pathlib.Path(path)) if not one.where}
    return {name: array for name, array in found.items() if not published.unused.match(name)}


def load_segmenter(
    path: str | weight_files.Place, template: dict, *, whole: bool = False, published: Published = OURS
) -> tuple[dict, str]:
    """(variables, 'segmenter' | 'trunk') of PATH or PATH#KEY: a whole two-headed segmenter, or an ImageNet trunk.

    A trunk has the names that `published` gives it, ours but for 'base.' if none; the heads then keep the template's
    start.

    Args:
      whole: a trunk beside a segmenter is passed over; one alone is found all the same.
      published: of the network's backbone.

    Raises:
      UserError: no file of weights, nothing in it fits, or several parts do and none is picked.
    """
    segmenter, trunk, full_names = _looked_for(template, published)
    place = weight_files.place(path)
    with one_line(place.path):
        found = weight_files.scan(place.path)
        tensors = {one.full_name: one.tensor for one in found}
        names = {one.full_name: one.where for one in found}
        if not names:
            raise UserError(f"{place.path} holds no tensors that have names; save model.state_dict()")

        def as_segmenter(part: FilePart) -> FilePart:
            """A trunk's part by the names that it has in a segmenter."""
            if part.network.kind != "trunk":
                return part
            return dataclasses.replace(part, names={full_names[name]: of for name, of in part.names.items()})

        def shapes_fit(part):
            return not _wrong_shapes(as_segmenter(part), tensors, template)

        part = choose(
            names, [segmenter, trunk], file=str(place.path), key=place.key, shapes_fit=shapes_fit, first_alone=whole
        )
        variables = _filled(as_segmenter(part), tensors, template, name=str(place), source=published.source)
        return variables, part.network.kind


def _looked_for(template: dict, published: Published) -> tuple[NetworkNames, NetworkNames, dict[str, str]]:
    """(names of a segmenter, of a published trunk, {name in such a trunk: name in a segmenter})."""
    segmenter = _network("segmenter", template, published=published)
    ours = [name for name in segmenter.required | segmenter.optional if name.startswith(TRUNK)]
    full_names = {published.name(name.removeprefix(TRUNK)): name for name in ours}
    trunk = NetworkNames(
        "trunk",
        frozenset(name for name, full in full_names.items() if full in segmenter.required),
        frozenset(name for name, full in full_names.items() if full in segmenter.optional),
        published.unused,
        inside={TRUNK: HEADS},
    )
    return segmenter, trunk, full_names


def save_segmenter(path: str | pathlib.Path, variables: dict, published: Published = OURS) -> None:
    """Writes a .pth that torch.load(weights_only=True) reads, with the released code's names; or a .safetensors.

    What `published` keeps beside the parameters is written as well.
    """
    state_dict = to_state_dict(variables)
    state_dict |= published.beside(state_dict[f"{HEADS}1.bias"].shape[0])
    write = weight_files.write_safetensors if pathlib.Path(path).suffix == ".safetensors" else torch_files.write
    write(path, state_dict)
