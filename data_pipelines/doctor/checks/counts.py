"""Are there as many pictures as were released?"""

from data_pipelines.datasets import LAYOUTS
from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, WARNING, Finding, Outcome, amount

NAME = "count"


def check(audited: AuditedSplit) -> Outcome:
    """A warning: a subset, or the toy city, is fine. Of nothing at all an error."""
    inventory = audited.inventory
    there, official = len(inventory.examples), LAYOUTS[inventory.dataset].official_counts.get(inventory.split)
    if not there:
        message, advice = "no pictures", "unpack the archives into the folders that docs/datasets.md shows"
        return Outcome(message, (Finding(ERROR, message, advice),))
    if official is None or there == official:
        return Outcome(amount(there, "picture"))
    message = f"{amount(there, 'picture')}; as released, {inventory.dataset} {inventory.split} has {official:,}"
    advice = "fine for a subset; else unpack the rest of the archives"
    return Outcome(f"{there:,} of {official:,}", (Finding(WARNING, message, advice),))
