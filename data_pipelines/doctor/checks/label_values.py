"""Do the labels hold what this layout's labels should: label ids, train ids, or colours?"""

from collections import Counter

from data_pipelines.doctor.measuring import label_kinds
from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.doctor.measuring.findings import ERROR, WARNING, Finding, Outcome, amount, named
from data_pipelines.doctor.measuring.measuring import LabelFacts
from data_pipelines.reading.examples import Example

NAME = "label values"
_ADVICE = {
    label_kinds.LABEL_ID: "convert them with cityscapesscripts' createTrainIdLabelImgs, or take the train id files",
    label_kinds.TRAIN_ID: (
        "take the files with label ids; ids of another table, such as train ids + 1, look the same and are as wrong"
    ),
    label_kinds.TRAIN_ID_19: (
        "take the files with label ids: train ids with void as 19, or train ids + 1, mean other classes (19 is a "
        "traffic light); where train ids belong, void is 255"
    ),
    label_kinds.COLOURS: "these are the coloured copies: take the id files",
    label_kinds.OTHER_COLOURS: "these are no colours of the Cityscapes palette: take the id files",
}
_READ_WRONGLY = (label_kinds.TRAIN_ID, label_kinds.TRAIN_ID_19)

Labels = list[tuple[Example, LabelFacts]]


def check(audited: AuditedSplit) -> Outcome:
    """Errors for labels that training would refuse, or would take for other classes than they mean."""
    labels = [(example, facts) for example, facts in audited.labels() if facts.kind]
    if not labels:
        return Outcome("no labels" if audited.inventory.labels != "yes" else "none decoded")
    findings = [*_refused(labels), *_read_wrongly(labels), *_tolerated(labels)]
    kinds = Counter(_shown(example, facts) for example, facts in labels)
    summary = ", ".join(kind + f" ({count:,})" * (len(kinds) > 1) for kind, count in kinds.most_common())
    if any(finding.severity == ERROR for finding in findings):
        summary += f"; expected {', '.join(sorted({example.encoding.name for example, _ in labels}))}"
    return Outcome(summary, tuple(findings))


def read_wrongly(example: Example, facts: LabelFacts) -> bool:
    """Whether training would take a label, for other classes than it means."""
    return example.encoding.of_label_ids and not facts.refused and facts.kind in _READ_WRONGLY


def _shown(example: Example, facts: LabelFacts) -> str:
    """The kind for people: values that could be both kinds of ids are what they should be, and so are other ids."""
    encoding = example.encoding
    if not (facts.refused or encoding.of_label_ids or encoding.of_train_ids):
        return encoding.name
    if facts.kind != label_kinds.EITHER:
        return facts.kind
    return label_kinds.TRAIN_ID if encoding.of_train_ids else label_kinds.LABEL_ID


def _refused(labels: Labels):
    """One finding for each kind of label that training stops at."""
    for kind in sorted({facts.kind for _, facts in labels if facts.refused}):
        refused = [(example, facts.refused) for example, facts in labels if facts.refused and facts.kind == kind]
        files = tuple(example.label for example, _ in refused)
        message, advice = refused[0][1].rsplit("; ", 1)
        encoding = refused[0][0].encoding
        if len(files) > 1:
            what = f"{len(files):,} of {amount(len(labels), 'label')} hold {kind}, expected {encoding.name}"
            message = f"{what}: {named(files)}; first: {message}"
        known = encoding.of_label_ids or encoding.of_train_ids
        yield Finding(ERROR, message, _ADVICE.get(kind, advice) if known else advice, files)


def _read_wrongly(labels: Labels):
    """Train ids where label ids are expected: training would not notice."""
    wrong = [(example, facts.kind) for example, facts in labels if read_wrongly(example, facts)]
    if not wrong:
        return
    files, kind = tuple(example.label for example, _ in wrong), wrong[0][1]
    # A few real label id files, of mostly void pictures without sky, plants, cars and people, look the same.
    severity = ERROR if 2 * len(files) > len(labels) else WARNING
    what = f"{len(files):,} of {amount(len(labels), 'label')} hold {kind}, expected {wrong[0][0].encoding.name}"
    message = f"{what}: {named(files)}; they would be read as other classes"
    yield Finding(severity, message, _ADVICE[kind], files)


def _tolerated(labels: Labels):
    """Values outside the table that training turns into void."""
    files = tuple(example.label for example, facts in labels if facts.unknown_pixels)
    if not files:
        return
    pixels = sum(facts.unknown_pixels for _, facts in labels)
    message = f"{amount(pixels, 'pixel')} in {amount(len(files), 'label')} outside the label table: {named(files)}"
    yield Finding(WARNING, message, "training reads them as void", files)
