"""Random command lines, labels, checkpoints and torn logs: what is meant, or one line of error; never anything else."""

import contextlib
import io
import json
import sys
import tracemalloc

import handmade_checkpoints as handmade
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from configs import base
from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS
from dakd_jax.commands.kit import command_line
from dakd_jax.evaluation.logs import MetricLog, read_rows
from dakd_jax.models.backbones.drn import ARCHITECTURES
from dakd_jax.models.weight_files import torch_files
from dakd_jax.objectives import paradigms
from dakd_jax.stages import run_folder
from dakd_jax.stages import settings as config_settings
from data_pipelines.basics.errors import DataError
from data_pipelines.domains import check_settings
from data_pipelines.reading import label_spaces, loading
from data_pipelines.reading.examples import Example


def fuzz(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@contextlib.contextmanager
def or_one_line():
    """Passes over an error that run.py would print as one line."""
    try:
        yield
    except (UserError, DataError) as error:
        assert str(error) and "\n" not in str(error)


# The command line

FIELDS = [*records.flatten(base.get_config().to_dict())]
NO_FIELDS = [
    "",
    "data",
    "data.toy",
    "loss",
    "replace",
    "optim.",
    "seed.x",
    "goal.0",
    "__class__",
    "data.__len__",
    "items",
]
VALUES = [
    "", "0", "-1", "1", "0.5", "1e3", "nan", "inf", "-inf", "1e400", "9" * 30, "9" * 5000, "True", "None", "()", "{}",
    "(1,)", "[1,2]", "{1,2}", "64,64", "(64,64)", "(64,'a')", "([1],2)", "(None,None)", "(nan,nan)", "(1e400,1e400)",
    "(True,True)", "(1,2,3,4)", "(((", "{'a':1}", "case_d", "('case_d',)", "([1],)", "({},)", "__import__('os')", "é\n",
    "toy", "numpy", "skip", "released", "0x10", "1_000", "1j", "lambda: 0",
]  # fmt: skip
value = st.one_of(
    st.sampled_from(VALUES),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    st.one_of(st.floats(), st.integers(), st.tuples(st.floats(), st.floats()), st.lists(st.integers(), max_size=4)).map(
        str
    ),
)


@fuzz(200)
@given(st.lists(st.tuples(st.sampled_from(FIELDS * 3 + NO_FIELDS), value), min_size=1, max_size=3))
@example([("loss", "{'a':1}")])
@example([("data", "{}")])
@example([("goal", "([1],)")])
@example([("eval.scales", "\n")])
@example([("student.width", "inf"), ("loss.mse_on", "features")])
def test_overrides_of_the_config(overrides):
    arguments = ["--config=configs/base.py", *(f"--config.{field}={text}" for field, text in overrides)]
    with or_one_line():
        config = command_line.parse(arguments).config
        config_settings.check(config)
        check_settings(config.data)
        for name in paradigms.STAGES:
            made = config_settings.stage_settings(config, paradigms.stage(name), 19)
            assert (
                made.steps > 0
                and min(ARCHITECTURES[made.models.segmenter.arch].scaled_channels(made.models.segmenter.width)) > 0
            )


FLAGS = [
    "--config",
    "--mode",
    "--seeds",
    "--workdir",
    "--replay",
    "--nope",
    "-x",
    "",
    "--",
    "config",
    "--config.",
    "--help",
]
FLAG_VALUES = [
    "", "0", "0,1,2", "0,00", "-1", "²", "1,,2", "plan", "compare", "configs/demo.py", "configs/demo.py:x", "configs",
    "README.md", "nowhere.py", "a:b:c", "é\n", "~nobody/x", "=", "x" * 300, "1" * 5000, "--config", "--config=x",
]  # fmt: skip


@fuzz(150)
@given(st.lists(st.tuples(st.sampled_from(FLAGS), st.sampled_from(["=", " ", "=="]), st.sampled_from(FLAG_VALUES))))
@example([("--config", "=", "x" * 300)])
@example([("--seeds", "=", "1" * 5000)])
@example([("--seeds", " ", "--config=x")])
@example([("--replay", " ", "--config")])
@example([("--rows", " ", "--config")])
def test_flags(flags):
    arguments = [part for name, between, text in flags for part in f"{name}{between}{text}".split(" ", 1)]
    with or_one_line():
        command = command_line.parse(arguments)
        seeds = command.flags.get("seeds", ())
        assert command.mode in COMMANDS and len(set(seeds)) == len(seeds)


# Pictures and labels

ENCODINGS = (label_spaces.TRAIN_IDS, label_spaces.LABEL_IDS, label_spaces.GTA5_IDS)
BYTES_PER_PIXEL = {"1": 0, "L": 1, "P": 1, "LA": 2, "I;16": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
CHANGE = st.tuples(st.sampled_from(["set", "cut", "delete", "insert"]), st.integers(0, 2**20), st.binary(max_size=8))


def changed(content, changes):
    content = bytearray(content)
    for what, place, data in changes:
        place %= len(content) + 1
        end = {"set": place + len(data), "cut": len(content), "delete": place + 4 * len(data), "insert": place}[what]
        content[place:end] = b"" if what in ("cut", "delete") else data
    return bytes(content)


def read(path, encoding):
    """A label, and the same file as a picture."""
    with or_one_line():
        image, size = loading._load_image(path, (5, 4), "bicubic")
        assert image.shape == (4, 5, 3) and image.dtype == np.uint8 and size == loading.picture_size(path)
    with or_one_line():
        upright = loading.decode_image(Example("x", path), 16)
        assert upright.dtype == np.uint8 and upright.shape[1::-1] == loading.image_size(Example("x", path))
    with or_one_line():
        ids, unknown = loading.load_label(path, encoding)
        assert ids.dtype == np.uint8 and ids.ndim == 2 and 0 <= unknown <= encoding.max_unknown * ids.size
        assert set(np.unique(ids)) <= {*range(label_spaces.NUM_CLASSES), 255}


@fuzz(200)
@given(
    st.sampled_from(sorted(BYTES_PER_PIXEL)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(["PNG", "PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "EPS"]),
    st.sampled_from(ENCODINGS),
    st.randoms(use_true_random=False),
    st.lists(CHANGE, max_size=3),
)
def test_pictures_of_any_kind_as_labels(tmp_path, mode, size, kind, encoding, random, changes):
    pixels = random.randbytes(size[0] * size[1] * BYTES_PER_PIXEL[mode])
    picture = Image.frombytes(mode, size, pixels) if pixels else Image.new(mode, size)
    file = io.BytesIO()
    try:
        picture.save(file, kind)
    except (OSError, ValueError):  # that format has no such mode
        return
    path = tmp_path / "label.png"
    path.write_bytes(changed(file.getvalue(), changes))
    read(path, encoding)


@fuzz(100)
@given(
    st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0\x08\0\0\0", b"BM", b"RIFF\0\0\0\0WEBP", b"%!PS-Adobe"]
    ),
    st.binary(max_size=99),
)
def test_bytes_as_labels(tmp_path, start, content):
    (tmp_path / "label.png").write_bytes(start + content)
    read(tmp_path / "label.png", label_spaces.GTA5_IDS)


@fuzz(100)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=40), st.sampled_from(ENCODINGS))
def test_every_label_of_one_byte_is_read_by_its_table_or_refused(tmp_path, values, encoding):
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "label.png")
    to_train_id = {row.label_id: row.train_id for row in label_spaces.LABEL_CLASSES}
    if encoding is label_spaces.TRAIN_IDS:
        to_train_id = {i: i for i in (*range(19), 255)}
    unknown = sum(value not in to_train_id for value in values)
    if unknown > (0.05 if encoding is label_spaces.GTA5_IDS else 0) * len(values):
        with pytest.raises(DataError, match="label.png: values"):
            loading.load_label(tmp_path / "label.png", encoding)
        return
    found, counted = loading.load_label(tmp_path / "label.png", encoding)
    assert found.tolist() == [[to_train_id.get(value, 255) for value in values]] and counted == unknown


def test_a_program_in_a_picture_is_not_run(tmp_path, monkeypatch):
    """Pillow gives EPS files to Ghostscript, whatever their names."""
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **k: pytest.fail("Ghostscript was called"))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", "EPS")
    with pytest.raises(DataError, match="cannot be read as a picture"):
        loading.load_label(tmp_path / "a.png", label_spaces.GTA5_IDS)


# Checkpoints

WATCHED = ("pickle.find_class", "os.system", "os.exec", "subprocess.Popen", "ctypes.dlopen", "socket.connect")
_seen = None  # events while a file is read


def _hook(event, arguments):
    if _seen is not None and event in WATCHED:
        _seen.append(event)


sys.addaudithook(_hook)


@pytest.fixture(scope="module")
def checkpoints():
    torch = pytest.importorskip("torch")
    layers = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3)).state_dict()
    made = {}
    for name, new in (("zip", True), ("legacy", False)):
        file = io.BytesIO()
        torch.save({"epoch": 3, "state_dict": layers}, file, _use_new_zipfile_serialization=new)
        made[name] = file.getvalue()
    return made


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@fuzz(150)
@given(st.lists(CHANGE, min_size=1, max_size=4), st.integers(0, 2**20), st.integers(0, 2**20), st.integers(0, 400))
def test_changed_checkpoints_are_arrays_or_refused(checkpoints, tmp_path, kind, changes, start, goal, length):
    global _seen
    content = bytearray(checkpoints[kind])
    content[goal % len(content) :][:0] = content[start % len(content) :][:length]  # a part of it once more
    path = handmade.saved(tmp_path / "a.pth", changed(content, changes))
    tracemalloc.start()
    _seen = []
    try:
        with or_one_line():
            found = torch_files.read(path)
            assert found and all(isinstance(array, np.ndarray) for array in found.values())
        assert not _seen
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        _seen = None
        tracemalloc.stop()


def test_the_unchanged_checkpoints_are_read(checkpoints, tmp_path):
    for content in checkpoints.values():
        assert torch_files.read(handmade.saved(tmp_path / "a.pth", content))


# Logs and records

number = st.one_of(st.floats(), st.integers(-(10**20), 10**20), st.none())
row = st.dictionaries(st.text(max_size=6), number, max_size=3)
GARBAGE = [
    b"\xff\xfe\0", b"{", b"[" * 2000, b"1" * 5000, b'{"step": NaN, "kind": "train"}\n', b'{"step": "1", "kind": ""}',
    b"\n\n", b"\xe2\x80\xa8", b'{"step": 7}\n', b"null\n", b'{"step": 1, "kind": []}',
]  # fmt: skip


@fuzz(150)
@given(
    st.lists(row, max_size=5),
    st.integers(0, 2**20),
    st.one_of(st.just(b""), st.sampled_from(GARBAGE), st.binary(max_size=20)),
    st.integers(0, 6),
)
@example([{}, {}], 2**20, b"\xff", 1)
@example([{}], 0, b"[" * 2000, 0)
def test_a_log_that_was_cut_or_spoilt_is_read_up_to_there_and_goes_on(tmp_path, values, cut, garbage, start):
    rows = [{**more, "step": step, "kind": "train"} for step, more in enumerate(values, 1)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    kept = lines[: cut % (len(lines) + 1)]
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(kept + garbage)
    found, whole = read_rows(path), kept.count(b"\n")
    assert repr(found[:whole]) == repr(rows[:whole])  # repr: NaN is not itself
    assert garbage or repr(found) in (repr(rows[:whole]), repr(rows[: whole + 1]))
    list(run_folder._bad_rows(tmp_path, {"status": "training"}))
    log = MetricLog(tmp_path, start)
    log.row(start + 1, "train", {"x": 1.0})
    log.close()
    after = [json.loads(line) for line in path.read_text().splitlines()]
    expected = [row for row in found if row["step"] <= start] + [{"step": start + 1, "kind": "train", "x": 1.0}]
    assert repr(after) == repr(expected) == repr(read_rows(path))


@fuzz(100)
@given(st.one_of(st.binary(max_size=40), st.sampled_from(GARBAGE), st.just(b'{"a": 1}')))
def test_a_record_is_a_dict_or_nothing(tmp_path, content):
    (tmp_path / "record.json").write_bytes(content)
    found = records.read_json(tmp_path / "record.json")
    assert found is None or isinstance(found, dict)
