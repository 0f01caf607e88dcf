"""The committed reference numbers are a part of the full set, where that is at hand."""

import importlib.util

import numpy as np
import pytest
from conftest import COMMITTED_GOLDEN, SHARED

spec = importlib.util.spec_from_file_location("compact", COMMITTED_GOLDEN / "compact.py")
compact = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compact)


def test_the_committed_part_is_small():
    assert sum(path.stat().st_size for path in COMMITTED_GOLDEN.iterdir()) <= 5e6


def test_the_committed_part_is_the_full_sets():
    full = SHARED / "golden"
    if not full.is_dir():
        pytest.skip(f"no full set of reference numbers at {full}")
    for name in compact.WHOLE:
        assert (COMMITTED_GOLDEN / name).read_bytes() == (full / name).read_bytes(), name
    for name in compact.files(full):
        expected = compact.compact(compact.read(full / name))
        with np.load(COMMITTED_GOLDEN / name) as stored:
            assert sorted(stored.files) == sorted(expected), name
            for key, array in expected.items():
                np.testing.assert_array_equal(stored[key], array, err_msg=f"{name} {key}")
