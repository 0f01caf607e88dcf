"""The folder of an experiment's figures: PNG, PDF, scores, and a page that shows them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dakd_jax.studies.kit.page_parts import page_image, template, write_files
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
    sections = []
    for selection, names in found.selections.items():
        shown = pictures(names, found.networks)
        title = tables.TITLES[selection]
        grids = {
            selection: (tables.method_grid(found, shown), f"{title}: what each network predicts"),
            ERROR_MAPS + selection: (tables.error_map_grid(found, shown), f"{title}: repaired and broken pixels"),
        }
        images = [page_image(name, figure, alt, SCREEN_DPI) for name, (figure, alt) in grids.items()]
        for name, (figure, _) in grids.items():
            write_files(folder, {f"{name}.png": png_bytes(figure), f"{name}.pdf": pdf_bytes(figure)})
        sections.append((title, *images, tables.pictures_table(found, selection)))
    _delete_others(folder, found)
    text = template("page.html.j2", __file__).render(
        found=found,
        verdict=tables.verdict(found),
        changes=page_image("changes", tables.changes_figure(found), "Change of every picture's own mIoU"),
        sections=sections,
        reference=found.titles[found.reference],
        case=found.titles[found.case],
    )
    return write_files(folder, {"scores.csv": tables.scores_csv(found), "index.html": text})


def _delete_others(folder: Path, found: Comparison) -> None:
    for selection in tables.TITLES.keys() - found.selections.keys():
        for name in (selection, ERROR_MAPS + selection):
            (folder / f"{name}.png").unlink(missing_ok=True)
            (folder / f"{name}.pdf").unlink(missing_ok=True)
