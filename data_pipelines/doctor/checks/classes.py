"""Which classes never occur?"""

from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import WARNING, Finding, Outcome
from data_pipelines.reading.label_spaces import CITYSCAPES_CLASSES, NUM_CLASSES

NAME = "classes"


def absent(audited: AuditedSplit) -> list[str]:
    """Classes without a pixel in the labels that were decoded."""
    total = audited.class_counts()[:, :NUM_CLASSES].sum(axis=0)
    return [name for name, pixels in zip(CITYSCAPES_CLASSES, total, strict=True) if not pixels]


def check(audited: AuditedSplit) -> Outcome:
    """A warning, and only where every label was counted."""
    if not len(audited.class_counts()):
        return Outcome("no labels" if audited.inventory.labels != "yes" else "none counted")
    missing = absent(audited)
    summary = f"{NUM_CLASSES - len(missing)} of {NUM_CLASSES}" + " in the sample" * (not audited.whole)
    if not missing or not audited.whole:
        return Outcome(summary)
    message = f"never in a label: {', '.join(missing)}"
    advice = "nothing can be learnt or measured of these: compare on the classes that are there (miou_present)"
    return Outcome(summary, (Finding(WARNING, NAME, audited.inventory.split, message, advice),))
