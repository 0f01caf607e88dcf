"""Shows a network at work on a page: python run.py --mode=show NET [--beside=NET2]

NET is as for --mode=predict: a run's folder, RUN#STAGE, a stage's folder or a file of weights. The page, on this
machine alone, takes pictures and films that are dropped on it and shows what the network says of them, beside another
network where one is named; Ctrl-C ends it (docs/deploy.md). What is dropped stays in memory and is gone with it.
"""

import importlib.util

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, DONE, INTERRUPTED, USE, Command, Context, Flag, Invocation, predict
from dakd_jax.commands.kit import networks

_NEEDED = ("starlette", "uvicorn")


def check(invocation: Invocation) -> None:
    """Whether what serves the page is installed."""
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"--mode=show needs {' and '.join(missing)}: pip install -r requirements-deploy.txt (of an installed "
            "dakd_jax: pip install 'dakd_jax[deploy]')"
        )


def run(context: Context) -> int:
    """Serves the page until Ctrl-C."""
    from dakd_jax.deploy.show import page_server
    from dakd_jax.training.runtime import compilation_cache

    compilation_cache.enable_for_user()
    socket = page_server.listen(context.flags["port"])  # what is taken is told before anything is loaded
    paths = [path for path in (context.words[0], context.flags["beside"]) if path]
    page = page_server.Page([networks.load(context, path) for path in paths], paths)
    try:
        page_server.serve(page, socket, context.console, opening=context.flags["open"])
    except KeyboardInterrupt as stopped:  # the usual end
        if getattr(stopped, "exit_code", INTERRUPTED) != INTERRUPTED:
            raise
    return DONE


FLAGS = (
    Flag("beside", "", "another network, whose answers are put beside"),
    Flag("port", 0, "of the page; one that is free where it is not given", minimum=0),
    Flag("open", False, "open the page in the browser"),
)
COMMANDS.register(
    "show",
    Command(__doc__, run, USE, 1, flags=FLAGS, words="a network", num_words=1, fields=predict.FIELDS, check=check),
)
