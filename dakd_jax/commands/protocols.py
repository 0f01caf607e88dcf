"""Scores networks under every protocol at once: python run.py --mode=protocols [--config.eval.checkpoint=PATH]

The plan's finished networks, or the checkpoint; native, released, multi-scale, sliding window, iIoU, ... as tables and
a page (docs/protocols.md).
"""

from dakd_jax.commands import COMMANDS, LOOK, Command, Context
from dakd_jax.commands.kit import workdirs


def run(context: Context) -> None:
    """Scores finished networks under every protocol, prints the tables, writes the report."""
    from dakd_jax.evaluation import protocols
    from dakd_jax.stages import networks, settings
    from dakd_jax.studies.kit import more_pages, stamp
    from dakd_jax.studies.protocols import page, protocol_results, protocol_tables, store

    workdirs.settle(context, of_checkpoint=True)
    config, feed, workdir, console = context.config, context.feed, context.workdir, context.console
    rows, name = protocols.matrix(config.eval.scales), more_pages.page_name(workdir, context.name, config.seed)
    with workdirs.working_in(workdir):
        chosen = networks.finished(config, feed, workdir, console)
        stores = store.counted(settings.evaluation_settings(config), feed, rows, console, chosen)
        study = protocol_results.study(config, feed, stores, chosen, name, context.typed)
        written = workdir / f"protocols_{name}" / "index.html"
        with stamp.writing(written, {"stages": {network.name: network.hash for network in chosen}}):
            page.write_protocols_report(study, written.parent)
        more_pages.update(workdirs.report(workdir, name))
    for network in study.networks:
        console.print(protocol_tables.network_table(study, network).to_rich())
    console.print(protocol_tables.spread_table(study).to_rich())
    for line in (*protocol_tables.sentences(study), *study.notes, f"Report: {written}"):
        console.print(line, highlight=False, soft_wrap=True)


FIELDS = ("eval.scales", "eval.checkpoint", "eval.network", "eval.batch_size")
COMMANDS.register("protocols", Command(__doc__, run, LOOK, 1, fields=FIELDS))
