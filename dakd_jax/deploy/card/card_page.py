"""A card as files: card.json, card.md, the figure and a page."""

import json
import os
import pathlib
from collections.abc import Mapping

from dakd_jax.basics.errors import UserError
from dakd_jax.studies.kit import more_pages, trade
from dakd_jax.studies.kit.page_parts import page_image, template, write_files


def require_writable(folder: pathlib.Path) -> None:
    """Makes the folder. Raises UserError where nothing can be written there; before anything is measured."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(0, "Permission denied", str(folder))
    except OSError as error:
        raise _cannot_write(folder, error) from error


def write(card: Mapping, folder: pathlib.Path) -> pathlib.Path:
    """Writes folder/card.json, card.md, figures/trade.png and index.html (self-contained), each whole or not at all.

    Returns:
      Path of index.html, which is written last.

    Raises:
      UserError: it cannot be written.
    """
    image = page_image("trade", trade.figure(card), trade.FIGURE_ALT)
    page = template("page.html.j2", __file__).render(
        card=card,
        title=f"{trade.HEADING}: {', '.join(one['name'] for one in card['networks'])}",
        sentences=trade.sentences(card),
        image=image,
        networks=trade.network_table(card),
        latency=trade.latency_table(card),
        notes=trade.notes(card),
    )
    files = {
        "figures/trade.png": image.png,
        "card.md": trade.markdown_section(card, level=1),
        trade.FILE: json.dumps(card, indent=1) + "\n",
        "index.html": page,
    }
    try:
        return write_files(folder, files)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def update_reports(run: pathlib.Path) -> None:
    """The reports of a run's experiments show the card that lies in its folder."""
    for report in sorted(run.glob("report_*/index.html")):
        more_pages.update(report)


def _cannot_write(folder: pathlib.Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write the card to {folder}: {error.strerror or error}; make room and allow writing there, or choose "
        "another --output"
    )
