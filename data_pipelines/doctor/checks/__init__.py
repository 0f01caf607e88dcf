"""The checks, in the order of the table: each from a split to an Outcome; `duplicates` wants the other splits too."""

from data_pipelines.doctor.checks import (
    classes,
    constant,
    counts,
    duplicates,
    label_values,
    left_out,
    pairs,
    pixels,
    readable,
    sizes,
    void,
)

OF_A_SPLIT = {
    check.NAME: check.check
    for check in (counts, left_out, pairs, readable, pixels, sizes, label_values, classes, void, constant)
}
DUPLICATES = duplicates.NAME

__all__ = ["DUPLICATES", "OF_A_SPLIT", "duplicates"]
