"""Writes a network as one file for another runtime: dakd export NET --format=onnx --size=1024x512 [--output=FILE]

NET is what predict takes. The file takes uint8 pictures [1, H, W, 3] RGB and gives uint8 labels [1, H, W]: normaliser,
upsampling and argmax are inside. It carries names, colours, licences and a golden pair, and is written only if its own
runtime says what the network says (docs/deploy.md). int8 is calibrated on unlabelled pictures of the target: those of
the run's data, or of --calibrate=FOLDER.
"""

import itertools
import pathlib
import re

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, USE, Command, Context, Flag, Invocation
from dakd_jax.commands.kit import networks


def read_size(text: str) -> tuple[int, int] | None:
    """(width, height) of WIDTHxHEIGHT; () where '' was given, None for 'dynamic'."""
    if text in ("", "dynamic"):
        return None if text else ()
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise UserError(f"--size={text}: expected WIDTHxHEIGHT in pixels, as 1024x512, or dynamic")
    return tuple(map(int, found.groups()))


def check(invocation: Invocation) -> None:
    """Whether there is such an export."""
    from dakd_jax.deploy.export import cells

    flags = invocation.flags
    cells.check(flags["format"], flags["dtype"], dynamic=flags["size"] is None)


def run(context: Context) -> None:
    """Exports the network, and says what it proved."""
    from dakd_jax.deploy.export import exporting

    flags, (path,) = context.flags, context.words
    network = networks.load(context, path)
    size = flags["size"] if flags["size"] != () else network.size
    wanted = exporting.Wanted(flags["format"], flags["dtype"], size, flags["probabilities"])
    output = _output(flags["output"], network, wanted)
    context.console.print(f"{network} -> {output}", highlight=False, markup=False, soft_wrap=True)
    made = exporting.export(network, wanted, output, _pictures(context, path))
    for line in exporting.summary(made):
        context.console.print(line, highlight=False, markup=False, soft_wrap=True)
