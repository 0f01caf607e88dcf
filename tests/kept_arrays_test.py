"""Kept arrays come back, and no damage is taken for them."""

import numpy as np

from dakd_jax.basics import kept_arrays

OF = {"seed": 1, "size": [64, 32]}
ARRAYS = {"confusion/a": np.arange(9).reshape(3, 3), "name": np.array(["x", "y"])}


def equal(found):
    return found.keys() == ARRAYS.keys() and all((found[name] == ARRAYS[name]).all() for name in ARRAYS)


def test_they_come_back_for_the_same_identity_only(tmp_path):
    path = tmp_path / "new" / "kept.npz"
    assert kept_arrays.kept(path, OF) is None
    kept_arrays.keep(path, OF, ARRAYS)
    assert equal(kept_arrays.kept(path, OF))
    assert kept_arrays.kept(path, OF | {"seed": 2}) is None


def test_any_wrong_byte_is_noticed_or_does_no_harm(tmp_path):
    path = tmp_path / "kept.npz"
    kept_arrays.keep(path, OF, ARRAYS)
    content = path.read_bytes()
    harmless = 0
    for place in range(len(content)):
        for mask in (0xFF, 0x01):
            path.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
            found = kept_arrays.kept(path, OF)
            assert found is None or equal(found), place
            harmless += found is not None
    assert harmless < len(content)  # of two changes each: dates, versions, attributes


def test_cut_files_and_others_are_nothing(tmp_path):
    path = tmp_path / "kept.npz"
    kept_arrays.keep(path, OF, ARRAYS)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert kept_arrays.kept(path, OF) is None
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    assert kept_arrays.kept(path, OF) is None
    np.savez(path, confusion=np.arange(3))
    assert kept_arrays.kept(path, OF) is None
