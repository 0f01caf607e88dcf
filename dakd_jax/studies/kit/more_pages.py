"""The part of a report that leads to the other pages about the same networks."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dakd_jax.basics import atomic_files
from dakd_jax.studies.kit import stamp
from dakd_jax.studies.kit.page_parts import template


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

# A report is made from evaluations, curves and figures that the commands of the other pages do not have. So it is
# rendered with this part between two marks, for which all other text is escaped, and only the part is rendered again.
_BEGIN, _END = "<!-- more pages -->", "<!-- end of more pages -->"


def page_name(workdir: Path, name: str, seed: int) -> str:
    """What the folders of an experiment's pages end with: its config's name, and its seed where --seeds made them."""
    seeded = f"{name}_seed{seed}"
    return seeded if (workdir / f"report_{seeded}" / "index.html").is_file() else name


def more_pages(report: Path, stages: Mapping[str, str]) -> str:
    """The part as HTML: links to the pages that are there, and how the others are made.

    Args:
      report: index.html of WORKDIR/report_NAME; the other pages are in WORKDIR/<folder>_NAME.
      stages: {name: hash} of the networks; a page about others is not linked.
    """
    workdir, name = report.parent.parent, report.parent.name.removeprefix("report_")
    seed = re.search(r"_seed(\d+)$", name)
    rows = []
    for page in MORE_PAGES:
        path = workdir / f"{page.folder}_{name}" / "index.html"
        there = path.exists() and stamp.stages(path) == stages
        rows.append((page, os.path.relpath(path, report.parent) if there else None))
    return _BEGIN + template("more_pages.html.j2", __file__).render(rows=rows, seed=seed and seed[1]) + _END


def update(report: Path) -> None:
    """Brings the part of a report up to date, where there is a whole report."""
    if report.exists() and (stages := stamp.stages(report)) is not None:
        text = report.read_text(encoding="utf-8")
        before, _, rest = text.partition(_BEGIN)
        _, end, after = rest.partition(_END)
        if end:
            atomic_files.write_bytes(report, (before + more_pages(report, stages) + after).encode())
