"""Hashes, versions and JSON files that a run leaves behind."""

import json

import numpy as np
import pytest

from configs import base
from dakd_jax.basics import records


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    records.write_json(path, {"a": 1})
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        records.write_json(path, {"a": 2})
    assert records.read_json(path) == {"a": 1}


def test_no_file_and_half_a_file_read_as_none(tmp_path):
    assert records.read_json(tmp_path / "absent.json") is None
    (tmp_path / "half.json").write_text('{"status": "fin')
    assert records.read_json(tmp_path / "half.json") is None


def test_hash_of_json_ignores_the_order_of_keys_only():
    assert records.hash_json({"a": 1, "b": [1, 2]}) == records.hash_json({"b": [1, 2], "a": 1})
    assert records.hash_json({"a": [1, 2]}) != records.hash_json({"a": [2, 1]})
    assert records.hash_json({"a": 1}) != records.hash_json({"a": "1"})


def test_hash_of_arrays_sees_names_dtypes_shapes_and_bytes():
    array = np.arange(6, dtype=np.float32)
    plain = records.hash_arrays({"w": array})
    assert plain == records.hash_arrays({"w": np.arange(12, dtype=np.float32)[:6]})
    others = ({"v": array}, {"w": array.astype(np.float64)}, {"w": array.reshape(2, 3)}, {"w": array + 1}, {})
    assert len({plain, *map(records.hash_arrays, others)}) == 6
    assert records.hash_arrays({"w": array, "v": array}) == records.hash_arrays({"v": array, "w": array})


def test_a_config_as_plain_data():
    plain = records.plain(base.get_config())
    assert plain["data"]["source_size"] == [1024, 512]
    assert json.loads(json.dumps(plain)) == plain


def test_environment_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = records.environment()
    assert found["git_commit"] == "" and found["git_dirty"] is False
    assert found["hardware"]["platform"] == "cpu"
