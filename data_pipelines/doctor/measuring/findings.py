"""What a check says."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

ERROR, WARNING = "error", "warning"
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong with a split, or looks so.

    Attributes:
      severity: 'error' when training would stop, or give numbers that mean nothing; else 'warning'.
      message: what was found, one line.
      advice: what to do, one line.
      files: what it is about, () where that is the split as a whole.
      check: which check found it, a row of the table; auditing.look says so.
      split: e.g. 'train'; likewise.
    """

    severity: str
    message: str
    advice: str
    files: Sequence[Path] = ()
    check: str = ""
    split: str = ""

    @property
    def count(self) -> int:
        """How many files it is about, 0 where it is about the split as a whole."""
        return len(self.files)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a check says of a split.

    Attributes:
      summary: what is there, as short as a cell of a table.
      findings: what is wrong with it.
    """

    summary: str
    findings: tuple[Finding, ...] = ()

    def of(self, check: str, split: str) -> "Outcome":
        """The same, and each finding says of which check and split it is."""
        findings = (dataclasses.replace(finding, check=check, split=split) for finding in self.findings)
        return Outcome(self.summary, tuple(findings))

    @property
    def severity(self) -> str:
        """'error', 'warning', or '' when all is right."""
        found = {finding.severity for finding in self.findings}
        return ERROR if ERROR in found else WARNING if WARNING in found else ""


def amount(count: int, noun: str, plural: str = "") -> str:
    """'1 picture', '2,975 pictures'."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def named(files: Sequence[Path]) -> str:
    """The names of the first few files, and how many more there are."""
    names = ", ".join(path.name for path in files[:_NAMED])
    return names + f" and {len(files) - _NAMED:,} more" * (len(files) > _NAMED)
