"""Scores one checkpoint on target val: python run.py --mode=evaluate --config.eval.checkpoint=PATH

PATH is a stage folder, FILE or FILE#KEY: docs/weights.md. Prints the scores and writes nothing.
"""

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, LOOK, Command, Context
from dakd_jax.commands.kit import workdirs


def run(context: Context) -> None:
    """Scores config.eval.checkpoint."""
    from dakd_jax.evaluation.evaluation_store import Evaluator
    from dakd_jax.stages import networks, settings, weights
    from dakd_jax.studies.experiment import results

    workdirs.settle(context, of_checkpoint=True)
    config, feed, path = context.config, context.feed, context.config.eval.checkpoint
    settings.check(config)
    if not path:
        raise UserError("--mode=evaluate needs --config.eval.checkpoint=PATH, a stage folder or a .pth file")
    model = networks.checkpoint_model(config, len(feed.class_names))
    evaluator = Evaluator(settings.evaluation_settings(config, config.eval.network), feed, context.console)
    confusion, _ = evaluator.score(path, model, weights.load(path, model))
    context.console.print(results.single_table(config.eval.protocol, feed.class_names, confusion))
    context.console.print(results.one_line(confusion), highlight=False)


FIELDS = ("eval.checkpoint", "eval.network", "eval.protocol", "eval.batch_size")
COMMANDS.register("evaluate", Command(__doc__, run, LOOK, 0, fields=FIELDS))
