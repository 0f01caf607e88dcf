"""The fingerprints that training stores in its record, for whoever compares."""

import dataclasses
from collections.abc import Mapping

from data_pipelines.doctor.measuring.audited import AuditedSplit
from data_pipelines.reading.examples import Split

BOTH, PICTURES = "pictures and labels", "pictures"
NONE = "none: training cannot open this split"


def of_split(split: Split) -> dict[str, str]:
    """sha256 in hex of a split as training opens it: BOTH with its labels, PICTURES without."""
    if not split.labelled:
        return {PICTURES: split.fingerprint}
    bare = tuple(dataclasses.replace(example, label=None) for example in split.examples)
    alone = dataclasses.replace(split, examples=bare, samples=None)  # opened again: alone, they may be turned
    return {BOTH: split.fingerprint, PICTURES: alone.fingerprint}


def rows(prints: Mapping[str, Mapping[str, str]], splits: Mapping[str, AuditedSplit]) -> dict[str, dict[str, str]]:
    """Rows of a table: title to split to fingerprint. Of the pictures alone where a run may use just these."""
    both = {split: next(iter(prints[split].values())) if split in prints else NONE for split in splits}
    alone = {
        split: of_it[PICTURES]
        for split, of_it in prints.items()
        if BOTH in of_it and splits[split].inventory.may_lack_labels
    }
    return {"fingerprint": both} | ({"- of the pictures": alone} if alone else {})
