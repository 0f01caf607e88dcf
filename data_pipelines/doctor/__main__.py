"""Audits a dataset before step 0: python -m data_pipelines.doctor --dataset=gta5 --source=DIR [--quick]

Prints a table of what was looked at and what is wrong, and writes index.html with a contact sheet and the class
histogram, findings.json, and the pixels of each class in each label, which rare-class sampling wants.

Flags: --dataset (cityscapes, gta5, bdd100k, flat_folder, or one that --plugins brings), --source (its folder),
--plugins=FILE.py,... (data sets of your own, docs/EXTENDING.md), --quick (all headers, but only a sample of 32 pairs of
each split decoded), --output (folder of the page, default runs/doctor/DATASET),
--recursive (a flat_folder's pictures in the folders below it too),
--class_counts (folder of the class histograms, default the output; training looks in runs/prepared/class_counts),
--num_workers (processes), --bit_depth (how many bits the values of 16-bit pictures use, as data.bit_depth; without it
they are errors).
Exit codes: 0 no errors, at most warnings; 1 something is wrong with the data; 2 a mistake in the command, or data that
cannot be looked at; 130, 143, 129 stopped (Ctrl-C, SIGTERM, SIGHUP).
"""

import sys
from pathlib import Path

import numpy as np
from absl import flags
from rich.console import Console

from data_pipelines.doctor import auditing, command_line
from data_pipelines.doctor.auditing import Audit
from data_pipelines.doctor.measuring.findings import ERROR
from data_pipelines.doctor.page import console as printing
from data_pipelines.reading import class_histogram
from data_pipelines.reading.class_histogram import ClassHistogram

WRONG = 1


def define_flags(values: flags.FlagValues) -> None:
    """The flags of this command."""
    command_line.define_data_flags(values)
    flags.DEFINE_boolean("quick", False, "Decode a sample only.", flag_values=values)
    flags.DEFINE_string("output", "", "Folder of the page.", flag_values=values)
    flags.DEFINE_string("class_counts", "", "Folder of the class histograms.", flag_values=values)


def run(values: flags.FlagValues, console: Console) -> int:
    """Audits, prints, writes; returns the exit code."""
    command_line.check_bit_depth(values.bit_depth)
    with printing.progress(console, f"Auditing {values.dataset}") as progress:
        audit = auditing.audit(
            values.dataset,
            Path(values.source).expanduser(),
            quick=values.quick,
            recursive=values.recursive,
            num_workers=values.num_workers,
            progress=progress,
            bit_depth=values.bit_depth,
        )
    printing.print_audit(audit, console)
    from data_pipelines.doctor.page import page

    output = Path(values.output or f"runs/doctor/{values.dataset}").expanduser()
    written = page.write(audit, output)
    _keep_histograms(audit, Path(values.class_counts).expanduser() if values.class_counts else output)
    console.print(printing.verdict(audit), highlight=False)
    console.print(f"Page: {written}", highlight=False, soft_wrap=True, markup=False)
    return WRONG if audit.count(ERROR) else command_line.DONE


def _keep_histograms(audit: Audit, folder: Path) -> None:
    """Saves the counts of each split whose every label was counted, where class_histogram finds them."""
    for split, opened in audit.opened.items():
        audited = audit.splits[split]
        counts = {example.name: facts.counts for example, facts in audited.labels() if facts.counts is not None}
        names = tuple(example.name for example in opened.examples)
        if opened.labelled and counts.keys() >= set(names):
            histogram = ClassHistogram(names, np.stack([counts[name] for name in names]))
            class_histogram.save(histogram, class_histogram.cache_file(opened, folder))


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
