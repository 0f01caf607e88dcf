"""What is in the pictures besides pixels of 8 bits: orientation, transparency, several frames?"""

from collections import Counter

from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import WARNING, Finding, Outcome, amount, named
from data_pipelines.pictures import orientation

NAME = "pixels"
# (which facts tell it, what one such picture is called, what several are, advice)
_KINDS = (
    (
        lambda facts: facts.orientation != orientation.UPRIGHT and not facts.turned,
        "picture with a label and an EXIF orientation",
        "pictures with labels and an EXIF orientation",
        "with their labels they are read as stored (remove the tag where these fit that, else turn the pixels), "
        "without them upright",
    ),
    (
        lambda facts: facts.transparent and facts.content,
        "picture with transparent pixels",
        "pictures with transparent pixels",
        "the colours beneath are read: save them without alpha if these are not meant",
    ),
    (
        lambda facts: facts.frames > 1,
        "picture of several frames or pages",
        "pictures of several frames or pages",
        "the first one is read: save each as a file of its own if all are meant",
    ),
)


def check(audited: AuditedSplit) -> Outcome:
    """Warnings: each kind once, however many files have it."""
    known = [(path, facts) for path, facts in audited.pictures() if facts.mode]
    modes = Counter(facts.mode for _, facts in known).most_common()
    turned = sum(facts.turned for _, facts in known)
    parts = [mode + f" ({count:,})" * (len(modes) > 1) for mode, count in modes]
    parts += [f"{turned:,} turned upright"] * bool(turned)
    findings = []
    for wrong, one, several, advice in _KINDS:
        if files := [path for path, facts in known if wrong(facts)]:
            findings.append(Finding(WARNING, f"{amount(len(files), one, several)}: {named(files)}", advice, files))
    return Outcome(", ".join(parts), tuple(findings))
