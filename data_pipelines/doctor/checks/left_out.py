"""Are there files beside the split's pictures that look as if they were meant to be some?"""

from data_pipelines.datasets import LAYOUTS, base
from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, WARNING, Finding, Outcome

NAME = "left out"
MOST = 0.05  # of all, before it is no longer a stray file or two


def check(audited: AuditedSplit) -> Outcome:
    """An error where nothing else is there, or more than MOST; else a warning."""
    inventory = audited.inventory
    files = inventory.passed_over
    if not files:
        return Outcome("none")
    there = base.say_passed_over(files, inventory.root)
    message = f"left out, since it takes {inventory.wanted}: {there}"
    advice = "give them such names, formats and places, or move them away; docs/datasets.md shows each layout"
    if LAYOUTS[inventory.dataset].has_folders and any(path.parent != inventory.root for path in files):
        advice = (
            f"give --recursive, and training --config.data.target_recursive=True, for those in folders below; {advice}"
        )
    severity = severity_of(len(files), len(files) + len(inventory.examples))
    return Outcome(f"{len(files):,}", (Finding(severity, message, advice, files),))


def severity_of(left_out: int, total: int) -> str:
    """How bad it is that so many of all pictures are left out."""
    return ERROR if left_out == total or left_out > MOST * total else WARNING
