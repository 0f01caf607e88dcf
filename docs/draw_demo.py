"""The README's first picture, from a finished demo: python docs/draw_demo.py runs/demo writes docs/demo_pictures.png.

Rows: pictures of the source, pictures of the target, what the student says of these before adaptation (source only) and
after it (the last stage of the plan), what the teacher says when it teaches, and the truth.
"""

import pathlib
import sys

import numpy as np
from rich.console import Console

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks.teacher_lead import answering
from dakd_jax.notebook import config_of, newest_stage
from dakd_jax.stages.experiment import Experiment
from dakd_jax.studies.kit import picture_grid
from data_pipelines.feeding.feed import Feed

COLUMNS, FIRST = 3, 1


def main(run: pathlib.Path) -> None:
    config = config_of(newest_stage(run, "case_b"))
    experiment = Experiment(config, Feed(config.data), run, Console())
    shown = experiment.evaluator.reference_pictures()[FIRST : FIRST + COLUMNS]
    names, images, labels = zip(*shown, strict=True)
    stored = {name: experiment.evaluator.stored(planned)[1] for name, planned in experiment.plan.items()}
    batches = experiment.feed.source_batches(count=COLUMNS, batch_size=COLUMNS)
    source = next(iter(batches))["image"]
    maps = [
        ("before", [stored["source_only"][name] for name in names]),
        ("after", [stored["case_b"][name] for name in names]),
        ("teacher", list(np.asarray(answering(experiment)(np.stack(images)).argmax(-1)))),
        ("truth", labels),
    ]
    rows = [picture_grid.GridRow("source", source, photographs=True)]
    rows += [picture_grid.GridRow("target", images, photographs=True)]
    rows += picture_grid.class_rows(maps, experiment.feed.palette)
    legend = picture_grid.palette_handles(
        experiment.feed.class_names, experiment.feed.palette, [m for _, of_all in maps for m in of_all]
    )
    height, width = labels[0].shape
    figure = picture_grid.draw(rows, [""] * COLUMNS, legend, picture_grid.SCREEN, ratio=height / width)
    figure.savefig(pathlib.Path(__file__).with_name("demo_pictures.png"), dpi=picture_grid.SCREEN.dpi)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
