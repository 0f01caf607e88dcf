"""Is a picture of one split also in another one?"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, Finding, Outcome, amount, named

NAME = "duplicates"


def check(audited: AuditedSplit, others: Sequence[AuditedSplit]) -> Outcome:
    """An error: scores on pictures that were trained on mean nothing. Finds equal content, not likeness.

    Args:
      audited: the split that is scored.
      others: the splits before it.
    """
    if not others:
        return Outcome("")
    seen = {content: image for other in others for image, content in _contents(other)}
    seen.pop("", None)  # not known
    pairs = [(image, seen[content]) for image, content in _contents(audited) if content in seen]
    where = " and ".join(other.inventory.split for other in others)
    if not pairs:
        return Outcome(f"none in {where}")
    files = [image for image, _ in pairs]
    message = f"{amount(len(files), 'picture')} also in {where}: {named(files)}; first: {pairs[0][0]} = {pairs[0][1]}"
    finding = Finding(ERROR, message, "remove them from one of the two", files)
    return Outcome(f"{len(files):,} in {where}", (finding,))


def _contents(audited: AuditedSplit) -> Iterator[tuple[Path, str]]:
    return zip((image for image, _ in audited.pictures()), audited.contents, strict=True)
