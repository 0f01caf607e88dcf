"""Compares exported files and packed networks with the golden pair that they carry: dakd check FILE|FOLDER ...

Prints what each is, and how many labels of its golden pair are those of the network it was made of: a file's in its own
runtime, those of a folder of dakd pack here. A SavedModel is code: one that another machine exported is run with
--trust alone. Exit code 2 at the first that is not what it says.
"""

import pathlib

from dakd_jax.commands import COMMANDS, USE, Command, Context, Flag


def run(context: Context) -> None:
    """Checks each file or folder."""
    from dakd_jax.deploy.finding import packed
    from dakd_jax.models import weight_files

    for word in context.words:
        folder = packed.folder_of(weight_files.place(word))
        found = _packed(context, word, folder) if folder else _exported(context, word)
        context.say(f"here: {found:.3%} of the golden pair's labels agree")


def _exported(context: Context, word: str) -> float:
    from dakd_jax.deploy.export import artefact, exporting, proof

    made = artefact.read(pathlib.Path(word).expanduser())
    for line in (f"{word}:", *exporting.summary(made), *_about(made.record)):
        context.say(line)
    if made.is_code:
        context.say("a SavedModel is code; running it")
    return proof.check(made, trust=context.flags["trust"])


def _packed(context: Context, word: str, folder: pathlib.Path) -> float:
    from dakd_jax.commands.kit import networks
    from dakd_jax.deploy.finding import packed
    from dakd_jax.deploy.packing import hub_folder

    network, told = networks.load(context, word), packed.read(folder)
    for line in (f"{word}:", *hub_folder.summary(told), *_about(told)):
        context.say(line)
    return hub_folder.check(network, folder, told)


def _about(record: dict) -> list[str]:
    licences = "; ".join(f"{name}: {licence or 'unknown'}" for name, licence in record["licences"].items())
    made_with = ", ".join(f"{name} {version}" for name, version in record["made_with"].items())
    return [
        f"{len(record['classes'])} classes: {', '.join(record['classes'])}",
        f"trained on data under these licences: {licences or 'unknown'}",
        f"made with {made_with}",
    ]


FLAGS = (Flag("trust", False, "run a SavedModel of another machine, which is code"),)
COMMANDS.register(
    "check",
    Command(__doc__, run, USE, 3, flags=FLAGS, words="exported files or packed networks", num_words=1, more_words=True),
)
