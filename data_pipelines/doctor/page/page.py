"""The audit as one self-contained HTML page, and as JSON beside it."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import jinja2

from data_pipelines.basics import atomic_files
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import LAYOUTS
from data_pipelines.doctor import fingerprints
from data_pipelines.doctor.auditing import Audit
from data_pipelines.doctor.checks import sizes
from data_pipelines.doctor.page import as_json, console, contact_sheet, histogram_plot

PAGE, JSON = "index.html", "findings.json"


def write(audit: Audit, folder: Path) -> Path:
    """Writes PAGE and JSON into a folder, each as a whole, the page last.

    Returns:
      the page's path.

    Raises:
      DataError: they cannot be written.
    """
    try:
        atomic_files.write_bytes(folder / JSON, (json.dumps(as_json.as_json(audit), indent=2) + "\n").encode())
        atomic_files.write_bytes(folder / PAGE, render(audit).encode())
    except OSError as error:
        raise DataError(
            f"cannot write {folder}: {error.strerror or error}; make room, allow writing or choose another --output"
        ) from error
    return folder / PAGE


def render(audit: Audit) -> str:
    """The page as text; all names of files are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_url"] = _data_url
    found, space = audit.findings, LAYOUTS[audit.dataset].label_space
    return environment.get_template("page.html.j2").render(
        audit=audit,
        verdict=console.verdict(audit),
        how=console.how(audit),
        rows=audit.checks,
        prints=fingerprints.rows(audit.fingerprints, audit.splits),
        sheets={
            split: contact_sheet.tiles(audited, [finding for finding in found if finding.split == split])
            for split, audited in audit.splits.items()
        },
        plot=histogram_plot.class_shares({split: one.class_counts() for split, one in audit.splits.items()}, space),
        sizes={split: sizes.distribution(audited).most_common() for split, audited in audit.splits.items()},
        legend=[(name, _css(colour)) for name, colour in zip(space.class_names, space.palette.tolist(), strict=True)],
        unknown_colour=_css(contact_sheet.UNKNOWN_COLOUR),
    )


def _css(colour: Sequence[int]) -> str:
    return "rgb({}, {}, {})".format(*colour)


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
