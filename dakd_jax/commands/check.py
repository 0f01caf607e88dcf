"""Runs exported files in their own runtime and compares with what they carry: dakd check FILE ...

Prints what each is, and how many labels of its golden pair are those of the network it was made of. A SavedModel is
code: one that another machine exported is run with --trust alone. Exit code 2 at the first file that is not what it
says.
"""

import pathlib

from dakd_jax.commands import COMMANDS, USE, Command, Context, Flag


def run(context: Context) -> None:
    """Checks each file."""
    from dakd_jax.deploy.export import artefact, exporting, proof

    for word in context.words:
        made = artefact.read(pathlib.Path(word).expanduser())
        for line in (f"{word}:", *exporting.summary(made), *_about(made.record)):
            context.say(line)
        if made.is_code:
            context.say("a SavedModel is code; running it")
        found = proof.check(made, trust=context.flags["trust"])
        context.say(f"here: {found:.3%} of the golden pair's labels agree")


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
    Command(__doc__, run, USE, 3, flags=FLAGS, words="exported files", num_words=1, more_words=True),
)
