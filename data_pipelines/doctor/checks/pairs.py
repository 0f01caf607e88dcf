"""Has every picture its label, and every label its picture?"""

from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, WARNING, Finding, Outcome, amount, named
from data_pipelines.doctor.measuring.inventory import Inventory

NAME = "pairs"


def check(audited: AuditedSplit) -> Outcome:
    """Errors, but for files that nothing reads, and for a target of adaptation without any labels."""
    inventory = audited.inventory
    findings = [*_without_label(inventory), *_without_picture(inventory), *_gaps(inventory), *_repeated(inventory)]
    return Outcome(_summary(inventory), tuple(findings))


def _summary(inventory: Inventory) -> str:
    if inventory.labels != "yes":
        return "no labels"
    strays = sum(map(len, inventory.strays.values()))
    parts = [
        amount(len(inventory.examples) - len(inventory.missing), "label"),
        f"{len(inventory.missing):,} missing" * bool(inventory.missing),
        f"{amount(strays, 'file')} without a picture" * bool(strays),
    ]
    return ", ".join(filter(None, parts))


def _without_label(inventory: Inventory):
    missing, total = inventory.missing, len(inventory.examples)
    if not missing:
        return
    if inventory.labels == "no" and inventory.may_lack_labels:
        use = "of use as an unlabelled target only" if inventory.split == "train" else "there is nothing to score on"
        message = f"none of {amount(total, 'picture')} has a label: {use}"
        yield Finding(WARNING, message, f"unpack the labels too ({missing[0]}, ...)")
        return
    message = f"{len(missing):,} of {amount(total, 'picture')} without a label, expected {named(missing)}"
    who = "a stage that learns from them" if inventory.may_lack_labels else "training"
    yield Finding(ERROR, message, f"add the labels or remove the pictures: {who} stops at the first", missing)


def _without_picture(inventory: Inventory):
    """A lost picture is missed even where the label that is left is of a kind that nothing reads."""
    for kind, strays in inventory.strays.items():
        verb = "has no picture" if len(strays) == 1 else "have no picture"
        message = f"{amount(len(strays), f'{kind} file')} {verb}: {named(strays)}"
        advice = "restore the pictures, or remove these files"
        yield Finding(ERROR, message, advice, strays)


def _gaps(inventory: Inventory):
    for kind, pictures in inventory.gaps.items():
        message = f"{amount(len(pictures), 'picture')} without a {kind} file: {named(pictures)}"
        advice = "nothing reads these files, but the archive was not unpacked as a whole"
        yield Finding(WARNING, message, advice, pictures)


def _repeated(inventory: Inventory):
    if repeated := inventory.repeated:
        folders = sorted({path.parent.as_posix() for path in repeated})
        where = f"in {folders[0]}" if len(folders) == 1 else f"in {len(folders)} folders, {folders[0]} and {folders[1]}"
        message = f"{len(repeated):,} files stand for fewer pictures: {named(repeated)}, {where}"
        yield Finding(ERROR, message, "keep one file of each picture", repeated)
