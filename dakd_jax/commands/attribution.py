"""Counts what distillation did to a finished plan's networks: python run.py --mode=attribution --config=configs/demo.py

Pixels repaired, broken and inherited, by class, size and confidence, as tables and a page (docs/attribution.md).
"""

from dakd_jax.commands import COMMANDS, LOOK, Command, Context
from dakd_jax.commands.kit import workdirs


def run(context: Context) -> None:
    """Counts, prints the tables, writes the report."""
    from dakd_jax.studies.attribution import attribution_page, collection, kept_attribution
    from dakd_jax.studies.experiment import results
    from dakd_jax.studies.kit import more_pages, stamp

    workdirs.settle(context)
    config, workdir, console = context.config, context.workdir, context.console
    name = more_pages.page_name(workdir, context.name, config.seed)
    folder = workdir / f"attribution_{name}"
    with workdirs.working_in(workdir):
        experiment = workdirs.planned(context)
        collector = collection.Collector(experiment)
        identity = kept_attribution.identity(experiment)
        found, new = kept_attribution.ensure(folder, identity, collector.collect)
        page, of = folder / "index.html", results.identity(experiment) | {"attribution": identity}
        if new or not stamp.is_of(page, of):
            with stamp.writing(page, of):
                title = config.title or name
                attribution_page.write_attribution(found, folder, title=title, command=context.typed)
        more_pages.update(workdirs.report(workdir, name))
    for table in attribution_page.console_tables(found):
        console.print(table.to_rich())
    console.print(attribution_page.verdict(found), highlight=False)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)


COMMANDS.register("attribution", Command(__doc__, run, LOOK, 2, fields=("goal", "eval.protocol", "title")))
