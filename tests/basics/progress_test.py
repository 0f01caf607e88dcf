"""What is shown while a stage runs: no line that wraps, no speed of 0.0."""

import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
import types
from fcntl import ioctl

import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.basics import progress
from dakd_jax.evaluation.logs import read_rows
from dakd_jax.training.watch.black_box import FiniteWatch
from dakd_jax.training.watch.training_log import LoggedStep, Throughput, TrainingLog

TITLES = ("Student, adapted", "(c) distilled on source and target: evaluation", "x" * 70)
NOTES = ("", "65.3 images/s", "46.9 s/image  12 steps skipped", "n" * 90)


def lines(text):
    return [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)) if line.strip()]


@pytest.mark.parametrize("total", [1, 350, 1_000_000])
@pytest.mark.parametrize("width", [30, 40, 60, 80, 110])
def test_a_bar_is_one_line_of_the_terminal(width, total):
    for title in TITLES:
        for note in NOTES:
            console = Console(file=io.StringIO(), force_terminal=True, width=width)
            with progress.StageProgress(console, title, total) as shown:
                shown.update(total - 1, note)
                shown.update(total, note)
            found = lines(console.file.getvalue())
            assert max(map(len, found)) < width and all(title[:8] in line for line in found)
            assert width == 30 or f"{total}/{total}" in found[-1]
            if width >= 80 and len(note) < 20:
                assert note in found[-1] and "eta" in found[-1]


@pytest.mark.parametrize(("columns", "most"), [("60", 60), ("80", 80), ("200", 80), ("", 80)])
def test_a_line_of_a_pipe_fits_as_well(monkeypatch, columns, most):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    for title in TITLES:
        for note in NOTES:
            console = Console(file=io.StringIO(), width=110)
            with progress.StageProgress(console, title, 100_000) as shown:
                shown.update(5, note)
                shown.update(100_000, note)
            first, last = console.file.getvalue().splitlines()
            assert max(len(first), len(last)) <= most and "step 5/100000  eta " in first
            assert "step 100000/100000  in 0 s" in last
            assert len(note) > 20 or note in last or most == 60


SHOW = """
import time
from dakd_jax.basics import progress
with progress.StageProgress(progress.make_console(), "(c) distilled on source and target", 100000) as shown:
    for done in (0, 33000, 100000):
        shown.update(done, "65.3 images/s  3 steps skipped")
        time.sleep(0.15)
"""


@pytest.mark.parametrize("columns", [60, 80])
def test_nothing_wraps_in_a_real_terminal(columns):
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in tiny_runs.environment().items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW],
        cwd=tiny_runs.PROJECT,
        env={**environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            if not (more := os.read(ours, 4096)):
                break
        except OSError:  # EIO: the other end is closed
            break
        text += more
    os.close(ours)
    assert process.wait() == 0
    found = lines(text.decode())
    assert max(map(len, found)) < columns and "100000/100000" in found[-1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2394.8, "2,395 images/s"), (123.4, "123 images/s"), (65.34, "65.3 images/s"), (1.0, "1.00 images/s"),
        (0.5, "2.00 s/image"), (0.0213, "46.9 s/image"), (0.0, ""), (float("nan"), ""), (float("inf"), ""),
    ],
)  # fmt: skip
def test_speed_for_people(value, text):
    assert progress.speed(value) == text


def logged(monkeypatch, seconds):
    """(rows, note after each) of a log whose steps of two pictures take so long."""
    clock, rows, notes = [0.0], [], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    log = TrainingLog(
        types.SimpleNamespace(row=lambda step, kind, values: rows.append(values)),
        pictures=2, steps=3, watch=FiniteWatch(9), say=print,
    )  # fmt: skip
    for step in (1, 2, 3):
        clock[0] += seconds
        log.add(LoggedStep(step, {}, {"segmenter": 0.1}, 0.0, 0))
        log.flush()
        notes.append(log.note)
    return rows, notes


def test_speed_of_a_slow_machine_has_digits_and_that_of_the_first_row_is_left_out(monkeypatch):
    rows, notes = logged(monkeypatch, 900)
    assert notes == ["", "450 s/image", "450 s/image"]
    assert [row.get("images_per_second") for row in rows] == [None, 0.002222, 0.002222]


def test_overall_speed_of_one_row_is_none():
    assert Throughput(2).overall == 0.0 and progress.significant(0.00012345) == 0.0001234


def test_no_row_of_a_run_tells_a_speed_of_nothing(chain):
    for folder in (chain[0] / "stages").iterdir():
        values = [row["images_per_second"] for row in read_rows(folder / "metrics.jsonl") if "images_per_second" in row]
        assert values and min(values) > 0
        timing = json.loads((folder / "record.json").read_text())["timing"]
        assert timing["images_per_second"] > 0 and timing["minutes"] > 0
    assert " 0.0 images/s" not in chain[1]
