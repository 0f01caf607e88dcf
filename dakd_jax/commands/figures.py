"""Draws pictures that distillation changed: python run.py --mode=figures --config=configs/demo.py

Of a finished plan: those that its cases improved most and least, random or named ones, with error maps, as PNG, PDF
and a page (docs/figures.md).
"""

from dakd_jax.commands import COMMANDS, LOOK, Command, Context
from dakd_jax.commands.kit import workdirs


def run(context: Context) -> None:
    """Draws pictures that were selected or named, prints which, writes PNG, PDF and a page."""
    from dakd_jax.stages.experiment import Experiment
    from dakd_jax.studies.experiment import results
    from dakd_jax.studies.kit import more_pages, stamp
    from dakd_jax.studies.pictures import page, tables
    from dakd_jax.studies.pictures.gallery import Gallery

    workdirs.settle(context)
    config, workdir, console = context.config, context.workdir, context.console
    name = more_pages.page_name(workdir, context.name, config.seed)
    written = workdir / f"figures_{name}" / "index.html"
    with workdirs.working_in(workdir):
        experiment = Experiment(config, context.feed, workdir, console)
        gallery = Gallery(experiment, written.parent / "predictions")
        found = gallery.comparison(title=config.title or name, command=context.typed)
        with stamp.writing(written, results.identity(experiment)):
            page.write_figures(found, gallery.pictures, written.parent)
        gallery.forget_the_rest()
        more_pages.update(workdirs.report(workdir, name))
    for selection in found.selections:
        console.print(tables.pictures_table(found, selection).to_rich())
    console.print(tables.verdict(found), highlight=False)
    console.print(f"Figures: {written}", highlight=False, soft_wrap=True)


FIELDS = ("figures.select", "figures.count", "figures.pictures", "figures.case")
COMMANDS.register("figures", Command(__doc__, run, LOOK, 3, fields=FIELDS))
