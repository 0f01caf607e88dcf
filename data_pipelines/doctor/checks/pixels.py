"""What is in the pictures besides pixels of 8 bits: orientation, transparency, several frames?"""

from collections import Counter

from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import WARNING, Finding, Outcome, amount, named
from data_pipelines.pictures import orientation

NAME = "pixels"


def check(audited: AuditedSplit) -> Outcome:
    """Warnings: each kind once, however many files have it."""
    known = [(path, facts) for path, facts in audited.pictures() if facts.mode]
    modes = Counter(facts.mode for _, facts in known).most_common()
    turned = sum(facts.turned for _, facts in known)
    parts = [mode + f" ({count:,})" * (len(modes) > 1) for mode, count in modes]
    parts += [f"{turned:,} turned upright"] * bool(turned)
    found = [
        _finding(
            audited,
            [path for path, facts in known if facts.orientation != orientation.UPRIGHT and not facts.turned],
            "picture with a label and an EXIF orientation",
            "pictures with labels and an EXIF orientation",
            "with their labels they are read as stored (remove the tag where these fit that, else turn the pixels), "
            "without them upright",
        ),
        _finding(
            audited,
            [path for path, facts in known if facts.transparent and facts.content],
            "picture with transparent pixels",
            "pictures with transparent pixels",
            "the colours beneath are read: save them without alpha if these are not meant",
        ),
        _finding(
            audited,
            [path for path, facts in known if facts.frames > 1],
            "picture of several frames or pages",
            "pictures of several frames or pages",
            "the first one is read: save each as a file of its own if all are meant",
        ),
    ]
    return Outcome(", ".join(parts), tuple(filter(None, found)))


def _finding(audited: AuditedSplit, files: list, one: str, several: str, advice: str) -> Finding | None:
    if not files:
        return None
    message = f"{amount(len(files), one, several)}: {named(files)}"
    return Finding(WARNING, NAME, audited.inventory.split, message, advice, len(files), tuple(files))
