"""How the frozen teacher's answers come to a stage: asked for inside every step, kept, or handed in.

kept.py      asked once, and kept from one epoch to the next
handed_in.py made by another program
"""

import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ml_collections import ConfigDict

from dakd_jax.basics import records
from dakd_jax.objectives import paradigms
from dakd_jax.objectives.context import SOURCE, TARGET
from dakd_jax.training.stage_job import StageSettings
from dakd_jax.training.step import step_setup

HANDED_IN = "handed in: "  # begins what a record tells of answers that another program made


def why_not(config: ConfigDict, stage: paradigms.Stage, chosen: StageSettings) -> dict[str, str]:
    """{domain that the teacher is asked about: why an answer to a picture is of no use the next time, '' where it is}.

    Args:
      chosen: stage_settings of the stage.
    """
    always = _why_never(config, stage, chosen)
    redrawn = {} if always else step_setup.redraws(chosen)
    found = {}
    for domain in chosen.taught_on:
        method = redrawn.get(domain)
        pasted = domain == TARGET and stage.distil_target and config.data.class_mix > 0
        found[domain] = (
            always
            or (f"adaptation method {method!r} shows other pictures every time" if method else "")
            or ("data.class_mix pastes something else every time" if pasted else "")
        )
    return found


def _why_never(config: ConfigDict, stage: paradigms.Stage, chosen: StageSettings) -> str:
    """Why no answers are of use on whichever domain; '' where nothing is in the way."""
    data = config.data
    if stage.labelled != SOURCE:
        return "it has the labels of another domain"
    if term := step_setup.read_of_teacher(chosen).get(step_setup.FEATURES):
        return f"loss term {term!r} compares features"
    if tuple(data.scale) != (1.0, 1.0) or any(data.crop):
        return "data.scale and data.crop show another part every time"
    return ""


class Taught(NamedTuple):
    """A stage's settings, and all that its answers need.

    Attributes:
      settings: with the forms of the answers that come with the batch.
      teacher: what the step itself needs of it; None where all answers come with the batch.
      shown: domains of which batches must have the pictures as the teacher sees them.
      identified: domains of which batches must tell which pictures they hold.
      added: from such batches to those with the answers.
      told: {domain: how answers come}, for the record.
    """

    settings: StageSettings
    teacher: dict | None
    shown: tuple[str, ...]
    identified: tuple[str, ...]
    added: Callable[[Iterator[dict]], Iterator[dict]]
    told: dict[str, str]


def untaught(chosen: StageSettings) -> Taught:
    """A stage without a teacher."""
    return asked_inside(chosen, None, {})


def asked_inside(chosen: StageSettings, teacher: dict | None, told: dict[str, str]) -> Taught:
    """A stage whose teacher {'params', 'batch_stats'} is asked inside every step."""
    return Taught(chosen, teacher, chosen.taught_on, (), lambda batches: batches, told)


def told(folder: pathlib.Path, step: int, answers: dict[str, str], say: Callable[[str], None]) -> dict:
    """What a record tells of the teacher's answers: how they come, and from which step on where that has changed.

    A stage that was begun otherwise goes on, since the answers differ by rounding alone.
    """
    if not answers:
        return {}
    before = records.read_json(folder / "record.json") or {}
    changes = before.get("teacher_answers_changed", [])
    if step and before.get("teacher_answers") != answers:
        changes = [*changes, {"at_step": step, "before": before.get("teacher_answers")}]
        say(f"the teacher's answers come in another way from step {step} on: the last digits of what follows differ")
    return {"teacher_answers": answers} | ({"teacher_answers_changed": changes} if changes else {})
