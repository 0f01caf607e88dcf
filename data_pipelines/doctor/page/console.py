"""The audit for a terminal or a log: a table of checks by splits, then what is wrong and what to do."""

import contextlib
import time

import rich.box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from data_pipelines.basics import progress_line
from data_pipelines.doctor import fingerprints
from data_pipelines.doctor.auditing import QUICK_SAMPLE, Audit
from data_pipelines.doctor.measuring.findings import ERROR, WARNING, amount

STYLES = {ERROR: "bold red", WARNING: "yellow", "": ""}
_MARKS = {ERROR: "✗ ", WARNING: "! ", "": ""}
_SHORT = 16  # digits of a fingerprint in the table; the page and the JSON have all 64
_QUIET_SECONDS = 15  # between lines of progress where the output is no terminal


def table(audit: Audit) -> Table:
    """One row for each check, one column for each split."""
    made = Table(box=rich.box.SIMPLE_HEAD)
    made.add_column("")
    for split in audit.outcomes:
        made.add_column(split, overflow="fold")
    for check in audit.checks:
        cells = [outcomes.get(check) for outcomes in audit.outcomes.values()]
        texts = [
            Text(_MARKS[cell.severity] + cell.summary, style=STYLES[cell.severity]) if cell else "" for cell in cells
        ]
        made.add_row(check, *texts)
    for name, by_split in fingerprints.rows(audit.fingerprints, audit.splits).items():
        made.add_row(name, *(_short(by_split.get(split, "")) for split in audit.outcomes))
    return made


def _short(text: str) -> str:
    return text if text == fingerprints.NONE else text[:_SHORT]


def how(audit: Audit) -> str:
    """Which part of the files was decoded."""
    if audit.quick:
        return f"all headers read, up to {QUICK_SAMPLE} pairs of each split decoded"
    return "every file decoded"


def print_audit(audit: Audit, console: Console) -> None:
    """The table, then what is wrong, errors first, each with what to do about it."""
    console.print(f"{audit.dataset} in {audit.root}: {how(audit)}", highlight=False, soft_wrap=True, markup=False)
    console.print(table(audit))
    for finding in audit.findings:
        line = Text(f"{finding.severity}: ", style=STYLES[finding.severity])
        line.append(f"{finding.split}: {finding.message}", style="default")
        console.print(line, highlight=False, soft_wrap=True)
        console.print(f"  -> {finding.advice}", highlight=False, soft_wrap=True, markup=False)


def verdict(audit: Audit) -> str:
    """One line: is it fine?"""
    errors, warnings = audit.count(ERROR), audit.count(WARNING)
    if errors:
        return f"Something is wrong: {amount(errors, 'error')}, {amount(warnings, 'warning')}."
    return f"Nothing is wrong: no errors, {amount(warnings, 'warning')}." if warnings else "All is right."


@contextlib.contextmanager
def progress(console: Console, title: str):
    """Yields a callback (done, total): a bar in a terminal, a line now and then elsewhere."""
    if console.is_terminal:
        with Progress(*progress_line.columns(console), console=console, transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    began = said = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= _QUIET_SECONDS:
            said = now
            eta = (total - done) * (now - began) / done
            console.print(f"{title} {done:,}/{total:,}  eta {eta:,.0f} s", highlight=False)

    yield say
