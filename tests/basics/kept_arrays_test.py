"""Kept arrays come back, and no damage is taken for them."""

import numpy as np

from dakd_jax.basics.kept_arrays import Kept

OF = {"seed": 1, "size": [64, 32]}
ARRAYS = {"confusion/a": np.arange(9).reshape(3, 3), "name": np.array(["x", "y"])}


def equal(found):
    return found.keys() == ARRAYS.keys() and all((found[name] == ARRAYS[name]).all() for name in ARRAYS)


def test_they_come_back_for_the_same_identity_only(tmp_path):
    path = tmp_path / "new" / "kept.npz"
    assert Kept(path, OF).read() is None
    Kept(path, OF).write(ARRAYS)
    assert equal(Kept(path, OF).read())
    assert Kept(path, OF | {"seed": 2}).read() is None


def test_any_wrong_byte_is_noticed_or_does_no_harm(tmp_path):
    path = tmp_path / "kept.npz"
    Kept(path, OF).write(ARRAYS)
    content = path.read_bytes()
    harmless = 0
    for place in range(len(content)):
        for mask in (0xFF, 0x01):
            path.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
            found = Kept(path, OF).read()
            assert found is None or equal(found), place
            harmless += found is not None
    assert harmless < len(content)  # of two changes each: dates, versions, attributes


def test_cut_files_and_others_are_nothing(tmp_path):
    path = tmp_path / "kept.npz"
    Kept(path, OF).write(ARRAYS)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert Kept(path, OF).read() is None
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    assert Kept(path, OF).read() is None
    np.savez(path, confusion=np.arange(3))
    assert Kept(path, OF).read() is None


def test_what_is_derived_lies_beside_them_and_is_mended(tmp_path):
    kept, derived = Kept.named(tmp_path, "counts", OF), {"scores": {"miou": 0.5}}
    assert not kept.tells(derived)
    kept.tell(derived | {"cost": 3})
    whole = kept.beside.read_text()
    kept.tell(derived)
    assert kept.beside.read_text() == whole  # which says this and more
    for wrong in ("", "[]", whole.replace("0.5", "0.6")):
        kept.beside.write_text(wrong)
        assert not kept.tells(derived)
        kept.tell(derived)
        assert kept.tells(derived)
