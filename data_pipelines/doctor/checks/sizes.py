"""How large are the pictures, and is each label as large as its picture?"""

from collections import Counter

from data_pipelines.datasets import LAYOUTS
from data_pipelines.doctor.checks import left_out
from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, Finding, Outcome, amount, named
from data_pipelines.reading import loading

NAME = "sizes"

_SHOWN = 3


def distribution(audited: AuditedSplit) -> Counter:
    """(width, height) to the number of pictures of that size."""
    return Counter(facts.size for _, facts in audited.pictures() if facts.size)


def check(audited: AuditedSplit) -> Outcome:
    """An error where training would stop; a warning of a few in a layout that is known for such pairs."""
    found = distribution(audited).most_common()
    summary = ", ".join(f"{w}x{h}" + f" ({count:,})" * (len(found) > 1) for (w, h), count in found[:_SHOWN])
    summary += f" and {len(found) - _SHOWN} more" * (len(found) > _SHOWN)
    unequal = [
        (example, facts.image.size, facts.label.size)
        for example, facts in zip(audited.inventory.examples, audited.facts, strict=True)
        if facts.label is not None and facts.image.size and facts.label.size and facts.image.size != facts.label.size
    ]
    if not unequal:
        return Outcome(summary)
    files = tuple(example.label for example, *_ in unequal)
    reason, advice = str(loading.sizes_differ(*unequal[0])).rsplit("; ", 1)
    message = reason
    if len(files) > 1:
        message = f"{amount(len(files), 'label')} of another size than their pictures: {named(files)}; first: {reason}"
    severity = ERROR
    if LAYOUTS[audited.inventory.dataset].screen:
        severity = left_out.severity_of(len(unequal), len(audited.inventory.examples))
        few = len(unequal) < len(audited.inventory.examples)
        advice = (
            "training leaves such pairs out; a few are known in the release" if few else "no pair is left to train on"
        )
    return Outcome(summary, (Finding(severity, message, advice, files),))
