"""Predicts on pictures and films: python run.py --mode=predict NET INPUT ... --output=DIR

NET is a run's folder (the last stage of its goal), RUN#STAGE, a stage's folder or a file of weights; each INPUT a
picture, a film, a folder or a pattern. Writes DIR/labels (class numbers), colours and overlays, as PNG at the size of
the picture, of a film as films; --confidence and --beside=NET2 add more. Goes on where it stopped (docs/deploy.md). A
file of weights without a record beside it is read as --config.student says, if --config.student.arch is given. Exit
code 1 if an input could not be read, or not to its end.
"""

import pathlib

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, DONE, LEFT_OUT, USE, Command, Context, Flag, Invocation


def check(invocation: Invocation) -> None:
    """Whether there is a place for the answers."""
    if not invocation.flags["output"]:
        raise UserError("--mode=predict needs --output=DIR, a folder for the answers")


def run(context: Context) -> int:
    """Writes the answers for all inputs."""
    from dakd_jax.deploy.predicting import answer_files, everything, inputs
    from dakd_jax.deploy.predicting.outcome import say
    from dakd_jax.training.runtime import compilation_cache

    compilation_cache.enable_for_user()
    output = pathlib.Path(context.flags["output"]).expanduser()
    paths = inputs.find(context.words[1:], output, answer_files.KINDS)
    networks = [load_network(context, path) for path in (context.words[0], context.flags["beside"]) if path]
    kinds = [answer_files.LABELS, answer_files.COLOURS, answer_files.OVERLAYS]
    kinds += [answer_files.CONFIDENCE] * context.flags["confidence"] + [answer_files.BESIDE] * (len(networks) > 1)
    of = {name: one.found.identity() for name, one in zip(("network", "beside_network"), networks, strict=False)}
    files = answer_files.AnswerFiles(output, kinds, of)
    named = inputs.named(paths, files.taken_by_another)
    for network in networks:
        say(context.console, str(network))
    found = everything.predict_all(networks, named, files, kinds, context.console)
    films = sum(one.is_film() for one in named)
    counts = {"picture": len(named) - films, "film": films}
    what = " and ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)
    say(context.console, f"{what}: {found}; {output}")
    return LEFT_OUT if found.left_out or found.in_part else DONE


def load_network(context: Context, path: str):
    """A network; of a file without a record, as --config.student and --config.data say."""
    from dakd_jax.deploy import finding, loaded
    from dakd_jax.stages import settings, weights

    given, config = context.given, context.config
    how = {"bit_depth": config.data.bit_depth} if "data.bit_depth" in given else {}
    how |= {"plugins": config.plugins} if "plugins" in given else {}
    if "student.arch" in given and not weights.recorded(path):
        own = {field: config.student[field] for field in weights.NETWORK_FIELDS if f"student.{field}" in given}
        how |= own | {"size": settings.training_size(config, "student")}
    return loaded.LoadedNetwork(finding.find(path, **how))


FLAGS = (
    Flag("output", "", "folder for the answers"),
    Flag("confidence", False, "write the largest probability too, 0 to 255"),
    Flag("beside", "", "another network, whose overlays are put beside"),
)
FIELDS = ("data.bit_depth", "student.arch", "data.target_size")
COMMANDS.register(
    "predict",
    Command(
        __doc__, run, USE, 0, flags=FLAGS, words="a network and pictures or films", num_words=2, more_words=True,
        fields=FIELDS, check=check,
    ),
)  # fmt: skip
