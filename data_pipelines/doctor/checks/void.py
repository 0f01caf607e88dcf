"""How much of the labels counts as no class? Ids of another space may all be in the table, and be void."""

import numpy as np

from data_pipelines.doctor.checks.label_values import read_wrongly
from data_pipelines.doctor.measuring import label_kinds
from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import WARNING, Finding, Outcome, amount, named
from data_pipelines.reading.label_spaces import NUM_CLASSES

NAME = "void"

# Street scenes are 5 to 20 % void; train ids + 1 read as label ids about 60 to 100 %.
MOST = label_kinds.MOSTLY
_ADVICE = (
    "look at a few on the doctor's page: are these ids of another space, e.g. train ids + 1? Take files with the "
    "ids that docs/datasets.md shows"
)


def check(audited: AuditedSplit) -> Outcome:
    """Warnings, of labels whose values are in the table: those that are told as wrong already are left out."""
    labels = [
        (example.label, facts.counts)
        for example, facts in audited.labels()
        if facts.counts is not None and not read_wrongly(example, facts)
    ]
    if not labels:
        return Outcome("no labels" if audited.inventory.labels != "yes" else "none counted")
    counts = np.stack([counts for _, counts in labels])
    share = counts[:, NUM_CLASSES].sum() / counts.sum()
    findings = [_mostly_void(labels, share)] if share > MOST else []
    findings += _one_class(audited, counts)
    return Outcome(f"{share:.0%} of the pixels", tuple(findings))


def _mostly_void(labels: list, share: float) -> Finding:
    files = tuple(path for path, counts in labels if counts[NUM_CLASSES] > MOST * counts.sum())
    message = f"{share:.0%} of the pixels are void in {amount(len(labels), 'label')} decoded: {named(files)}"
    return Finding(WARNING, message, _ADVICE, files)


def _one_class(audited: AuditedSplit, counts: np.ndarray) -> list[Finding]:
    """Labels that hold a single class beside void; those without void are the business of the `constant` check."""
    classes = np.count_nonzero(counts[:, :NUM_CLASSES], axis=1)
    if len(counts) < 2 or classes.max() != 1 or (np.count_nonzero(counts, axis=1) <= 1).all():
        return []
    there = np.flatnonzero(counts[:, :NUM_CLASSES].sum(axis=0))
    names = ", ".join(audited.inventory.class_names[index] for index in there)
    message = f"each of {amount(len(counts), 'label')} holds one class and else void: {names}"
    return [Finding(WARNING, message, _ADVICE)]
