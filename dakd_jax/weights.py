"""Where the weights of a stage come from, and the file they are kept in when it is finished."""

import functools
import hashlib
import pathlib

from dakd_jax import pretrained, records, train_state
from dakd_jax.errors import UserError
from dakd_jax.models.segmenter import Segmenter

FILE = "model.pth"  # finished weights: small, exact, and read by PyTorch as well
NETWORK_FIELDS = ("arch", "width", "auxiliary_layer", "normaliser")  # of a config: how a network uses its weights


def resolve(path: str | pathlib.Path) -> pathlib.Path:
    """The .pth file of a stage folder or of a path to a file; UserError when there is none."""
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        if not (path / FILE).exists():
            raise UserError(f"{path} holds no {FILE}: name the folder of a finished stage, or a .pth file")
        return path / FILE
    if not path.exists():
        raise UserError(f"no checkpoint at {path}: name the folder of a finished stage, or a .pth file")
    return path


@functools.cache
def _hash_content(path: pathlib.Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_file(path: str) -> str:
    """sha256 in hex of a checkpoint's bytes."""
    found = resolve(path)
    status = found.stat()
    return _hash_content(found.resolve(), status.st_size, status.st_mtime_ns)


def network_fields(network) -> dict:
    """NETWORK_FIELDS of config.student or config.teacher, as plain data."""
    return {field: network[field] for field in NETWORK_FIELDS}


def file_identity(path: str, network) -> str:
    """What a checkpoint file computes, as 'file:HASH': its bytes alone do not tell, say, the normaliser.

    Args:
      network: config.student or config.teacher.
    """
    return "file:" + records.hash_json({"weights": hash_file(path), "network": network_fields(network)})


def folder_name(name: str, identity: str) -> str:
    """The folder, below WORKDIR/stages, of what is known about a checkpoint file of this file_identity()."""
    return f"{name}-{identity.replace(':', '-')[:15]}"


def content_hash(variables: dict) -> str:
    """sha256 in hex of weights and batch statistics."""
    return records.hash_arrays(pretrained.to_state_dict(variables))


def load(path: str | pathlib.Path, model: Segmenter) -> dict:
    """{'params', 'batch_stats'} of a whole segmenter; a bare trunk is refused."""
    found = resolve(path)
    variables, kind = pretrained.load_segmenter(found, train_state.blank_segmenter(model))
    if kind == "trunk":
        raise UserError(f"{found} holds a trunk without segmentation heads; a finished network is wanted here")
    return variables


def save(path: pathlib.Path, variables: dict) -> None:
    """Writes finished weights, atomically."""
    pretrained.save_segmenter(path, variables)


def start(model: Segmenter, network, seed: int, role: str) -> dict:
    """Weights that a network starts from: random by (seed, role), over them the file that config names."""
    variables = train_state.init_segmenter(model, seed, role)
    if network.pretrained:
        variables, _ = pretrained.load_segmenter(resolve(network.pretrained), variables)
    return variables


def start_text(network) -> str:
    """For people: where a network starts."""
    return f"trunk {network.pretrained}" if network.pretrained else "random weights"


def start_discriminators(config, chosen, num_classes: int) -> dict:
    """Fresh discriminators of a stage, {} without adaptation."""
    if not chosen.options.adapt:
        return {}
    return train_state.init_discriminators(chosen.models.discriminator, config.seed, num_classes, chosen.options.levels)
