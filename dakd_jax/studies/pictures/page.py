"""The folder of an experiment's figures: PNG, PDF, scores, and a page that shows them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dakd_jax.basics import atomic_files
from dakd_jax.studies.kit.page_parts import page_image, template
from dakd_jax.studies.kit.style import pdf_bytes, png_bytes
from dakd_jax.studies.pictures import Comparison, Shown, tables

ERROR_MAPS = "error_maps_"
SCREEN_DPI = 150  # of the page's own copies; the files hold four times their pixels

# (names of pictures, names of networks) to the pictures with what these networks predict.
Pictures = Callable[[Sequence[str], Sequence[str]], list[Shown]]


def write_figures(found: Comparison, pictures: Pictures, folder: Path) -> Path:
    """Writes SELECTION.png and .pdf, error_maps_SELECTION.png and .pdf, scores.csv and index.html (self-contained).

    Each file is replaced as a whole, and index.html last; a figure of an earlier command that this one does not make
    is deleted. Equal input gives equal bytes. The pictures of one selection are in memory at a time.

    Args:
      folder: created where missing.

    Returns:
      Path of index.html.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    for selection, names in found.selections.items():
        shown = pictures(names, found.networks)
        title = tables.TITLES[selection]
        grids = {
            selection: (tables.method_grid(found, shown), f"{title}: what each network predicts"),
            ERROR_MAPS + selection: (tables.error_map_grid(found, shown), f"{title}: repaired and broken pixels"),
        }
        images = []
        for name, (figure, alt) in grids.items():
            images.append(page_image(name, figure, alt, SCREEN_DPI))
            atomic_files.write_bytes(folder / f"{name}.png", png_bytes(figure))
            atomic_files.write_bytes(folder / f"{name}.pdf", pdf_bytes(figure))
        sections.append((title, *images, tables.pictures_table(found, selection)))
    _delete_others(folder, found)
    atomic_files.write_bytes(folder / "scores.csv", tables.scores_csv(found).encode())
    text = template("page.html.j2", __file__).render(
        found=found,
        verdict=tables.verdict(found),
        changes=page_image("changes", tables.changes_figure(found), "Change of every picture's own mIoU"),
        sections=sections,
        reference=found.titles[found.reference],
        case=found.titles[found.case],
    )
    atomic_files.write_bytes(folder / "index.html", text.encode())
    return folder / "index.html"


def _delete_others(folder: Path, found: Comparison) -> None:
    for selection in tables.TITLES:
        for start in ("", ERROR_MAPS):
            for ending in ("png", "pdf"):
                if selection not in found.selections:
                    (folder / f"{start}{selection}.{ending}").unlink(missing_ok=True)
