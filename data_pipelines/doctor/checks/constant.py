"""Are there pictures of one colour, and labels of one class?"""

import numpy as np

from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, WARNING, Finding, Outcome, amount, named

NAME = "constant"

# Standard deviation in levels of 255: fog and night are far above, a black or grey frame with JPEG's noise is below.
MIN_SPREAD = 2.0


def check(audited: AuditedSplit) -> Outcome:
    """Warnings; errors where it is most of the files that were decoded."""
    pictures = [(path, facts.spread) for path, facts in audited.pictures() if facts.spread is not None]
    labels = [(example.label, facts.counts) for example, facts in audited.labels() if facts.counts is not None]
    flat = [path for path, spread in pictures if spread < MIN_SPREAD]
    single = [path for path, counts in labels if np.count_nonzero(counts) <= 1]
    findings = []
    for files, total, noun, what in (
        (flat, len(pictures), "picture", "a single colour"),
        (single, len(labels), "label", "a single class or all void"),
    ):
        if files:
            severity = ERROR if 2 * len(files) > total else WARNING
            message = f"{amount(len(files), noun)} of {what}: {named(files)}"
            findings.append(Finding(severity, message, "look at them: placeholders?", files))
    summary = ", ".join(f.message.split(":")[0] for f in findings) or "none"
    return Outcome(summary, tuple(findings))
