"""One HTML page per experiment, with everything in one file, and the same numbers as CSV and Markdown."""

import itertools
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.studies.experiment import checkpoints, curves, figures, seeds, tables
from dakd_jax.studies.experiment.headline import headline
from dakd_jax.studies.kit.more_pages import more_pages
from dakd_jax.studies.kit.page_parts import PageImage, page_image, template, write_files
from dakd_jax.studies.kit.result_types import METRIC_NAMES, ExperimentResults, Picture

_PICTURES_PER_GRID = 4
_VALIDATION = "Validation score over steps; a star marks the checkpoint that counts"


def write_report(experiment: ExperimentResults, folder: str | os.PathLike) -> Path:
    """Writes folder/index.html (self-contained), results.csv, results.md and figures/*.png.

    Each file is replaced as a whole, and index.html last, so a reader never finds a torn one. Writing again
    with the same experiment gives the same bytes.

    Args:
      experiment: what to show.
      folder: created where missing.

    Returns:
      Path of index.html.

    Raises:
      UserError: the folder cannot be written to.
    """
    folder = Path(folder)
    images = draw(experiment)
    files = {f"figures/{image.name}.png": image.png for group in images.values() for image in group}
    files["results.csv"] = tables.csv_table(experiment)
    files["results.md"] = tables.markdown_table(experiment)
    more = more_pages(folder / "index.html", experiment.record.get("stages", {}))
    files["index.html"] = render(experiment, images, more)
    try:
        return write_files(folder, files)
    except OSError as error:
        raise UserError(
            f"cannot write the report to {folder}: {error.strerror or error}; "
            "make room and allow writing there, or name another --workdir"
        ) from error


def draw(experiment: ExperimentResults) -> dict[str, list[PageImage]]:
    """All figures by the part of the page they belong to; a part without data has none."""
    alt = "Pictures, their labels, and what each network predicts, in the colours of the classes"
    grids = [figures.picture_grid(experiment, group) for group in _groups(experiment.pictures)]
    bars = figures.class_iou_bars(experiment) if experiment.results else None
    parts = {
        "pictures": [page_image(f"pictures_{i}", grid, alt) for i, grid in enumerate(grids, start=1)],
        "validation": [page_image("validation", curves.validation_curves(experiment), _VALIDATION)],
        "losses": [page_image("losses", curves.loss_curves(experiment), "Each loss term over steps, per network")],
        "bars": [page_image("class_iou", bars, "IoU of each class per network")],
        "confusions": [],
    }
    for result in experiment.ordered():
        figure = figures.confusion_figure(result, experiment.class_names)
        name = "confusion_" + re.sub(r"[^A-Za-z0-9_-]+", "_", result.name)
        parts["confusions"].append(page_image(name, figure, result.title))
    return {part: [image for image in images if image] for part, images in parts.items()}


def _groups(pictures: Sequence[Picture]) -> list[Sequence[Picture]]:
    """Pictures in as few groups as hold four each, of about equal size."""
    count = math.ceil(len(pictures) / _PICTURES_PER_GRID)
    bounds = [round(len(pictures) * i / count) for i in range(count + 1)] if count else []
    return [pictures[first:last] for first, last in itertools.pairwise(bounds)]


def write_seeds_report(
    experiments: Sequence[ExperimentResults], folder: str | os.PathLike, *, command: str, pages: Mapping[int, Path]
) -> Path:
    """Writes folder/index.html, seeds.csv and seeds.md: one experiment over its seeds.

    Args:
      experiments: one for each seed.
      folder: created where missing.
      command: that makes the same again.
      pages: each seed's own page.

    Returns:
      Path of index.html.

    Raises:
      UserError: the experiments do not belong together.
    """
    folder, scores = Path(folder), seeds.seeds_table(experiments)
    chosen = checkpoints.checkpoint_seeds_table(experiments)
    text = template("seeds.html.j2", __file__).render(
        checkpoints=chosen,
        title=experiments[0].title,
        command=command,
        scores=scores,
        dots=page_image("seeds", seeds.seeds_figure(experiments), "Score of each network under each seed"),
        pages=[(seed, os.path.relpath(page, folder)) for seed, page in pages.items()],
    )
    files = {
        "seeds.csv": seeds.seeds_csv(experiments),
        "seeds.md": "\n".join(t.to_markdown() for t in (scores, chosen) if t),
        "index.html": text,
    }
    return write_files(folder, files)


def render(experiment: ExperimentResults, images: Mapping[str, list[PageImage]], more: str = "") -> str:
    """The page as text. All texts of the experiment are escaped; `more` is HTML, see more_pages.py."""
    return template("page.html.j2", __file__).render(
        experiment=experiment,
        metric=METRIC_NAMES[experiment.metric],
        headline=headline(experiment),
        score_table=tables.score_table(experiment),
        class_table=tables.class_table(experiment),
        checkpoint_table=checkpoints.checkpoint_table(experiment),
        cost_table=tables.cost_table(experiment),
        record=records.flatten(experiment.record),
        images=images,
        more_pages=more,
    )
