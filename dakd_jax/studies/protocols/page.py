"""The page of a protocol study, and the same numbers as CSV, Markdown and JSON."""

import os
from pathlib import Path

from dakd_jax.basics import records
from dakd_jax.studies.kit.page_parts import page_image, template, write_files
from dakd_jax.studies.kit.result_types import METRIC_NAMES
from dakd_jax.studies.protocols import protocol_tables


def write_protocols_report(study: protocol_tables.ProtocolStudy, folder: str | os.PathLike) -> Path:
    """Writes folder/index.html, protocols.csv, protocols.md and protocols.json: networks under every protocol.

    Returns:
      Path of index.html.
    """
    text = template("page.html.j2", __file__).render(
        study=study,
        metric=METRIC_NAMES[study.metric],
        sentences=protocol_tables.sentences(study),
        dots=page_image("spread", protocol_tables.spread_figure(study), "Score of each network under each protocol"),
        spread=protocol_tables.spread_table(study),
        matrix=protocol_tables.matrix_table(study),
        networks=[protocol_tables.network_table(study, network) for network in study.networks],
        record=records.flatten(study.record),
    )
    files = {
        "protocols.csv": protocol_tables.csv_table(study),
        "protocols.md": protocol_tables.markdown(study),
        "protocols.json": protocol_tables.json_text(study),
        "index.html": text,
    }
    return write_files(folder, files)
