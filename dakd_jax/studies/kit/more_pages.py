"""The part of a report that leads to the other pages about the same networks."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dakd_jax.basics import atomic_files
from dakd_jax.studies.kit import stamp, trade
from dakd_jax.studies.kit.page_parts import page_image, template

CARD = "card"  # the folder in a run's of what dakd card writes


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
    """The part as HTML: links to the pages that are there, how the others are made, and the card where there is one.

    Args:
      report: index.html of WORKDIR/report_NAME; the other pages are in WORKDIR/<folder>_NAME, the card in WORKDIR/card.
      stages: {name: hash} of the networks; a page about others is not linked.
    """
    workdir, name = report.parent.parent, report.parent.name.removeprefix("report_")
    seed = re.search(r"_seed(\d+)$", name)
    rows = []
    for page in MORE_PAGES:
        path = workdir / f"{page.folder}_{name}" / "index.html"
        there = path.exists() and stamp.stages(path) == stages
        rows.append((page, os.path.relpath(path, report.parent) if there else None))
    links = template("more_pages.html.j2", __file__).render(rows=rows, seed=seed and seed[1])
    return _BEGIN + links + _card_section(report, workdir / CARD / trade.FILE, stages) + _END


def _card_section(report: Path, file: Path, stages: Mapping[str, str]) -> str:
    """What dakd card has measured of these networks; '' where it has not, or of others."""
    try:
        card = trade.read(file)
        if card is None or not trade.of_stages(card, stages):
            return ""
        return template("card_section.html.j2", __file__).render(
            heading=trade.HEADING,
            sentences=trade.sentences(card),
            image=page_image("trade", trade.figure(card), trade.FIGURE_ALT),
            networks=trade.network_table(card),
            latency=trade.latency_table(card),
            href=os.path.relpath(file.with_name("index.html"), report.parent),
            command=card["command"],
        )
    # A report does not fail for what another has put there.
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return ""


def update(report: Path) -> None:
    """Brings the part of a report up to date, where there is a whole report."""
    if report.exists() and (stages := stamp.stages(report)) is not None:
        text = report.read_text(encoding="utf-8")
        before, _, rest = text.partition(_BEGIN)
        _, end, after = rest.partition(_END)
        if end:
            atomic_files.write_bytes(report, (before + more_pages(report, stages) + after).encode())
