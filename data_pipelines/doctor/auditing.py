"""Measures the files of a dataset and lets every check look at them."""

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data_pipelines.basics import parallel
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import list_examples
from data_pipelines.doctor import checks, fingerprints
from data_pipelines.doctor.checks import counts, pairs
from data_pipelines.doctor.measuring import inventory, measuring
from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, WARNING, Finding, Outcome
from data_pipelines.doctor.measuring.inventory import Inventory
from data_pipelines.doctor.measuring.measuring import Facts
from data_pipelines.reading import fingerprint
from data_pipelines.reading.examples import Example, Split

QUICK_SAMPLE = 32  # pairs of each split that a quick audit decodes


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """The result of an audit of a dataset.

    Attributes:
      dataset: its layout.
      root: its folder.
      quick: whether only a sample was decoded.
      splits: by name, those that are there.
      outcomes: split to check to what it says; also of a needed split that is not there.
      opened: split to what training reads of it; only those that training would open.
      fingerprints: split to sha256 in hex, see fingerprints.of_split; of the same splits.
    """

    dataset: str
    root: Path
    quick: bool
    splits: Mapping[str, AuditedSplit]
    outcomes: Mapping[str, Mapping[str, Outcome]]
    opened: Mapping[str, Split]
    fingerprints: Mapping[str, Mapping[str, str]]

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, errors first."""
        found = [f for outcomes in self.outcomes.values() for outcome in outcomes.values() for f in outcome.findings]
        return sorted(found, key=lambda finding: finding.severity != ERROR)

    @property
    def checks(self) -> list[str]:
        """Names of the checks that have something to say of any split, in order."""
        said = [name for of_split in self.outcomes.values() for name, outcome in of_split.items() if outcome.summary]
        return [name for name in (*checks.OF_A_SPLIT, checks.DUPLICATES) if name in said]

    def count(self, severity: str) -> int:
        """Findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def audit(
    dataset: str,
    root: Path,
    *,
    quick: bool = False,
    recursive: bool = False,
    num_workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    bit_depth: int = 0,
) -> Audit:
    """Audits every split of a dataset.

    Args:
      dataset: a key of datasets.LAYOUTS.
      root: its folder.
      quick: decode a seeded sample of each split only; all headers are read in any case.
      recursive: whether a flat folder's pictures lie in the folders below it too.
      num_workers: >= 1, processes to decode with.
      progress: called with (pairs done, pairs in all).
      bit_depth: how many bits the values of wide pictures use, 0 refuses these.

    Raises:
      DataError: no such dataset, or nothing of it in the folder.
    """
    inventories = inventory.of_source(dataset, root, recursive)
    there = {split: found for split, found in inventories.items() if found}
    number = QUICK_SAMPLE if quick else None
    jobs = [measuring.Job(*job, bit_depth) for found in there.values() for job in sampled(found.examples, number)]
    measured = parallel.map_in_processes(measuring.measure, jobs, num_workers, progress)
    by_pixels, facts = all(one.decoded for one in measured), iter(measured)
    splits = {
        split: _audited(found, [next(facts) for _ in found.examples], by_pixels, bit_depth)
        for split, found in there.items()
    }
    outcomes = {}
    for split in inventories:
        before = [other for name, other in splits.items() if name in outcomes]
        outcomes[split] = look(splits[split], before) if split in splits else _not_there(dataset, root, split)
    opened = {}
    for split, found in there.items():
        try:
            opened[split] = _open(found, recursive, bit_depth)
        except DataError as error:
            outcomes[split] = _with_refusal(outcomes[split], split, str(error))
    prints = {split: fingerprints.of_split(training) for split, training in opened.items()}
    return Audit(dataset, root, quick, splits, outcomes, opened, prints)


def look(audited: AuditedSplit, before: Sequence[AuditedSplit]) -> dict[str, Outcome]:
    """The outcome of every check of a split; `before` are the splits that it should share no picture with."""
    outcomes = {name: check(audited) for name, check in checks.OF_A_SPLIT.items()}
    outcomes[checks.DUPLICATES] = checks.duplicates.check(audited, before)
    return {name: outcome.of(name, audited.inventory.split) for name, outcome in outcomes.items()}


def sampled(examples: Sequence[Example], number: int | None) -> list[tuple[Example, bool]]:
    """Each example with whether it is one of a sample of `number`, always the same; None takes all."""
    if number is None or number >= len(examples):
        return [(example, True) for example in examples]
    chosen = set(random.Random(0).sample(range(len(examples)), number))
    return [(example, index in chosen) for index, example in enumerate(examples)]


def _audited(found: Inventory, facts: Sequence[Facts], by_pixels: bool, bit_depth: int) -> AuditedSplit:
    """With what pictures are compared by: their pixels, or samples of the files where not all were decoded."""
    if by_pixels:
        return AuditedSplit(found, facts, [one.image.content for one in facts], bit_depth)
    readable = [e.image for e, one in zip(found.examples, facts, strict=True) if not one.image.problem]
    samples = dict(zip(readable, fingerprint.sample_files(readable), strict=True))
    return AuditedSplit(found, facts, [samples.get(example.image, "") for example in found.examples], bit_depth)


def _not_there(dataset: str, root: Path, split: str) -> dict[str, Outcome]:
    message = f"there is no {split} split in {root}"
    advice = f"unpack it if training on {dataset}, or scoring, shall use it"
    return {counts.NAME: Outcome("not there", (Finding(WARNING, message, advice),)).of(counts.NAME, split)}


def _open(found: Inventory, recursive: bool, bit_depth: int) -> Split:
    """The split as training opens it; DataError where it would not."""
    labelled = found.labels == "yes"
    split = list_examples(found.dataset, found.root, found.split, labelled=labelled, recursive=recursive)
    split = dataclasses.replace(split, bit_depth=bit_depth)
    split.fingerprint  # noqa: B018  training begins with it, and it opens every file
    return split


def _with_refusal(outcomes: dict[str, Outcome], split: str, reason: str) -> dict[str, Outcome]:
    """Adds, where no check gives an error, the error with which training refuses to open the split."""
    if any(outcome.severity == ERROR for outcome in outcomes.values()):
        return outcomes
    message, _, advice = reason.rpartition("; ")
    finding = Finding(ERROR, f"training cannot open it: {message or reason}", advice)
    before = outcomes[pairs.NAME]
    return outcomes | {pairs.NAME: Outcome(before.summary, (*before.findings, finding)).of(pairs.NAME, split)}
