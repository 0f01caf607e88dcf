"""doctor and prepare end when they are asked to: by Ctrl-C, a polite kill, or a terminal that is closed."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest
import tiny_datasets as tiny
import tiny_runs

from data_pipelines.basics.errors import DataError
from data_pipelines.doctor.command_line import main

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def handlers():
    """Those of the tests' own process are put back."""
    before = {number: signal.getsignal(number) for number in CODES}
    for number in (signal.SIGHUP, signal.SIGINT):  # neither ignored, as in a background job, nor the tests' own end
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(work):
    """The exit code of a command that does `work`."""
    return main(["command"], lambda values: None, lambda values, console: work(), "usage")


def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", CODES)
def test_the_exit_code_tells_the_signal(capsys, number):
    assert run(lambda: send(number)) == CODES[number]
    assert capsys.readouterr().err == "stopped; give the same command to go on\n"


def test_nohup_keeps_the_command_going():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert run(lambda: send(signal.SIGHUP)) == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize(("again", "undisturbed"), [(signal.SIGHUP, True), (signal.SIGTERM, False)])
def test_a_second_hangup_does_not_disturb_the_way_out(again, undisturbed):
    done = []

    def work():
        try:
            send(signal.SIGHUP)
        finally:
            send(again)
            done.append("put away")

    assert run(work) == CODES[signal.SIGHUP]
    assert bool(done) == undisturbed


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), DataError("cannot write")], ids=repr)
def test_output_that_fails_on_the_way_out_is_no_fault(capsys, error):
    def work():
        try:
            send(signal.SIGHUP)
        finally:
            raise error

    assert run(work) == CODES[signal.SIGHUP]
    assert capsys.readouterr().err == "stopped; give the same command to go on\n"


def start_in_a_terminal(command):
    """The process, and the terminal's end to close."""
    ours, theirs = pty.openpty()
    # The first terminal that the leader of a session opens is the one that it is hung up by.
    take_it = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.executable, sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", take_it, *command], cwd=tiny_runs.PROJECT, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    return process, ours


TALKING = """
import sys, time
from data_pipelines.doctor.command_line import main
def run(values, console):
    try:
        print("working")
        print("ready", file=sys.stderr)
        while True:
            time.sleep(0.01)
            if sys.stdout.isatty():
                print("working")
    finally:
        print("putting away")
sys.exit(main(["command"], lambda values: None, run, "usage"))
"""


def test_output_to_a_terminal_that_is_closed_does_not_change_the_exit_code():
    process, ours = start_in_a_terminal([sys.executable, "-c", TALKING])
    assert os.read(ours, 7) == b"working"
    os.close(ours)
    assert process.wait(60) == CODES[signal.SIGHUP]


def test_nor_does_output_to_a_pager_that_has_gone():
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}
    process = subprocess.Popen([sys.executable, "-c", TALKING], cwd=tiny_runs.PROJECT, env=buffered, **piped)
    assert process.stderr.readline() == b"ready\n"  # there is output that waits to be written
    process.stdout.close()
    process.send_signal(signal.SIGHUP)
    assert process.stderr.read() == b"stopped; give the same command to go on\n"
    assert process.wait(60) == CODES[signal.SIGHUP]
    process.stderr.close()


def test_work_of_which_the_terminal_is_closed_goes_on_later(tmp_path):
    tiny.write_gta5(tmp_path / "gta5", 16)
    command = [sys.executable, "-m", "data_pipelines.prepare", "--dataset=gta5", f"--source={tmp_path / 'gta5'}"]
    command += ["--size=3000x2000", "--shard_mb=1", "--num_workers=2", f"--output={tmp_path / 'out'}"]
    process, ours = start_in_a_terminal(command)
    partial = tmp_path / "out" / "gta5-train-3000x2000.partial"
    while not list(partial.glob("shard-*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    os.close(ours)
    assert process.wait(60) == CODES[signal.SIGHUP]
    assert not partial.with_suffix("").exists()
    result = subprocess.run(command, cwd=tiny_runs.PROJECT, capture_output=True, text=True, check=True)
    assert "goes on after" in result.stdout
