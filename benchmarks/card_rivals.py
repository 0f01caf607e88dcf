"""A network's card with PyTorch's rows in it, in one run: python -m benchmarks.card_rivals --network=drn --output=DIR

What `dakd card` measures (docs/deploy.md), and beside it the same network in PyTorch, written as its best users would
(benchmarks.torch_rival): eager (channels_last, inference mode), compiled (torch.compile with frozen weights; it needs a
C++ compiler, and keeps what it compiled for the later of the fresh processes), and exported from PyTorch to ONNX, under
the same ONNX Runtime as our export. All go from a picture uint8 to labels by the same upsampling and argmax, and take
turns.

--network=lite0, drn (DRN-D-22) or tiny has made-up weights, which speed does not depend on; --net=NET is a finished
one, a DRN-D with basic blocks or an EfficientNet-Lite, as dakd card takes it. Writes card.json, card.md and index.html.

Flags: --network, --net, --size=WIDTHxHEIGHT, --threads, --runs, --formats, --output, --eager_only.
"""

import contextlib
import dataclasses
import importlib.util
import io
import os
import pathlib
import sys
import tempfile
import warnings

import jax
from absl import flags

from benchmarks import steps
from dakd_jax.basics.errors import UserError
from dakd_jax.commands import card as command
from dakd_jax.deploy import finding
from dakd_jax.deploy.card import card_page, collecting, runtimes, subjects
from dakd_jax.deploy.card.collecting import Row
from dakd_jax.deploy.card.latency import Order
from dakd_jax.deploy.export.program import INPUT, LABELS, LOGITS
from dakd_jax.models import segmenter
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.stages import weights
from dakd_jax.studies.kit import trade
from data_pipelines.basics.errors import DataError
from data_pipelines.doctor import command_line

# {--network: (architecture, its picture's (width, height))}
NETWORKS = {
    "lite0": ("efficientnet_lite0", (512, 256)),
    "drn": ("drn_d_22", (1024, 512)),
    "tiny": ("tiny", (64, 32)),
}
OPSET = 18
_SHARED = {flag.name: flag for flag in command.FLAGS}
_THIS, _FROM_PYTORCH = "benchmarks.card_rivals", "ONNX Runtime, from PyTorch"
_TWINS = ("benchmarks.torch_rival.drn", "benchmarks.torch_rival.lite")


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum("network", "drn", tuple(NETWORKS), "One with made-up weights.", flag_values=values)
    flags.DEFINE_string("net", "", "A finished one in its place.", flag_values=values)
    flags.DEFINE_boolean("eager_only", False, "No torch.compile.", flag_values=values)
    flags.DEFINE_integer("runs", 40, _SHARED["runs"].about, lower_bound=1, flag_values=values)
    for name in ("size", "output"):
        flags.DEFINE_string(name, "", _SHARED[name].about, flag_values=values)
    for name in ("threads", "formats"):
        flags.DEFINE_list(name, list(_SHARED[name].default), _SHARED[name].about, flag_values=values)


def run(values: flags.FlagValues, console) -> None:
    """Measures, writes the files, prints the tables."""
    if not values.output:
        raise DataError("--output=DIR is missing, a folder for the card")
    settings = _settings(values)
    try:
        card = _card(values, settings, console)
        page = card_page.write(card, pathlib.Path(values.output))
    except UserError as error:
        raise DataError(str(error)) from error
    for table in (trade.network_table(card), trade.latency_table(card, brief=True)):
        console.print(table.to_rich())
    console.print(f"Card: {page}", highlight=False, markup=False, soft_wrap=True)


def _settings(values: flags.FlagValues) -> collecting.CardSettings:
    """Of the flags that dakd card has too."""
    read = []
    for name in ("size", "threads", "runs", "formats"):
        value = values[name].value
        try:
            read.append(_SHARED[name].read(tuple(value) if isinstance(value, list) else value))
        except ValueError as error:
            raise DataError(f"--{name}: {error}") from error
    return collecting.CardSettings(*read)


def _card(values: flags.FlagValues, settings: collecting.CardSettings, console) -> dict:
    card_page.require_writable(pathlib.Path(values.output))
    with tempfile.TemporaryDirectory(prefix="dakd_card_rivals_") as folder:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(pathlib.Path(folder, "inductor")))
        network = subjects.find(values.net) if values.net else _made_up(values.network, pathlib.Path(folder))
        makers = [lambda *given: _in_pytorch(*given, eager_only=values.eager_only)]
        typed = f"python -m benchmarks.card_rivals {' '.join(sys.argv[1:])}"
        return collecting.collect([network], settings, console, command=typed, more=makers)


def _made_up(name: str, folder: pathlib.Path) -> subjects.Subject:
    """A network that no training has seen, as a file."""
    arch, size = NETWORKS[name]
    model = Segmenter(arch=arch, num_classes=steps.NUM_CLASSES)
    variables = jax.tree_util.tree_map_with_path(steps.made_up, segmenter.blank_segmenter(model))
    weights.save(folder / "made_up.safetensors", variables, model)
    found = subjects.find(str(folder / "made_up.safetensors"), arch=arch, size=size)
    return dataclasses.replace(found, name=f"{arch}, made-up weights")


def _in_pytorch(subject, size, settings, folder: pathlib.Path, *, eager_only: bool) -> tuple[list[Row], list[dict]]:
    """Rows of PyTorch by itself, and of its export in ONNX Runtime."""
    try:
        import torch
    except ImportError:
        return [], [{"runtime": "PyTorch", "why": "pip install torch"}]
    arguments = {"path": subject.path, "how": dict(subject.how)}
    exported = {} if importlib.util.find_spec("onnxruntime") is None else _exported(torch, arguments, size, folder)
    openers = {"PyTorch": {"compiled": False}} | ({} if eager_only else {"PyTorch compiled": {"compiled": True}})
    rows = []
    for count in settings.thread_counts():
        for title, how in openers.items():
            given = (arguments | how | {"threads": count}, ("torch", _THIS, *_TWINS), count, size)
            rows.append(Row(subject.name, title, "float32", Order(f"{_THIS}:open_torch", *given)))
        if exported:
            given = {"files": exported, "format_name": "onnx", "threads": count}
            imports = ("onnxruntime", "dakd_jax.deploy.export.onnx")
            order = Order(f"{runtimes.__name__}:open_file", given, imports, count, size)
            rows.append(Row(subject.name, _FROM_PYTORCH, "float32", order, os.path.getsize(exported[LABELS])))
    return rows, []


def _exported(torch, arguments: dict, size, folder: pathlib.Path) -> dict[str, str]:
    """{output: path} of what torch.onnx.export makes of the module."""
    files = {}
    for output in (LABELS, LOGITS):
        files[output] = str(folder / f"{output}.onnx")
        picture = torch.zeros((1, size[1], size[0], 3), dtype=torch.uint8)
        with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module(**arguments, output=output), (picture,), files[output], input_names=[INPUT],
                output_names=[output], opset_version=OPSET, dynamo=False,
            )  # fmt: skip
    return files


def module(path: str, how: dict, output: str):
    """A torch module from a picture uint8 [1, H, W, 3] to labels uint8 [1, H, W], or to logits [1, C, h, w].

    Raises:
      ValueError: there is no twin of this network.
    """
    import torch

    from benchmarks.torch_rival import drn, lite, parts

    found = finding.find(path, **how)
    twin = lite if found.model.arch.startswith("efficientnet_lite") else drn
    inner = twin.Segmenter(found.model, weights.load(found.place, found.model), parts.How())

    class Answers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, picture):
            logits, stride = self.inner.logits(picture, ("main",))["main"]
            if output == LOGITS:
                return logits
            return parts.larger(logits, stride, picture.shape[1:3]).argmax(1).to(torch.uint8)

    return Answers().eval()


def open_torch(path: str, how: dict, compiled: bool, threads: int, output: str) -> runtimes.Run:
    """As runtimes' openers, in PyTorch."""
    import torch

    from benchmarks.torch_rival import parts

    parts.set_up(threads)
    answers = module(path, how, output)
    if compiled:
        torch._inductor.config.freezing = True
        answers = torch.compile(answers, fullgraph=True, dynamic=False)

    def run(picture):
        with torch.no_grad() if compiled else torch.inference_mode():
            return answers(torch.from_numpy(picture)).numpy()

    return run


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
