"""Writes and checks the folder of a packed network.

model.safetensors  config.json  README.md  golden/picture.png  golden/labels.png  golden/overlay.png
"""

import os
import pathlib
from collections.abc import Callable, Iterable

import jax
import numpy as np
from PIL import Image

import dakd_jax
from dakd_jax.basics import atomic_files, records
from dakd_jax.basics.errors import UserError
from dakd_jax.deploy.export import proof
from dakd_jax.deploy.export.artefact import Pair, png
from dakd_jax.deploy.finding import packed
from dakd_jax.deploy.loaded import LoadedNetwork
from dakd_jax.deploy.packing import model_card, provenance
from dakd_jax.stages import weights

CARD, OVERLAY = "README.md", "golden/overlay.png"
_GENERATED = "generated"

Candidates = Callable[[tuple[int, int]], Iterable[np.ndarray]]


def generated(size: tuple[int, int]) -> Iterable[np.ndarray]:
    """Candidates that belong to no data set; size: (width, height)."""
    return proof.generated(size[::-1])


def pack(
    network: LoadedNetwork,
    output: pathlib.Path,
    candidates: Candidates = generated,
    said: str = _GENERATED,
    *,
    measured: str = "",
) -> dict:
    """Writes a network as a folder, whole or not at all.

    Args:
      output: of the folder, which is not there yet.
      candidates: from (width, height) to pictures for the golden pair, uint8 [height, width, 3]; of no data set.
      said: where they come from.
      measured: a section of Markdown for the card, with a heading of level 2: what the network costs.

    Returns:
      what config.json says.

    Raises:
      UserError: something is at `output` already, or it cannot be written.
    """
    require_new(output)
    pair = proof.golden_pair(network, candidates(network.size))
    told = _told(network) | {"golden": {"from": said, "classes": len(np.unique(pair.labels))}}
    try:
        with atomic_files.new_folder(output) as folder:
            weights.save(folder / packed.WEIGHTS, network.variables, network.model)
            pictures = {packed.PICTURE: pair.picture, packed.LABELS: pair.labels}
            for name, pixels in (pictures | {OVERLAY: network.overlay(pair.picture, pair.labels)}).items():
                atomic_files.write_bytes(folder / name, png(pixels))
            told = packed.sealed(told, folder)
            atomic_files.write_bytes(folder / CARD, model_card.text(told, output.name, measured).encode())
            records.write_json(folder / packed.CONFIG, told)
    except OSError as error:
        raise UserError(
            f"cannot write {output}: {error.strerror or error}; make room or choose another --output"
        ) from error
    return told


def require_new(output: pathlib.Path) -> None:
    """Raises UserError where something is there already."""
    if os.path.lexists(output):
        raise UserError(f"--output={output} is there already; name a new folder, or remove that one")


def _told(network: LoadedNetwork) -> dict:
    """What config.json says of the network."""
    found = network.found
    return {
        "library_name": model_card.LIBRARY,
        "network": {field: getattr(network.model, field) for field in weights.NETWORK_FIELDS},
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(network.variables["params"])),
        "classes": network.classes,
        "palette": network.colours.tolist(),
        "size": network.size,
        "bit_depth": network.bit_depth,
        "licences": dict(network.licences),
        "plugins": provenance.plugins(found),
        "origin": provenance.origin(found),
        "made_with": {"dakd_jax": dakd_jax.__version__, "jax": jax.__version__},
    }


def summary(told: dict) -> list[str]:
    """Lines for people: what the folder holds."""
    golden = told["golden"]
    width, height = told["size"]
    wanted = min(proof.CLASSES, len(told["classes"]))
    short = "" if golden["classes"] >= wanted else f" (the most that were found; {wanted} were looked for)"
    return [
        f"{told['network']['arch']}, {told['parameters'] / 1e6:.2f} million parameters, {width}x{height}",
        *(f"needs a plugin, for its {name}: {of['from']}" for name, of in told["plugins"].items()),
        f"golden pair ({golden['from']}): {golden['classes']} classes{short}",
    ]


def check(network: LoadedNetwork, folder: pathlib.Path, told: dict) -> float:
    """Share of the golden pair's labels that the network gives here.

    Raises:
      UserError: it is below proof.LEAST; or the pair is not the one that was packed.
    """
    for name in (packed.PICTURE, packed.LABELS):
        packed.require(folder, told, name)
    pair = Pair(*(np.asarray(Image.open(folder / name)) for name in (packed.PICTURE, packed.LABELS)))
    found = float(np.mean(proof.reference(network, pair.picture) == pair.labels))
    if found < proof.LEAST:
        plugins = " or its plugin is another;" if told["plugins"] else ""
        raise UserError(
            f"{folder}: on its golden pair {found:.3%} of the labels are the network's, and {proof.LEAST:.1%} were "
            f"promised;{plugins} this machine computes otherwise than that which packed it"
        )
    return found
