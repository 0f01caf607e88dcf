"""What every page is made of: its template, figures that are part of the file, and the files beside it."""

import base64
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

from dakd_jax.basics import atomic_files
from dakd_jax.studies.kit.style import png_bytes


@dataclasses.dataclass(frozen=True)
class PageImage:
    """A figure of a page: file name without ending, PNG file, and a text for who cannot see it."""

    name: str
    png: bytes
    alt: str

    @property
    def data_url(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def page_image(name: str, figure: Figure | None, alt: str, dpi: int | None = None) -> PageImage | None:
    """A figure as a part of a page; None for None."""
    return None if figure is None else PageImage(name, png_bytes(figure, dpi), alt)


def write_files(folder: str | os.PathLike, files: Mapping[str, str | bytes]) -> Path:
    """Writes each file whole, in their order, into a folder that is made where missing; returns folder/index.html."""
    for name, content in files.items():
        atomic_files.write_bytes(Path(folder) / name, content.encode() if isinstance(content, str) else content)
    return Path(folder) / "index.html"


def template(name: str, of: str) -> jinja2.Template:
    """A template that lies beside the module `of` (its __file__); all texts that are put into it are escaped.

    It may include those of this folder.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(of).parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
