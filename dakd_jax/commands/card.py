"""Measures what networks cost and are worth: python run.py --mode=card NET [--beside=NET2,NET3]

NET is as for --mode=predict: a run's folder, RUN#STAGE, a stage's folder or a file of weights. Parameters, operations,
file sizes, memory and latency in jax, ONNX Runtime and LiteRT, beside the mIoU that the run has recorded, as card.json,
card.md and a page (docs/deploy.md). Without --output into the folder of NET's run, whose reports show it from then on.
"""

import dataclasses
import pathlib

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, USE, Command, Context, Flag
from dakd_jax.commands.export import DYNAMIC, read_size
from dakd_jax.commands.kit import networks
from dakd_jax.deploy import export


def run(context: Context) -> None:
    """Measures, writes the files, prints the tables."""
    from dakd_jax.deploy.card import card_page, collecting, subjects
    from dakd_jax.studies.kit import more_pages, trade

    flags, paths = context.flags, [context.words[0], *context.flags["beside"]]
    found = subjects.told_apart([subjects.find(path, **networks.said(context, path)) for path in paths])
    home = found[0].run and found[0].run / more_pages.CARD
    if not (flags["output"] or home):
        raise UserError("--mode=card of a network that is no stage of a run needs --output=DIR, a folder for the card")
    output = pathlib.Path(flags["output"]).expanduser() if flags["output"] else home
    card_page.require_writable(output)
    how = (flags[name] for name in ("size", "threads", "runs", "formats"))
    settings = collecting.CardSettings(*how, lambda one, size: _calibration(context, one, size))
    card = collecting.collect(found, settings, context.console, command=context.typed)
    page = card_page.write(card, output)
    if home and output.resolve() == home.resolve():
        card_page.update_reports(found[0].run)
    for table in (trade.network_table(card), trade.latency_table(card, brief=True)):
        context.console.print(table.to_rich())
    for line in (*trade.sentences(card), f"Card: {page}"):
        context.say(line)


def _calibration(context: Context, subject, size):
    """Pictures for int8, as dakd export has them."""
    from dakd_jax.commands.kit import run_pictures
    from dakd_jax.deploy.loaded import LoadedNetwork

    context = dataclasses.replace(context, flags={**context.flags, "pictures": ""})
    return run_pictures.of(context, LoadedNetwork(subject.found)).calibration(size)


def _paths(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _size(text: str) -> tuple[int, int] | None:
    size = read_size(text)
    if size == DYNAMIC:
        raise UserError(f"--size={text}: latency is of one size; say it as 1024x512")
    return size or None


def _threads(words: tuple[str, ...]) -> tuple[int, ...]:
    """0 stands for all."""
    counts = [word.strip() for word in words]
    if not counts or any(word != "all" and not (word.isdecimal() and int(word)) for word in counts):
        raise ValueError("expected how many, or all, with commas between them, as --threads=1,all")
    return tuple(0 if word == "all" else int(word) for word in counts)


def _formats(words: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    names = [name for name in export.CELLS if export.ENDINGS[name]]  # a folder is served, and not run for a picture
    cells = [f"{name}{end}" for name in names for end in ("", *(f":{dtype}" for dtype in export.CELLS[name]))]
    if unknown := [word for word in words if word not in cells]:
        raise ValueError(f"{unknown[0]} is none of {', '.join(cells)}")
    return words


FLAGS = (
    Flag("output", "", "folder for the card; the default is card/ in the run's folder"),
    Flag("beside", "", "other networks, with commas between them: a teacher, a student, cases", read=_paths),
    Flag("size", "", "of the picture, WIDTHxHEIGHT; the default is the network's own", read=_size),
    Flag("threads", ("1", "all"), "how many, each a row", read=_threads),
    Flag("runs", 40, "timed answers of each row", minimum=1),
    Flag("formats", ("onnx", "tflite"), "exports that are measured beside jax, as onnx,tflite:int8", read=_formats),
    Flag("calibrate", "", "for int8: a folder of pictures; '' for the target's of the run"),
)
COMMANDS.register(
    "card",
    Command(
        __doc__, run, USE, 5, flags=FLAGS, words="a network", num_words=1,
        fields=("student.arch", "data.target_size"),
    ),
)  # fmt: skip
