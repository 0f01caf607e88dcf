"""Can every file be opened, and decoded to its end?"""

from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, Finding, Outcome, amount, named

NAME = "readable"


def check(audited: AuditedSplit) -> Outcome:
    """Errors for files that cannot be read, by header or, where it was decoded, in full."""
    problems = [(path, facts.problem) for path, facts in audited.pictures() if facts.problem]
    problems += [(example.label, facts.problem) for example, facts in audited.labels() if facts.problem]
    num_files = len(audited.facts) + sum(1 for _ in audited.labels())
    summary = amount(num_files, "file")
    if not audited.whole:
        summary += f", {amount(audited.num_decoded, 'pair')} decoded"
    if not problems:
        return Outcome(summary)
    files = tuple(path for path, _ in problems)
    reason, advice = problems[0][1].rsplit("; ", 1)
    message = reason if len(files) == 1 else f"{len(files):,} files cannot be read: {named(files)}; first: {reason}"
    finding = Finding(ERROR, message, advice, files)
    return Outcome(f"{len(files):,} of {summary} cannot be read", (finding,))
