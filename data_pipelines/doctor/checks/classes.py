"""Which classes never occur?"""

from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import WARNING, Finding, Outcome

NAME = "classes"


def absent(audited: AuditedSplit) -> list[str]:
    """Classes without a pixel in the labels that were decoded."""
    total, names = audited.class_counts().sum(axis=0), audited.inventory.class_names
    return [name for index, name in enumerate(names) if not total[index]]


def check(audited: AuditedSplit) -> Outcome:
    """A warning, and only where every label was counted."""
    if not len(audited.class_counts()):
        return Outcome("no labels" if audited.inventory.labels != "yes" else "none counted")
    missing = absent(audited)
    number = len(audited.inventory.class_names)
    summary = f"{number - len(missing)} of {number}" + " in the sample" * (not audited.whole)
    if not missing or not audited.whole:
        return Outcome(summary)
    message = f"never in a label: {', '.join(missing)}"
    advice = "nothing can be learnt or measured of these: compare on the classes that are there (miou_present)"
    return Outcome(summary, (Finding(WARNING, message, advice),))
