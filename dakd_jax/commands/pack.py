"""Writes a network as a folder ready for a model hub: python run.py --mode=pack NET --output=DIR

NET is what predict takes. DIR, which must not be there yet, gets the weights as safetensors, config.json, a model card
(README.md: scores, data and licences, use, limits) and a golden pair, a picture of the toy city and what the network
says of it. dakd_jax.load, predict, export and check take DIR (docs/deploy.md).
"""

import pathlib

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, USE, Command, Context, Flag, Invocation
from dakd_jax.commands.kit import networks


def check(invocation: Invocation) -> None:
    """Whether there is a place for the folder."""
    if not invocation.flags["output"]:
        raise UserError("--mode=pack needs --output=DIR, a new folder")


def run(context: Context) -> None:
    """Packs the network."""
    from dakd_jax.commands.kit import run_pictures
    from dakd_jax.deploy.loaded import LoadedNetwork
    from dakd_jax.deploy.packing import hub_folder
    from dakd_jax.training.runtime import compilation_cache

    output = pathlib.Path(context.flags["output"]).expanduser()
    hub_folder.require_new(output)
    compilation_cache.enable_for_user()
    (path,) = context.words
    network = networks.load(context, path)
    if not isinstance(network, LoadedNetwork):
        raise UserError(f"{path} is an export; name the run or the weights that it was made of")
    context.say(f"{network} -> {output}")
    candidates = run_pictures.candidates(context)
    for line in hub_folder.summary(hub_folder.pack(network, output, *candidates, measured=_measured(network))):
        context.say(line)


def _measured(network) -> str:
    """The section of what dakd card has measured of this run, where this network is in it."""
    from dakd_jax.stages import weights
    from dakd_jax.studies.kit import more_pages, trade

    stage = network.found.place.path.parent
    if stage.parent.name != "stages":
        return ""
    run = stage.parents[1]
    hashes = {folder.name: record["hash"] for folder, record in weights.finished(run)}
    card = trade.read(run / more_pages.CARD / trade.FILE)
    if card is None or not trade.of_stages(card, hashes):
        return ""
    here = any(one["stage"] == hashes.get(stage.name) for one in card["networks"])
    return trade.markdown_section(card, 2) if here else ""


FLAGS = (Flag("output", "", "the folder, which is not there yet"),)
COMMANDS.register("pack", Command(__doc__, run, USE, 4, flags=FLAGS, words="a network", num_words=1, check=check))
