"""The audit that run.py makes before step 0: headers of all files, and a few pairs of each split decoded."""

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import LAYOUTS
from data_pipelines.doctor import auditing
from data_pipelines.doctor.checks import classes, counts, label_values, readable, sizes
from data_pipelines.doctor.measuring import inventory, measuring
from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, WARNING, Finding
from data_pipelines.doctor.measuring.measuring import Facts, LabelFacts, PictureFacts
from data_pipelines.domains import Domains, benchmark
from data_pipelines.reading import fingerprint
from data_pipelines.reading.examples import Example, Split

SAMPLE = 8  # pairs of each split: a second or two at the paper's sizes
# Experiments on whole released datasets; the others' numbers of pictures are their own.
_RELEASED = ("bdd", "gta5")
# Errors of these checks end or spoil a training. Of others, e.g. duplicates, a run may be made on purpose.
_STOP_TRAINING = (readable.NAME, sizes.NAME, label_values.NAME)
_BEFORE = {"target_val": ("target_train",), "source_val": ("source_train",)}


def warn_or_raise(data_config: Any, domains: Domains) -> list[str]:
    """Warnings of quick_audit, one line each.

    Raises:
      DataError: the first of its errors.
    """
    found = quick_audit(data_config, domains)
    for finding in found:
        if finding.severity == ERROR:
            raise DataError(f"{finding.split}: {finding.message}; {finding.advice}")
    return [f"warning: {finding.split}: {finding.message}; {finding.advice}" for finding in found]


def quick_audit(data_config: Any, domains: Domains) -> list[Finding]:
    """Findings in the splits of a run, by role; an error is what training would stop at, or learn wrongly.

    Args:
      data_config: config.data.
      domains: what open_domains returned.
    """
    roles = ("source_train", "target_train", "target_val", "source_val")
    splits = {role: getattr(domains, role) for role in roles}
    # Of joined data sets each by itself.
    audited = {
        role: [_audited(part) for part in split.parts or (split,)]
        for role, split in splits.items()
        if split is not None and not split.problem
    }
    released = benchmark(data_config) in _RELEASED
    findings: list[Finding] = []
    for role, parts in audited.items():
        before = [part for other in _BEFORE.get(role, ()) for part in audited.get(other, ())]
        whole = released and not (role == "source_train" and data_config.source_list)
        for part in parts:
            title = role.replace("_", " ") + f" {part.inventory.dataset}" * (len(parts) > 1)
            findings += [dataclasses.replace(f, split=title) for f in _look(part, before, whole)]
    return findings


def refuse_what_would_be_misread(split: Split) -> None:
    """Raises a DataError for what training would stop at: of pixels judged by a few pairs, else by headers."""
    for finding in _look(_audited(split), [], False):
        if finding.severity == ERROR and finding.check in _STOP_TRAINING:
            raise DataError(f"{finding.split}: {finding.message}; {finding.advice}")


def _look(audited: AuditedSplit, before: list[AuditedSplit], whole: bool) -> Iterator[Finding]:
    # A few pairs say nothing of rare classes, and the number of pictures is no matter of theirs.
    passed_over = [classes.NAME, *[counts.NAME] * (not whole)]
    for name, outcome in auditing.look(audited, before).items():
        for finding in outcome.findings:
            if name not in passed_over:
                yield finding if name in _STOP_TRAINING else dataclasses.replace(finding, severity=WARNING)


def _audited(split: Split) -> AuditedSplit:
    samples = dict(zip(split.files, split.file_samples, strict=True))  # made for the fingerprint already
    contents = [fingerprint.content(samples[example.image]) for example in split.examples]
    return AuditedSplit(inventory.of_split(split), _measure(split), contents, split.bit_depth)


def _measure(split: Split) -> list[Facts]:
    """Facts from headers, and of a sample from its pixels; nothing of files that were looked at before."""
    if not data_files.is_folder(split.root):  # prepared records alone: all files were decoded to make these
        return [_unknown(example) for example in split.examples]
    jobs = [measuring.Job(*job, split.bit_depth) for job in auditing.sampled(split.examples, SAMPLE)]
    with ThreadPoolExecutor(4) as pool:  # Pillow decodes side by side
        decoded = iter(list(pool.map(measuring.measure, [job for job in jobs if job.decode])))
    header = _header_of(split)
    return [next(decoded) if job.decode else header(job) for job in jobs]


def _header_of(split: Split) -> Callable[[measuring.Job], Facts]:
    """What is looked at of an example that is not decoded: what nobody has looked at before.

    Where there are records of just these files, all is known. Where the layout leaves out pairs that do not fit, the
    sizes are, and of labels only those have more to tell that their samples mark.
    """
    if split.records:
        return lambda job: _unknown(job.example)
    if not LAYOUTS[split.dataset].screen:
        return lambda job: measuring.measure(job)
    sampled = zip(split.files, split.file_samples, strict=True)
    marked = {path for path, sample in sampled if sample != fingerprint.content(sample)}

    def header(job: measuring.Job) -> Facts:
        example = job.example
        label = measuring.label_header if example.label in marked else lambda _: LabelFacts(None)
        return Facts(
            measuring.picture_header(example, job.bit_depth),
            None if example.label is None else label(example),
            decoded=False,
        )

    return header


def _unknown(example: Example) -> Facts:
    return Facts(PictureFacts(None), None if example.label is None else LabelFacts(None), decoded=False)
