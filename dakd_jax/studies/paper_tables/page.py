"""The page of a table of the paper, and the same as CSV, Markdown and LaTeX."""

import os
from pathlib import Path

import numpy as np

from dakd_jax.basics import records
from dakd_jax.studies.kit.page_parts import page_image, template, write_files
from dakd_jax.studies.kit.result_types import METRIC_NAMES
from dakd_jax.studies.kit.style import INK, new_figure, score_dots
from dakd_jax.studies.paper_tables import tables
from dakd_jax.studies.paper_tables.tables import PaperTable

_OURS, _REFERENCE, _PAPER = "#0072b2", "#1a1a1a", "#d55e00"


def write_paper_table(table: PaperTable, folder: str | os.PathLike) -> Path:
    """Writes folder/index.html (self-contained), table.csv, table.md, table.tex and figures/*.png.

    Returns:
      Path of index.html, which is written last.
    """
    images = {
        "dots": page_image("scores", scores_figure(table), "Score of each row under each seed"),
        "against": page_image("against_the_paper", against_figure(table), "Our score of each row over the paper's"),
    }
    page = template("page.html.j2", __file__).render(
        table=table,
        verdict=verdict(table),
        scores=tables.score_table(table),
        classes=tables.class_table(table),
        published=tables.paper_class_table(table),
        images=images,
        record=records.flatten(table.record),
    )
    files = {f"figures/{image.name}.png": image.png for image in images.values() if image}
    files |= {
        "table.csv": tables.csv_table(table),
        "table.md": tables.markdown(table),
        "table.tex": tables.latex(table),
        "index.html": page,
    }
    return write_files(folder, files)


def verdict(table: PaperTable) -> str:
    """The table in a sentence or two: how much is there, which row is best, whether the order is the paper's."""
    parts = [f"{table.finished} of {len(table.rows) * len(table.seeds)} results are there."]
    for contest in dict.fromkeys(row.contest for row in table.rows if row.contest):
        rivals = [row for row in table.rows if row.contest == contest and row.scores]
        if len(rivals) < 2:
            continue
        best = max(rivals, key=lambda row: row.spread(table.metric).mean)
        gain = best.gain(table.metric)
        beside = "" if np.isnan(gain.mean) else f", {tables.signed(gain)} points against the {table.reference}"
        parts.append(f"Best: {best.name} with {best.spread(table.metric).mean:.2f}{beside}.")
    if correlation := tables.rank_correlation(table):
        parts.append(
            f"Rank correlation with the paper's mIoU over {correlation[1]} legible rows: {correlation[0]:.2f} "
            "(1: the same order, 0: none)."
        )
    return " ".join(parts)


def scores_figure(table: PaperTable):
    """The benchmark's number of every row: a dot for each seed, a bar for the mean, a diamond for the paper."""
    rows = [row for row in table.rows if row.scores]
    if not rows:
        return None
    figure, axes = new_figure(9, 0.3 * len(rows) + 1.1)
    axis, dots = axes[0, 0], []
    for place, row in enumerate(rows):
        scores = [100 * getattr(one, table.metric) for one in row.scores.values()]
        colour = _OURS if row.contest else _REFERENCE
        dots.append((row.name, colour, scores, row.spread(table.metric).mean))
        if row.paper and row.comparable:
            face = _PAPER if not row.paper.unsure else "none"
            axis.scatter([row.paper.miou], [place], marker="D", s=34, edgecolor=_PAPER, facecolor=face, zorder=4)
    score_dots(axis, dots, size=22)
    paper = ", diamond: the paper" if any(row.paper and row.comparable for row in rows) else ""
    axis.set_xlabel(f"{METRIC_NAMES[table.metric]} (%), dots: seeds, bar: their mean{paper}")
    return figure


def against_figure(table: PaperTable):
    """Our mean and deviation of each row over the paper's mIoU; None for fewer than three rows."""
    rows = [row for row in table.rows if row.paper and row.scores and row.contest]
    if len(rows) < 3:
        return None
    figure, axes = new_figure(9, 5)
    axis = axes[0, 0]
    for row in rows:
        spread = row.spread(table.metric)
        face = "white" if row.paper.unsure else _OURS
        deviation = 0 if np.isnan(spread.std) else spread.std
        axis.errorbar([row.paper.miou], [spread.mean], yerr=[deviation], color=_OURS, marker="o", mfc=face, lw=1.2)
        place = (row.paper.miou, spread.mean)
        axis.annotate(row.name, place, (5, 4), textcoords="offset points", fontsize=7, color=INK)
    if all(row.comparable for row in rows):
        low, high = axis.get_xlim()
        axis.plot([low, high], [low, high], color="#888888", lw=1, ls=":", zorder=1)
    axis.set_xlabel("the paper's mIoU, BDD100K to Cityscapes (%); hollow: hard to read in the source")
    axis.set_ylabel(f"ours: {METRIC_NAMES[table.metric]} (%)")
    return figure
