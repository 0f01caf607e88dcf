"""Runs a step again and names the first layer that is not finite: python run.py --replay=FOLDER

FOLDER is a blackbox-* of a stage: the run that met a NaN says which (docs/reliability.md). `dakd replay FOLDER` is the
same. Exit code 3 if something is not finite again.
"""

import dataclasses
import math

from ml_collections import ConfigDict
from rich.console import Console

from dakd_jax.basics import plugs
from dakd_jax.commands import COMMANDS, DIVERGED, DONE, KEEP, Command, Context

MOST_PLACES = 10  # that are listed


def run(context: Context) -> int:
    """Replays a bundle, with the plugins that its run had, or those of the command line."""
    (path,) = context.words
    mine = context.config.plugins if "plugins" in context.given else None
    return DONE if replay(path, context.console, mine) else DIVERGED


def replay(path: str, console: Console, plugins: tuple[str, ...] | None = None) -> bool:
    """Runs a bundle's step again, and names the first places that are not finite; True when all is.

    Args:
      path: of the bundle, see training/watch/black_box.py.
      plugins: take the place of those that its config names.
    """
    from dakd_jax.objectives import options, paradigms
    from dakd_jax.stages import older_configs, settings
    from dakd_jax.training.watch import black_box

    bundle = black_box.load(path)
    config, name = ConfigDict(older_configs.modernise(bundle.about["config"])), bundle.about["stage"]
    plugs.load(config.get("plugins", ()) if plugins is None else plugins)
    options.fill_defaults(config)
    stage = paradigms.stage(name, config.student.init_from)
    values, found = _run_again(bundle, settings.stage_settings(config, stage, bundle.about["num_classes"]))
    console.print(f"step {bundle.about['step']} of {name}, from {path}", highlight=False, soft_wrap=True)
    for term, value in values.items():
        console.print(f"  {term:<44} {value:.6g}", highlight=False)
    if bundle.about.get("came_again") is False:
        console.print(f"  {_met_before(bundle.about)}", highlight=False, soft_wrap=True)
    if not found:
        bad = [term for term, value in values.items() if not math.isfinite(value)]
        console.print(f"first not finite: {bad[0] if bad else 'nothing'}", highlight=False)
        return not bad
    console.print(f"first not finite: {found[0]}", highlight=False)
    for place in found[1:MOST_PLACES]:
        console.print(f"  then {place}", highlight=False)
    return False


def _run_again(bundle, chosen) -> tuple[dict[str, float], list[str]]:
    """(losses and norms by name, places that are not finite in their order) of a bundle's step under its settings."""
    from dakd_jax.models import segmenter
    from dakd_jax.training.step import step_setup, train_step
    from dakd_jax.training.teaching import forms
    from dakd_jax.training.watch import black_box, diagnosis

    options = dataclasses.replace(chosen.options, answers=forms.of_told(bundle.about.get("answers", {})))
    state = black_box.fill(step_setup.blank(chosen), bundle.state)
    teacher = None
    if bundle.teacher:
        teacher = black_box.fill(segmenter.blank_segmenter(chosen.models.teacher), bundle.teacher)
    inputs = (state, teacher, bundle.batch, chosen.weights)
    statics = {"models": chosen.models, "options": options}
    found = diagnosis.first_nonfinite(*inputs, **statics)
    _, losses = train_step.train_step(*inputs, bundle.rates, **statics, optimizer=chosen.optimizer)
    return {term: float(value) for term, value in losses.items() if term != train_step.FINITE}, found


def _met_before(about: dict) -> str:
    """Of a step that was kept though it did not go wrong again."""
    values = ", ".join(f"{term} ({value})" for term, value in about["values"].items())
    return f"not finite when it was first made: {values}; made again before it was kept, all was finite"


COMMANDS.register("replay", Command(__doc__, run, KEEP, 2, words="a blackbox-* folder", num_words=1, by_flag=True))
