"""The page of an attribution, and its numbers as CSV and Markdown."""

import math
import os
from pathlib import Path

from dakd_jax.studies.attribution import Attribution, rates
from dakd_jax.studies.attribution import attribution_figures as figures
from dakd_jax.studies.attribution import attribution_tables as tables
from dakd_jax.studies.kit.page_parts import page_image, template, write_files
from dakd_jax.studies.kit.text_table import TextTable

_SENTENCES = {
    "repaired": "It repaired {} of the pixels that the teacher had right and the student wrong.",
    "inherited": "It took over {} of the teacher's mistakes where the student was right.",
}
# In the order of the page: how each is drawn, and what it shows.
_FIGURES = {
    "flow": (figures.flow_figure, "Repaired and broken pixels of each class, per case"),
    "agreement": (figures.agreement_figure, "Agreement with the teacher, per class"),
    "reliability": (figures.reliability_figure, "Precision of the quasi labels"),
    "over_training": (figures.over_training_figure, "Students and quasi labels over training"),
    "sizes": (figures.size_figure, "Recall by size of the object"),
    "gradients": (figures.gradient_figure, "Gradients of the loss terms"),
}


def verdict(found: Attribution) -> str:
    """The attribution in a few sentences: the case that gained most, and by what."""
    best = max(found.cases, key=lambda name: tables.net_gain(found, name))
    gain, changed = tables.net_gain(found, best), rates.transfer(found.networks[best])
    if math.isnan(gain):
        return "No pixel of target val is labelled, so nothing can be compared."
    sentences = [
        f"{found.titles.get(best, best)}: {abs(gain):.1f} points of pixel accuracy {'gained' if gain >= 0 else 'lost'}."
    ]
    for key, text in _SENTENCES.items():
        if changed[key].total().whole:
            share = 100 * float(changed[key].total().value)
            sentences.append(text.format(f"{share:.0f}\N{NO-BREAK SPACE}%"))
    return " ".join(sentences)


def console_tables(found: Attribution) -> list[TextTable]:
    """What the terminal shows."""
    return [tables.summary_table(found), tables.confusion_table(found), tables.objects_table(found)]


def write_attribution(found: Attribution, folder: str | os.PathLike, *, title: str, command: str) -> Path:
    """Writes folder/index.html (self-contained), attribution.csv, gradients.csv, attribution.md, and figures/*.png.

    Args:
      folder: created where missing.
      title: of the experiment.
      command: that makes the same again.

    Returns:
      Path of index.html, which is written last.
    """
    drawn = {name: page_image(name, figure(found), alt) for name, (figure, alt) in _FIGURES.items()}
    shown = {
        "summary": tables.summary_table(found),
        "confusions": tables.confusion_table(found),
        "objects": tables.objects_table(found),
        "all_objects": tables.objects_table(found, None),
        "quasi": tables.quasi_table(found),
        "gradients": tables.gradient_table(found),
    }
    page = template("page.html.j2", __file__).render(
        title=title, command=command, found=found, verdict=verdict(found), images=drawn, tables=shown
    )
    for name in (name for name, image in drawn.items() if not image):
        (Path(folder) / "figures" / f"{name}.png").unlink(missing_ok=True)  # of an earlier page
    files = {f"figures/{name}.png": image.png for name, image in drawn.items() if image}
    files |= {
        "attribution.csv": tables.counts_csv(found),
        "gradients.csv": tables.gradients_csv(found),
        "attribution.md": "\n".join(table.to_markdown() for table in shown.values()),
        "index.html": page,
    }
    return write_files(folder, files)
