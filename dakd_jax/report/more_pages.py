"""The part of a report that leads to the other pages about the same networks."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from dakd_jax import records
from dakd_jax.report.page_parts import template


class MorePage(NamedTuple):
    """A page beside the report: the mode of run.py that makes it, the start of its folder's name, what it shows."""

    mode: str
    folder: str
    shows: str


MORE_PAGES = (
    MorePage("figures", "figures", "pictures that distillation improved most and least, with error maps"),
    MorePage("attribution", "attribution", "which pixels it repaired, broke or took over from the teacher"),
    MorePage("protocols", "protocols", "how much of a score is the way of scoring"),
)

_BEGIN, _END = "<!-- more pages -->", "<!-- end of more pages -->"


def more_pages(report: Path) -> str:
    """The part as HTML: links to the pages that are there, and how the others are made.

    Args:
      report: index.html of WORKDIR/report_NAME; the other pages are in WORKDIR/<folder>_NAME.
    """
    workdir, name = report.parent.parent, report.parent.name.removeprefix("report_")
    rows = []
    for page in MORE_PAGES:
        path = workdir / f"{page.folder}_{name}" / "index.html"
        rows.append((page, os.path.relpath(path, report.parent) if path.exists() else None))
    return _BEGIN + template("more_pages.html.j2").render(rows=rows) + _END


def update(report: Path) -> None:
    """Brings the part of a report up to date, where there is a report."""
    if report.exists():
        text = report.read_text(encoding="utf-8")
        part = more_pages(report)
        records.write_bytes(report, re.sub(f"{_BEGIN}.*?{_END}", lambda _: part, text, flags=re.DOTALL).encode())
