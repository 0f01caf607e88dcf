"""Writes a network as one file for another runtime: dakd export NET --format=onnx [--size=1024x512] [--output=FILE]

NET is what predict takes. The file takes uint8 pictures [1, H, W, 3] RGB and gives uint8 labels [1, H, W]: normaliser,
upsampling and argmax are inside. It carries names, colours, licences and a golden pair, and is written only if its own
runtime says what the network says (docs/deploy.md). int8 is calibrated on unlabelled training pictures of the target,
those of the run's data or of --calibrate=DIR.
"""

import pathlib
import re

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, USE, Command, Context, Flag, Invocation
from dakd_jax.commands.kit import networks

DYNAMIC = "dynamic"


def read_size(text: str) -> tuple[int, int] | str:
    """(width, height) of WIDTHxHEIGHT; '' and DYNAMIC as they are."""
    if text in ("", DYNAMIC):
        return text
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not found:
        raise UserError(f"--size={text}: expected WIDTHxHEIGHT in pixels, as 1024x512, or {DYNAMIC}")
    return tuple(map(int, found.groups()))


def check(invocation: Invocation) -> None:
    """Whether there is such an export."""
    from dakd_jax.deploy import export

    flags = invocation.flags
    export.check(flags["format"], flags["dtype"], dynamic=flags["size"] == DYNAMIC)


def run(context: Context) -> None:
    """Exports the network, and says what it proved."""
    from dakd_jax.commands.kit import run_pictures
    from dakd_jax.deploy.export import exporting
    from dakd_jax.deploy.loaded import LoadedNetwork
    from dakd_jax.training.runtime import compilation_cache

    compilation_cache.enable_for_user()
    flags, (path,) = context.flags, context.words
    network = networks.load(context, path)
    if not isinstance(network, LoadedNetwork):
        raise UserError(f"{path} is an export already; name the run or the weights that it was made of")
    size = None if flags["size"] == DYNAMIC else flags["size"] or network.size
    wanted = exporting.Wanted(flags["format"], flags["dtype"], size, flags["probabilities"])
    output = _output(context, network, wanted)
    context.say(f"{network} -> {output}")
    made = exporting.export(network, wanted, output, run_pictures.of(context, network))
    for line in exporting.summary(made):
        context.say(line)


def _output(context: Context, network, wanted) -> pathlib.Path:
    """As given; else in the folder exports of the run."""
    from dakd_jax.deploy import export
    from dakd_jax.deploy.export import proof

    if context.flags["output"]:
        return pathlib.Path(context.flags["output"]).expanduser()
    folder = network.found.place.path.parent  # of the stage
    if folder.parent.name != "stages":
        raise UserError("name a file for the export: --output=FILE")
    size = DYNAMIC if wanted.size is None else "x".join(map(str, wanted.size))
    name = f"{folder.name.rpartition('-')[0]}-{size}-{wanted.dtype}{export.ENDINGS[wanted.format] or '-savedmodel'}"
    return folder.parents[1] / proof.EXPORTS / name


FLAGS = (
    Flag("format", "onnx", "onnx, tflite, stablehlo or savedmodel"),
    Flag("dtype", "float32", "float32, float16, bfloat16 or int8"),
    Flag("size", "", f"WIDTHxHEIGHT of the input, or {DYNAMIC}; '' for that of the training", read=read_size),
    Flag("output", "", "the file; '' for one in the folder exports of the run"),
    Flag("probabilities", False, "give the probability of each class too"),
    Flag("calibrate", "", "for int8: a folder of pictures; '' for the target's of the run"),
    Flag("pictures", "", "a folder of pictures to compare on; '' for the target's labelled ones of the run"),
)
COMMANDS.register("export", Command(__doc__, run, USE, 2, flags=FLAGS, words="a network", num_words=1, check=check))
